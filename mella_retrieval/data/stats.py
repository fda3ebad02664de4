"""What a records folder holds: per language and source, texts and their lengths, scripts, texts on several pictures."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mella_retrieval import languages
from mella_retrieval.artifacts import Json
from mella_retrieval.data.records import Records, Where

# ISO 15924 codes of the scripts whose letters Unicode names by another word than the code's own beginning suggests.
_SCRIPTS: dict[str, str] = {
    "ARABIC": "Arab", "ARMENIAN": "Armn", "BENGALI": "Beng", "BOPOMOFO": "Bopo", "CHEROKEE": "Cher", "CJK": "Hani",
    "CYRILLIC": "Cyrl", "DEVANAGARI": "Deva", "ETHIOPIC": "Ethi", "GEORGIAN": "Geor", "GREEK": "Grek", "GUJARATI": "Gujr",
    "GURMUKHI": "Guru", "HANGUL": "Hang", "HEBREW": "Hebr", "HIRAGANA": "Hira", "KANNADA": "Knda", "KATAKANA": "Kana",
    "KHMER": "Khmr", "LAO": "Laoo", "LATIN": "Latn", "MALAYALAM": "Mlym", "MONGOLIAN": "Mong", "MYANMAR": "Mymr",
    "OL": "Olck", "ORIYA": "Orya", "SINHALA": "Sinh", "TAMIL": "Taml", "TELUGU": "Telu", "THAANA": "Thaa", "THAI": "Thai",
    "TIBETAN": "Tibt", "TIFINAGH": "Tfng",
}  # fmt: skip


def describe_records(records: Records, where: Where | None = None) -> Json:
    """Statistics of a record set, or of the rows that pass `where`.

    Returns:
        JSON-able: `records`, `images`, `without_image`, `without_text`, `texts_on_several_images` (per language: different
        texts that stand on more than one picture), `by_source`, and `by_language`: code -> `name`, `records`, `images`,
        `texts` (different ones), `characters` (min, median, mean, p95, max), `scripts` (ISO 15924 -> share of the letters),
        `usual_script`.
    """
    table = records.table(["image_id", "image", "text", "lang", "source"], where)
    texts = table.filter(pc.not_equal(table["lang"], ""))
    lengths, letters = _texts_of(records, where)
    images = _distinct(texts, "lang", "image_id")
    different = _distinct(texts, "lang", "text")
    shared = _on_several_images(texts)
    by_language = {}
    for code in sorted(lengths):
        language = languages.get(code)
        by_language[code] = {
            "name": language.name,
            "records": len(lengths[code]),
            "images": images[code],
            "texts": different[code],
            "texts_on_several_images": shared.get(code, 0),
            "characters": _spread(lengths[code]),
            "scripts": _scripts(letters[code]),
            "usual_script": language.script,
        }
    return {
        "records": table.num_rows,
        "images": pc.count_distinct(table["image_id"]).as_py(),
        "without_image": pc.sum(pc.equal(table["image"], "")).as_py() or 0,
        "without_text": table.num_rows - texts.num_rows,
        "texts_on_several_images": sum(shared.values()),
        "by_source": _by_source(table),
        "by_language": by_language,
    }


def _texts_of(records: Records, where: Where | None) -> tuple[dict[str, NDArray[np.int32]], dict[str, Counter[str]]]:
    """Lengths and character counts of the texts of each language, batch by batch."""
    lengths: dict[str, list[NDArray[np.int32]]] = defaultdict(list)
    letters: dict[str, Counter[str]] = defaultdict(Counter)
    for batch in records.batches(columns=["lang", "text"], where=where):
        for code in pc.unique(batch["lang"]).to_pylist():
            if code:
                chosen = batch["text"].filter(pc.equal(batch["lang"], code))
                lengths[code].append(pc.utf8_length(chosen).to_numpy(zero_copy_only=False).astype(np.int32))
                letters[code].update("".join(chosen.to_pylist()))
    return {code: np.concatenate(blocks) for code, blocks in lengths.items()}, letters


def _distinct(table: pa.Table, group: str, column: str) -> dict[str, int]:
    counted = table.group_by(group).aggregate([(column, "count_distinct")])
    return dict(zip(counted[group].to_pylist(), counted[f"{column}_count_distinct"].to_pylist(), strict=True))


def _on_several_images(texts: pa.Table) -> dict[str, int]:
    counted = texts.group_by(["lang", "text"]).aggregate([("image_id", "count_distinct")])
    shared = counted.filter(pc.greater(counted["image_id_count_distinct"], 1))
    return dict(Counter(shared["lang"].to_pylist()))


def _by_source(table: pa.Table) -> Json:
    records = Counter(table["source"].to_pylist())
    images = _distinct(table, "source", "image_id")
    return {source: {"records": records[source], "images": images[source]} for source in sorted(records)}


def _spread(lengths: NDArray[np.int32]) -> dict[str, Any]:
    return {
        "min": int(lengths.min()),
        "median": float(np.median(lengths)),
        "mean": round(float(lengths.mean()), 2),
        "p95": float(np.percentile(lengths, 95)),
        "max": int(lengths.max()),
    }


def _scripts(characters: Counter[str]) -> dict[str, float]:
    """Shares of the scripts among the letters, the largest first; below one in a thousand they are left out."""
    scripts: Counter[str] = Counter()
    for character, count in characters.items():
        if script := script_of(character):
            scripts[script] += count
    total = scripts.total()
    return {script: round(count / total, 4) for script, count in scripts.most_common() if count / total >= 0.001}


@functools.lru_cache(maxsize=65536)
def script_of(character: str) -> str:
    """ISO 15924 code of a letter's script; its Unicode word where no code is known here, "" for what is no letter."""
    if not unicodedata.category(character).startswith("L"):
        return ""
    words = unicodedata.name(character, "").replace("FULLWIDTH ", "").replace("HALFWIDTH ", "").split()
    if not words or words[0] in ("MODIFIER", "FEMININE", "MASCULINE", "MICRO", "KATAKANA-HIRAGANA"):
        return ""
    return _SCRIPTS.get(words[0], words[0].title())
