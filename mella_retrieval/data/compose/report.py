"""What was asked for and what came out, as numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.artifacts import Json
from mella_retrieval.data.compose.fate import KEPT, REASONS, Fates
from mella_retrieval.data.compose.grouping import Groups
from mella_retrieval.data.compose.mixing import Targets
from mella_retrieval.data.compose.recipe import ComposeRecipe
from mella_retrieval.data.compose.splits import SPLITS
from mella_retrieval.data.compose.survey import Survey


@dataclass(frozen=True)
class Outcome:
    """All decisions about the records of a survey.

    Attributes:
        fates: what becomes of each.
        targets: what was asked of each source and language.
        groups: what stays together.
        split: (n,) number in `SPLITS`; of kept records.
        sizes: records asked for each split.
        renamed_images, renamed_texts: images and texts whose id meant another one in an earlier source.
    """

    fates: Fates
    targets: Targets
    groups: Groups
    split: NDArray[np.uint8]
    sizes: Sequence[int]
    renamed_images: int
    renamed_texts: int


def describe(recipe: ComposeRecipe, survey: Survey, outcome: Outcome, notes: Sequence[str]) -> Json:
    """JSON-able: `count`, `sources`, `splits`, `removed`, `groups`, `stock_phrases`, `pictures`, `notes`."""
    kept = outcome.fates.kept
    _, sizes = np.unique(outcome.groups.of_record[kept], return_counts=True)
    removed = np.bincount(outcome.fates.code, minlength=len(REASONS))
    counts = np.bincount(outcome.split[kept], minlength=len(SPLITS))
    report: Json = {
        "records": int(kept.sum()),
        "read": len(survey),
        "count": recipe.count,
        "sources": {name: _source(recipe, survey, outcome, number) for number, name in enumerate(survey.names)},
        "splits": {
            name: {"asked": int(asked), "got": int(got)} for name, asked, got in zip(SPLITS, outcome.sizes, counts, strict=True)
        },
        "removed": {REASONS[code]: int(count) for code, count in enumerate(removed) if count and code != KEPT},
        "groups": {"number": len(sizes), "of_several_records": int((sizes > 1).sum()), "largest": int(max(sizes, default=0))},
        "stock_phrases": {"records": int((outcome.groups.stock & kept).sum())},
        "pictures": dict(sorted(survey.found.items())),
    }
    report["notes"] = [*notes, *_remarks(recipe, survey, outcome, report)]
    return report


def _source(recipe: ComposeRecipe, survey: Survey, outcome: Outcome, number: int) -> Json:
    targets, kept = outcome.targets, outcome.fates.kept
    own = survey.source == number
    asked, taken = float(targets.asked[number].sum()), int(targets.taken[number].sum())
    languages = {}
    for code, lang in sorted((code, lang) for lang, code in enumerate(survey.langs)):
        inside = kept & own & (survey.lang == lang)
        if code and targets.available[number, lang]:
            counted = {"available": targets.available[number, lang], "asked": round(float(targets.asked[number, lang]))}
            splits = np.bincount(outcome.split[inside], minlength=len(SPLITS))
            got = {"got": targets.taken[number, lang], "records": inside.sum(), **dict(zip(SPLITS, splits, strict=True))}
            languages[code] = {name: int(value) for name, value in (counted | got).items()}
    return {
        "weight": recipe.sources[survey.names[number]].weight,
        "read": int(own.sum()),
        "available": int(targets.available[number].sum()),
        "asked": round(asked),
        "got": taken,
        "asked_share": round(asked / max(float(targets.asked.sum()), 1.0), 4),
        "got_share": round(taken / max(int(targets.taken.sum()), 1), 4),
        "pictures_alone": int((kept & own & (survey.text < 0)).sum()),
        "languages": languages,
    }


def _remarks(recipe: ComposeRecipe, survey: Survey, outcome: Outcome, report: Json) -> list[str]:
    """What a person should know before using the set."""
    remarks = [*_unreached(recipe, report)]
    for name, entry in report["splits"].items():
        if abs(entry["asked"] - entry["got"]) > max(1, 0.02 * entry["asked"]):
            remarks.append(f"{name} has {entry['got']} records instead of {entry['asked']}: groups are not divided.")
    largest, records = report["groups"]["largest"], max(report["records"], 1)
    if largest > 0.02 * records and largest > 50:
        remarks.append(
            f"the largest group holds {largest} records ({largest / records:.0%}) that stay in one split; "
            "duplicates.stock=1 or duplicates.texts=null joins fewer texts, duplicates.images fewer pictures."
        )
    if report["stock_phrases"]["records"]:
        remarks.append(
            f"{report['stock_phrases']['records']} records have a stock phrase, a text at more than {recipe.duplicates.stock} "
            "pictures: it may stand in several splits."
        )
    for what, count in (("images", outcome.renamed_images), ("texts", outcome.renamed_texts)):
        if count:
            remarks.append(f"{count} {what} were given new ids: theirs mean another one in an earlier source.")
    found = survey.found
    for name, words in (
        ("flat", "have too little in them for a perceptual hash: only equal files count as the same"),
        ("urls", "are URLs: they were compared by their address alone"),
        ("missing", "have no file, or an empty one: they were compared by their path alone"),
        ("unreadable", "cannot be decoded: they were compared by their file alone"),
    ):
        if found[name]:
            remarks.append(f"{found[name]} pictures {words}.")
    for name, before in survey.sources_before.items():
        value = recipe.sources[name].source or name
        for other, count in sorted(before.items()):
            if other != value:
                remarks.append(f"{count} records of {name} said source {other!r}; the column says {value!r} now.")
    return remarks


def _unreached(recipe: ComposeRecipe, report: Json) -> list[str]:
    found = []
    for name, source in report["sources"].items():
        if source["asked"] - source["got"] > 1:
            found.append(f"{name}: {source['asked']} {recipe.count} were asked for, {source['got']} could be taken.")
        for lang, entry in source["languages"].items():
            if entry["asked"] - entry["got"] > 1:
                found.append(f"{name}, {lang}: {entry['asked']} {recipe.count} were asked for, {entry['got']} could be taken.")
    return found
