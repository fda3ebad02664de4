"""Words and figures: names of rows, directions, scripts and metrics, and how each metric is written."""

from __future__ import annotations

from functools import cache

from mella_retrieval import languages
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, MEDIAN_RANK, RANK_VARIANCE, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.protocols import PROTOCOLS
from mella_retrieval.benchmarks.results import Record, SystemInfo
from mella_retrieval.benchmarks.scores import MEAN

PERCENT, PLAIN = "%", ""

_UNITS = {MEDIAN_RANK: PLAIN, RANK_VARIANCE: PLAIN}
_HEADLINES = (("R@1", "R@10"), ("top-1", "macro-F1"))
_BY_PROTOCOL = {"keywords": ("hit rate@1", "hit rate@10")}
_DIRECTIONS = {"t2i": "Text → image", "i2t": "Image → text", "both": "Both directions"}
_RECALLS = ("R", "hit rate", "recall")
_CLASSIFICATION = {"i2t": "Picture → class name"}

_GROUPS = {"mella": "MELLA's languages", "uclip": "uCLIP's languages"}

# English names after ISO 15924, for the scripts of `languages.csv`.
_SCRIPTS = {
    "Arab": "Arabic", "Armn": "Armenian", "Avst": "Avestan", "Beng": "Bengali", "Cans": "Canadian syllabics", "Cher": "Cherokee",
    "Cyrl": "Cyrillic", "Deva": "Devanagari", "Ethi": "Ethiopic", "Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati",
    "Guru": "Gurmukhi", "Hang": "Hangul", "Hans": "Han, simplified", "Hant": "Han, traditional", "Hebr": "Hebrew",
    "Jpan": "Japanese", "Khmr": "Khmer", "Knda": "Kannada", "Laoo": "Lao", "Latn": "Latin", "Mlym": "Malayalam",
    "Mong": "Mongolian", "Mtei": "Meitei Mayek", "Mymr": "Burmese", "Olck": "Ol Chiki", "Orya": "Odia", "Sinh": "Sinhala",
    "Taml": "Tamil", "Telu": "Telugu", "Tfng": "Tifinagh", "Thaa": "Thaana", "Thai": "Thai", "Tibt": "Tibetan", "Yiii": "Yi",
}  # fmt: skip


def directions(record: Record) -> dict[str, str]:
    """The directions that were measured and their titles."""
    measured = {score.direction for score in record.scores}
    titles = {**_DIRECTIONS, **_CLASSIFICATION} if record.task.kind == "classification" else _DIRECTIONS
    return {name: title for name, title in titles.items() if name in measured}


def headline_metrics(record: Record) -> tuple[str, ...]:
    """What cards, tables and plots show: two metrics of those that were measured, and the one that the protocol is known by.

    The rest stands under "All metrics".
    """
    measured = dict.fromkeys(score.metric for score in record.scores if not score.subset)
    wanted = (*((_BY_PROTOCOL[record.protocol],) if record.protocol in _BY_PROTOCOL else ()), *_HEADLINES)
    pair = next((pair for pair in wanted if set(pair) <= set(measured)), tuple(measured)[:2])
    known_by = PROTOCOLS[record.protocol].headline if record.protocol in PROTOCOLS else ""
    return (*pair, known_by) if known_by in measured and known_by not in pair else pair


def whole_gallery(record: Record, direction: str, metric: str) -> str:
    """What to know of a recall among the first k where a gallery holds no more than k; else empty."""
    kind, _, k = metric.rpartition("@")
    if kind not in _RECALLS or record.task.kind == "classification":
        return ""
    sizes = _galleries(record, direction)
    small = [size for size in sizes.values() if size <= int(k)]
    if not small:
        return ""
    what = "picture" if direction == TEXT_TO_IMAGE else "caption"
    where = "" if len(small) == len(sizes) else f" in {counted(len(small), 'language')} of {len(sizes)}"
    most = str(max(small)) if len(set(small)) == 1 else f"{max(small)} or fewer"
    return f"{directions(record)[direction]}, {metric}: every {what} is among the first {k} of a gallery of {most}{where}."


def _galleries(record: Record, direction: str) -> dict[str, int]:
    """How much is ranked in each language."""
    data = record.data
    if direction == TEXT_TO_IMAGE and record.task.gallery == "shared":
        return dict.fromkeys(data.languages, data.images)
    asked = IMAGE_TO_TEXT if direction == TEXT_TO_IMAGE else TEXT_TO_IMAGE  # what one direction asks, the other ranks
    return {code: counts[asked] for code, counts in data.queries.items() if counts.get(asked)}


def row_name(row: str) -> str:
    """A language's English name, or the name of a group."""
    if row == MEAN:
        return "Mean"
    return languages.get(row).name if is_language(row) else f"Mean: {row}"


def group_name(name: str) -> str:
    """A named group of languages as a heading of its list."""
    return f"{_GROUPS[name]} ({name})" if name in _GROUPS else f"Languages of the group {name}"


def is_language(row: str) -> bool:
    """Whether a row is a language of the table, and not a group."""
    return row in _codes()


def script_name(code: str) -> str:
    """The English name of a script."""
    return _SCRIPTS.get(code, code)


def main_system(record: Record) -> SystemInfo:
    """The system that the result is about: the first with the role `system`, else the first of all."""
    return next((system for system in record.systems if system.role == "system"), record.systems[0])


def unit(metric: str) -> str:
    """How the values of a metric are written: percent, or a plain number."""
    return _UNITS.get(metric, PERCENT)


def write(value: float | None, metric: str) -> str:
    """A value as it stands in tables; a dash where there is none."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if unit(metric) == PERCENT else f"{value:,.1f}"


def slug(text: str) -> str:
    """A text as part of a file's name."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower())
    return "-".join(part for part in kept.split("-") if part)


def shorten(text: str, length: int) -> str:
    """A text cut in its middle, where names of models differ least."""
    if len(text) <= length:
        return text
    tail = length // 2
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 model`, `2 models`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@cache
def _codes() -> frozenset[str]:
    return frozenset(language.code for language in languages.known())
