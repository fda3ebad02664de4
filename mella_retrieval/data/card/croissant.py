"""The card for programs: Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html), JSON-LD."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from mella_retrieval.artifacts import Json
from mella_retrieval.data.card.columns import meaning
from mella_retrieval.data.card.facts import Facts
from mella_retrieval.data.card.licences import licence_address
from mella_retrieval.data.card.limits import known_limits, personal_data
from mella_retrieval.data.card.options import CardOptions

RECORDS, PICTURES = "records", "pictures"
"""Names of the record sets."""

_PARTS, _FILES = "parts", "picture-files"

_VOCABULARY = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes",
    "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace",
    "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip

CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _VOCABULARY},
}
"""The context of Croissant 1.0."""

_KINDS = {pa.string(): "sc:Text", pa.int64(): "sc:Integer", pa.float64(): "sc:Float", pa.bool_(): "sc:Boolean"}
_FORMATS = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}


def describe_for_programs(facts: Facts, options: CardOptions) -> Json:
    """The JSON-LD document. What nobody told is left out; paths are relative to the records folder, where it belongs."""
    told: Json = {
        "license": licence_address(options.licence),
        "citeAs": options.citation.strip(),
        "url": options.url,
        "datePublished": options.published.isoformat() if options.published else "",
        "version": options.version,
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": options.name or facts.records.folder.resolve().name,
        "description": " ".join(filter(None, [options.description.strip(), facts.summary])),
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        **{name: value for name, value in told.items() if value},
        "inLanguage": list(facts.stats["by_language"]),
        "keywords": ["image-text pairs", *facts.stats["by_language"]],
        "rai:personalSensitiveInformation": personal_data(facts),
        "rai:dataLimitations": known_limits(facts),
        "distribution": [*_files(facts), *_file_sets(facts)],
        "recordSet": [_records(facts), *_pictures(facts)],
    }


def _files(facts: Facts) -> list[Json]:
    return [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{described['bytes']} B",
            "encodingFormat": "application/x-parquet",
            "sha256": described["sha256"],
        }
        for name, described in facts.records.manifest["parts"].items()
    ]


def _file_sets(facts: Facts) -> list[Json]:
    """Without `containedIn`: the files lie in the folder of this document."""
    sets = [_file_set(_PARTS, "The records.", ["application/x-parquet"], ["part-*.parquet"])]
    if facts.pictures.inside:
        formats = sorted({_FORMATS.get(suffix, "application/octet-stream") for suffix in facts.pictures.suffixes})
        sets.append(_file_set(_FILES, "The pictures.", formats, [f"{name}/*" for name in sorted(facts.pictures.folders)]))
    return sets


def _file_set(name: str, description: str, formats: list[str], includes: list[str]) -> Json:
    formats_, includes_ = (values[0] if len(values) == 1 else values for values in (formats, includes))
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": description,
        "encodingFormat": formats_,
        "includes": includes_,
    }


def _records(facts: Facts) -> Json:
    ids: dict[str, str] = {}
    for field in facts.records.schema:
        ids[field.name] = _field_id(field.name, len(ids))
    return {
        "@type": "cr:RecordSet",
        "@id": RECORDS,
        "name": RECORDS,
        "description": "One text about one picture, or one picture alone.",
        "key": {"@id": ids["text_id"]},
        "field": [
            _field(ids[field.name], field.name, _kind(field, facts), meaning(field.name), _PARTS, {"column": field.name})
            for field in facts.records.schema
        ],
    }


def _pictures(facts: Facts) -> list[Json]:
    """The pictures by their paths. A set of their own: a join would make readers of the records load every picture."""
    if not facts.pictures.inside:
        return []
    path, content = f"{PICTURES}/path", f"{PICTURES}/content"
    return [
        {
            "@type": "cr:RecordSet",
            "@id": PICTURES,
            "name": PICTURES,
            "description": "The picture files; `path` is what `image` of the records holds.",
            "key": {"@id": path},
            "field": [
                _field(path, "path", "sc:Text", "path in the folder", _FILES, {"fileProperty": "fullpath"}),
                _field(content, "content", "sc:ImageObject", "the picture", _FILES, {"fileProperty": "content"}),
            ],
        }
    ]


def _field(number: str, name: str, kind: str, description: str, files: str, extract: Json) -> Json:
    return {
        "@type": "cr:Field",
        "@id": number,
        "name": name,
        "description": description,
        "dataType": kind,
        "source": {"fileSet": {"@id": files}, "extract": extract},
    }


def _field_id(column: str, number: int) -> str:
    """Readable where the column's name is fit for an identifier."""
    return f"{RECORDS}/{column}" if re.fullmatch(r"[A-Za-z0-9_.-]+", column) else f"{RECORDS}/column-{number}"


def _kind(field: Any, facts: Facts) -> str:
    pictures = facts.pictures
    if field.name == "image" and pictures.urls and not pictures.inside and not pictures.outside:
        return "sc:URL"
    return _KINDS.get(field.type, "sc:Text")
