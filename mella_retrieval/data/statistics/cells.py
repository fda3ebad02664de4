"""A group of records in the cells of a table."""

from __future__ import annotations

from mella_retrieval.artifacts import Json

HEAD = ("records", "pictures", "texts", "characters", "longest", "words")
"""Titles of the cells; characters and words are medians."""


def cells(group: Json, none: str = "") -> list[str]:
    """What `groups.describe_group` found, one cell a title of `HEAD`; `none` where there is no text, or no words are counted."""
    characters, words = group["characters"], group["words"]
    counts = [f"{group[name]:,}" for name in ("records", "images", "texts")]
    lengths = [f"{characters['median']:.0f}", f"{characters['max']:,}"] if characters else [none, none]
    return [*counts, *lengths, f"{words['median']:.0f}" if words else none]
