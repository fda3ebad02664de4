"""The tables of the test bed, as adapters/README.md shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from common import markdown, percent

from mella_retrieval.adapters.method import explain_needs, met_needs
from mella_retrieval.adapters.methods import METHODS
from mella_retrieval.benchmarks.comparison import compare
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.statistics import holm

if TYPE_CHECKING:
    from test_bed import Measured

WAYS = {TEXT_TO_IMAGE: "T->I", IMAGE_TO_TEXT: "I->T"}
FLOORS = {"shuffled pairs": "first row, asked with other pictures' captions", "chance": "chance (computed)"}
HAVE = {
    "English only": {"english_text", "clip_text", "queries"},
    "unpaired": {"english_text", "clip_text", "queries", "image_vectors", "text_bank"},
    "paired": {"pairs", "image_vectors"},
    "paired, with anchors": {"pairs", "image_vectors", "english_text", "clip_text"},
}


def main_table(result: Result, systems: Sequence[str], measured: Mapping[str, Measured]) -> list[str]:
    """Mean over the languages of every row: R@1, R@5 and R@10 with intervals in both directions; five seeds; cost."""
    head = ["setting", "method"]
    head += [f"{way} R@{k}" for way in WAYS.values() for k in (1, 5, 10)]
    head += ["five seeds: R@10 T->I / I->T, mean (least to most)", "seconds a fit", "numbers held"]
    rows = []
    for system in [*systems, *FLOORS]:
        setting, _, name = system.rpartition(": ")
        scores = [percent(result, system, "mean", way, f"R@{k}", interval=True) for way in WAYS for k in (1, 5, 10)]
        known = measured.get(system)
        cost = ["", "", ""]
        if known:
            seeds = " / ".join(_spread(known.seeds[way]) for way in WAYS)
            cost = [seeds, f"{known.seconds:.1f}", f"{known.parameters:,}"]
        rows.append([setting, FLOORS.get(name, name), *scores, *cost])
    return markdown(head, rows)


def _spread(values: Sequence[float]) -> str:
    mean, least, most = sum(values) / len(values), min(values), max(values)
    return f"{100 * mean:.1f}" if least == most else f"{100 * mean:.1f} ({100 * least:.1f} to {100 * most:.1f})"


def languages_table(result: Result, systems: Sequence[str]) -> list[str]:
    """R@10 of every row and language, both directions."""
    languages = result.record.data.languages
    rows = []
    for system in [*systems, *FLOORS]:
        setting, _, name = system.rpartition(": ")
        each = [" / ".join(percent(result, system, code, way) for way in WAYS) for code in languages]
        rows.append([setting, FLOORS.get(name, name), *each])
    return markdown(["setting", "method", *(f"{code} T->I / I->T" for code in languages)], rows)


def empty_cells() -> list[str]:
    """The methods that a setting has no data for, and what they need."""
    rows = []
    for setting, have in HAVE.items():
        for name, method in METHODS.items():
            if met_needs(method.needs, frozenset(have)) is None:
                rows.append([setting, name, explain_needs(method, frozenset(have))])
    return markdown(["setting", "method", "why its cell is empty"], rows)


def headline(result: Result) -> list[str]:
    """The few rows of the README."""
    wanted = (
        "English only: procrustes, index untouched",
        "English only: best",
        "unpaired: uclip, tuned",
        "paired: TF-IDF + ridge per language",
        "paired, with anchors: best-pairs",
        "English only: best on shuffled pairs",
        "chance",
    )
    rows = []
    for system in wanted:
        setting, _, name = system.rpartition(": ")
        rows.append([setting, name, *(percent(result, system, "mean", way, interval=True) for way in WAYS)])
    return markdown(["trained on", "method", "text -> image", "image -> text"], rows)


AGAINST = {
    "English only: best": (
        "English only: procrustes, index untouched",
        "English only: procrustes, gallery centred",
        "English only: ridge, index untouched",
        "English only: cca, gallery centred",
        "English only: m2m, published schedule",
        "English only: m2m, tuned",
        "English only: m2m, tuned, both sides re-centred",
    ),
    "English only: best, knows pictures": (
        "English only: procrustes, index untouched",
        "English only: procrustes, gallery centred",
        "English only: m2m, tuned, both sides re-centred",
    ),
    "unpaired: best": (
        "English only: procrustes, gallery centred",
        "English only: m2m, tuned, both sides re-centred",
        "unpaired: uclip, published",
        "unpaired: uclip, tuned",
        "unpaired: uclip, a norm for each side",
        "unpaired: uclip, image side untouched",
    ),
    "paired: best-pairs": (
        "paired: TF-IDF + ridge per language",
        "paired: ridge, gallery centred",
        "paired: procrustes, gallery centred",
        "paired: cca, gallery centred",
        "paired: contrastive infonce, gallery centred",
        "paired: contrastive 1-to-K, gallery centred",
    ),
    "paired, with anchors: best-pairs": (
        "English only: procrustes, gallery centred",
        "unpaired: uclip, tuned",
        "paired, with anchors: procrustes, gallery centred",
        "paired, with anchors: ridge, gallery centred",
        "paired, with anchors: cca, gallery centred",
        "paired, with anchors: contrastive 1-to-K, gallery centred",
    ),
}


def comparisons(result: Result) -> list[str]:
    """Paired image bootstrap of `best` against the baselines of its setting; Holm over all rows of a direction."""
    found = []
    for best, others in AGAINST.items():
        for other in others:
            rows = compare(result, result, first_system=other, second_system=best, metrics=["R@10"]).rows
            found += [(best, other, row) for row in rows if row.language == "mean"]
    lines = []
    for way, short in WAYS.items():
        chosen = [entry for entry in found if entry[2].direction == way]
        adjusted = holm([row.p for _, _, row in chosen])
        for (best, other, row), p in zip(chosen, adjusted, strict=True):
            difference = f"{100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
            lines.append([best, other, short, difference, f"{row.p:.4f}", f"{p:.4f}", _claim(row.difference, p)])
    return markdown(["system", "against", "direction", "difference in mean R@10 [95 %]", "p", "p (Holm)", "claim"], lines)


def _claim(difference: float, p: float) -> str:
    if p >= 0.05:
        return "none"
    return "ahead" if difference > 0 else "behind"
