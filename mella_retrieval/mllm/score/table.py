"""Scores side by side, as rows of texts: for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mella_retrieval import languages
from mella_retrieval.artifacts import Json
from mella_retrieval.mllm.decoding import Decoding
from mella_retrieval.mllm.score.answers import SIGNS
from mella_retrieval.mllm.score.bootstrap import Difference, Interval
from mella_retrieval.mllm.score.metrics import METRICS
from mella_retrieval.mllm.score.results import Row, ScoreReport

TITLES = {name: metric.title for name, metric in METRICS.items()} | {
    "accuracy": "words on signs, answers right",
    "accuracy_plus": "words on signs, both answers right",
}

_ABOUT = """\
Scores are percent or points from 0 to 100, means over pictures, with bootstrap intervals over pictures; `all` is the mean over
languages. Chance is what the same answers score when they are handed to other pictures."""


def table(report: ScoreReport) -> tuple[list[str], list[list[str]]]:
    """Head and one row per kind, metric and language: each model's score, interval and chance, each further one's difference.

    For Markdown: as wide as there are models.
    """
    names = list(report.models)
    head = ["text", "metric", "lang", "pictures"]
    for name in names:
        head += [name, "interval", "chance"]
    for name in names[1:]:
        head += [f"{name} - {names[0]}" if len(names) > 2 else "difference", "interval", "p (Holm)"]
    return head, [_row(row, names) for row in report.rows]


def _row(row: Row, names: Sequence[str]) -> list[str]:
    cells = [row.kind, TITLES[row.metric], row.lang, f"{row.pictures:,}"]
    for name in names:
        cell = row.cells[name]
        cells += [f"{cell.score.value:.1f}", _interval(cell.score.low, cell.score.high), _number(cell.chance)]
    for name in names[1:]:
        found = row.differences[name]
        cells += [f"{found.value:+.1f}", _interval(found.low, found.high, "+"), _p(found)]
    return cells


def narrow(report: ScoreReport) -> tuple[list[str], list[list[str]]]:
    """Head and one row per kind, metric, language and model, as a terminal has room for; what repeats is said once."""
    names = list(report.models)
    head = ["text", "metric", "lang", "pictures", "model", "score", "chance"]
    compared = ["difference", "p (Holm)"] if names[1:] else []
    return [*head, *compared], [line for row in report.rows for line in _by_model(row, names)]


def _by_model(row: Row, names: Sequence[str]) -> Iterator[list[str]]:
    about = [row.kind, row.metric, row.lang, f"{row.pictures:,}"]
    for name in names:
        cell = row.cells[name]
        line = [*about, name, _with_interval(f"{cell.score.value:.1f}", cell.score), _number(cell.chance)]
        if found := row.differences.get(name):
            line += [_with_interval(f"{found.value:+.1f}", found, "+"), _p(found)]
        elif names[1:]:
            line += ["", ""]
        yield line
        about = [""] * len(about)


def _with_interval(value: str, of: Interval | Difference, sign: str = "") -> str:
    return value if of.low is None else f"{value} {_interval(of.low, of.high, sign)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _p(found: Difference) -> str:
    p = found.p if found.p_holm is None else found.p_holm
    return "-" if p is None else f"{p:.4f}"


def _interval(low: float | None, high: float | None, sign: str = "") -> str:
    return "-" if low is None or high is None else f"[{low:{sign}.1f}, {high:{sign}.1f}]"


def remarks(report: ScoreReport) -> list[str]:
    """What the table does not say, one sentence each."""
    found = [f"{name}: {model['model']}, {_decoding(model['decoding'])}" for name, model in report.models.items()]
    found += [f"compared all the same: {text}" for text in report.unlike]
    for one in report.sets:
        if one.references is not None:
            known_as = languages.get(one.lang).name
            found.append(f"{one.kind} {one.lang}: {one.references:.1%} of the references are recognised as {known_as}")
        if one.unreadable:
            found.append(f"{one.kind} {one.lang}: {one.unreadable:,} pictures cannot be read and are not scored")
        found += [
            f"{one.kind} {one.lang}: {name} has no answer for {count:,} pictures, which score 0"
            for name, count in one.failed.items()
            if count
        ]
        found += [
            f"{one.kind} {one.lang}: {name} said nothing of {count:,} of {one.pictures:,} pictures (its answer is empty)"
            for name, count in one.empty.items()
            if count
        ]
        for name, corpus in one.corpus.items():
            scores = ", ".join(f"{TITLES[metric]} {of['score']:.1f}" for metric, of in corpus.items())
            found.append(f"{one.kind} {one.lang}: {name} over all answers at once: {scores}")
        found += [f"{one.kind} {one.lang}: no {TITLES[metric]}: {why}" for metric, why in one.missing.items()]
    found += [f"{name}: {count:,} answers about signs are neither yes nor no" for name, count in report.unclear.items() if count]
    found += [f"not scored: {count:,} {reason}" for reason, count in report.passed.items()]
    return [*found, *report.notes]


def _decoding(settings: Json | None) -> str:
    """Settings in words; of a captioner's own, which have no words here, the names."""
    if settings is None:
        return "decoding unknown"
    usual = Decoding().model_dump(exclude={"max_new_tokens"})
    said = [_WORDS.get(name, f"{name} {{}}").format(value) for name, value in settings.items() if usual.get(name) != value]
    return ", ".join([*(["greedy"] if settings.get("temperature") == 0 else []), *said])


_WORDS = {
    "max_new_tokens": "at most {} tokens",
    "temperature": "temperature {}",
    "top_p": "top-p {}",
    "repetition_penalty": "repetition penalty {}",
}


def markdown(report: ScoreReport) -> str:
    """The table of each kind of text, and the remarks."""
    head, rows = table(report)
    lines = ["# Scores of generated texts", ""]
    for kind in dict.fromkeys(row[0] for row in rows):
        lines += [f"## {'Forgetting: words on drawn signs' if kind == SIGNS else kind}", ""]
        lines += [_line(head[1:]), _line(["---", "---", *["---:"] * (len(head) - 3)])]
        lines += [*(_line(row[1:]) for row in rows if row[0] == kind), ""]
    lines += [_ABOUT, ""]
    return "\n".join([*lines, *(f"- {_cell(text)}" for text in remarks(report)), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
