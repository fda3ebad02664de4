"""What is wrong with a record set or unknown of it, as far as its own numbers tell."""

from __future__ import annotations

from typing import Any

from mella_retrieval.data.card.facts import Facts
from mella_retrieval.data.statistics.scripts import usual_share

_PERSONAL = "personal"


def known_limits(facts: Facts) -> list[str]:
    """A sentence for each limit. Facts of the set; no list of what could be wrong with any data."""
    stats, pictures = facts.stats, facts.pictures
    texts = stats["records"] - stats["without_text"]
    counted = [
        (stats["without_text"], "records are pictures without a text."),
        (stats["without_image"], "records have no picture."),
        (pictures.urls, "pictures are URLs that may lead nowhere, or to another picture, by now."),
        (pictures.outside, "pictures are not in this folder."),
        (stats["texts_on_several_images"], "different texts stand on more than one picture."),
        (texts - sum(entry["texts"] for entry in stats["by_language"].values()), "texts repeat another one of their language."),
    ]
    return [
        *(f"{count:,} {what}" for count, what in counted if count),
        *(f"{count:,}: {warning}." for warning, count in facts.outcome["warnings"].items()),
        *_scripts(facts),
        *_shared(facts),
        "Whether each text is in the language that it is said to be in was not tested for this card "
        "(mella data check --languages does).",
        "Whether it shares pictures or texts with a test set was not tested for this card "
        "(mella data check --disjoint-from does)." + _apart_from(facts),
    ]


def personal_data(facts: Facts) -> list[str]:
    """What was done about personal data, as far as the manifest tells."""
    rejected = sum(count for reason, count in facts.removed.items() if _PERSONAL in reason)
    if rejected:
        texts = f"{rejected:,} candidates were rejected for personal data in their text (e-mail addresses, telephone numbers)."
    elif _mentions(facts.made_by, _PERSONAL):
        texts = "The recipe looks for personal data in texts (e-mail addresses, telephone numbers); nothing was rejected for it."
    else:
        texts = "Nothing in the manifest says that personal data was looked for in the texts."
    return [texts, "Names of persons, and faces in pictures, were not looked for by anything that is recorded here."]


def _scripts(facts: Facts) -> list[str]:
    """Languages whose letters are often not of the usual script."""
    lines = []
    for code, entry in facts.stats["by_language"].items():
        share = usual_share(entry["scripts"], entry["usual_script"])
        if share is not None and share < 0.9:
            usual = entry["usual_script"]
            lines.append(f"{code}: {share:.1%} of the letters are of the language's usual script, {usual}.")
    return lines


def _shared(facts: Facts) -> list[str]:
    return [
        f"{pair['images']:,} pictures and {pair['texts']:,} texts stand both in the splits {' and '.join(pair['between'])}."
        for pair in facts.stats["overlap"].get("split", [])
        if all(pair["between"])
    ]


def _apart_from(facts: Facts) -> str:
    """Sets from which composing kept it apart."""
    sets = facts.made_by.get("disjoint_from") or {}
    names = ", ".join(sets)
    return f" It was composed so as not to meet: {names}." if sets else ""


def _mentions(value: Any, word: str) -> bool:
    if isinstance(value, dict):
        return any(_mentions(key, word) or _mentions(item, word) for key, item in value.items() if item not in (None, False))
    if isinstance(value, list):
        return any(_mentions(item, word) for item in value)
    return bool(value == word)
