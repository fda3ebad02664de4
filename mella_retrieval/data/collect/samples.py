"""The side file of a collected records folder: samples of what each filter removed and of what was kept, with thumbnails.

`collected/samples.parquet` stands beside the parts of the records, so that `mella data look` needs neither the pages nor the
pictures of what was removed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import atomic_write
from mella_retrieval.data.collect.report import FOLDER
from mella_retrieval.data.collect.sampling import Drawn
from mella_retrieval.data.images import read_image
from mella_retrieval.errors import ArtifactError, DataError

FILE = "samples.parquet"
SIDE = 200
"""Pixels of the longer side of a thumbnail."""

_LONGEST = 10_000

_TEXTS = (
    *("reason", "detail", "text", "lang", "source", "page", "site", "image", "provenance", "licence", "date", "page_title"),
    "scores",
)
_SCHEMA = pa.schema([*(pa.field(name, pa.string()) for name in _TEXTS), pa.field("thumbnail", pa.binary())])


@dataclass(frozen=True, slots=True)
class Sample:
    """One candidate or record to be looked at.

    Attributes:
        reason: the filter that removed it, or "kept".
        detail: what the filter said.
        text, lang, source, page, site, image, licence, date, page_title: as in the records.
        provenance: where on the page the text stands.
        scores: of the filters.
        thumbnail: a small JPEG, None where the picture is not at hand.
    """

    reason: str
    text: str
    lang: str = ""
    detail: str = ""
    source: str = ""
    page: str = ""
    site: str = ""
    image: str = ""
    provenance: tuple[str, ...] = ()
    licence: str = ""
    date: str = ""
    page_title: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    thumbnail: bytes | None = None


def sample_of(drawn: Drawn, picture: bytes | None) -> Sample:
    """A drawn candidate with its thumbnail."""
    candidate = drawn.candidate
    return Sample(
        reason=drawn.reason,
        text=candidate.text[:_LONGEST],
        lang=drawn.lang,
        detail=drawn.detail,
        page=candidate.page,
        site=candidate.site,
        image=candidate.image[:_LONGEST],
        provenance=candidate.provenance,
        licence=candidate.licence,
        date=candidate.date,
        page_title=candidate.page_title,
        scores=dict(drawn.scores),
        thumbnail=thumbnail(picture) if picture else None,
    )


def thumbnail(picture: bytes | Path) -> bytes | None:
    """A small JPEG of a picture; None if it cannot be read."""
    try:
        image = read_image(picture)
    except DataError:
        return None
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def write_samples(folder: Path, samples: Iterable[Sample]) -> None:
    """Write the side file of a records folder that is being made."""
    rows = [_row(sample) for sample in samples]
    with atomic_write(folder / FILE) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), file, compression="zstd")


def read_samples(records: Path) -> list[Sample] | None:
    """The samples of a records folder, in order; None if it has none.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = records / FOLDER / FILE
    if not path.is_file():
        return None
    try:
        rows = pq.read_table(path, schema=_SCHEMA).to_pylist()
        return [_sample(row) for row in rows]
    except (pa.ArrowException, ValueError, TypeError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}. Collect again, or remove it.") from None


def _row(sample: Sample) -> dict[str, Any]:
    values = {name: getattr(sample, name) for name in (*_TEXTS, "thumbnail")}
    scores = json.dumps(sample.scores, ensure_ascii=False)
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in {**values, "provenance": "|".join(sample.provenance), "scores": scores}.items()
    }


def _sample(row: dict[str, Any]) -> Sample:
    provenance = tuple(filter(None, row["provenance"].split("|")))
    return Sample(**{**row, "provenance": provenance, "scores": json.loads(row["scores"])})
