"""What a records folder holds: per language, source, split and category, with lengths, scripts and what groups share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mella_retrieval import languages
from mella_retrieval.artifacts import Json
from mella_retrieval.data.records import Records, Where
from mella_retrieval.data.statistics.groups import (
    count_values,
    describe_group,
    describe_values,
    length_edges,
    texts_on_several_images,
)
from mella_retrieval.data.statistics.overlap import shared_between
from mella_retrieval.data.statistics.rows import Rows, read_rows
from mella_retrieval.data.statistics.scripts import script_of
from mella_retrieval.data.writing import Progress

__all__ = ["SPLIT", "describe_records", "script_of"]

SPLIT = "split"
"""The column that names the split of a record, where there is one."""


def describe_records(
    records: Records, where: Where | None = None, *, by: Sequence[str] = (), progress: Progress | None = None
) -> Json:
    """Statistics of a record set, or of the rows that pass `where`.

    Args:
        records: the record set.
        where: column -> value or values.
        by: further columns to group by, categories for instance; a value with `|` counts for each of its parts.
        progress: called with (records read, records; 0 = not known).

    Returns:
        JSON-able: the whole as `groups.describe_group` has it; `texts_on_several_images` (per language: different texts that
        stand on more than one picture); `by_source` and, where there is such a column, `by_split`: value -> group;
        `by_language`: code -> group with `name`, `texts_on_several_images`, `scripts` (ISO 15924 -> share of the letters),
        `usual_script`, `by_source` and `by_split` (value -> records) and `lengths` (texts between neighbours of
        `length_edges`); `by`: column -> value -> group; `overlap`: `lang`, `source`, `split` -> see `overlap.shared_between`.

    Raises:
        DataError: no such column.
    """
    own = ["source", SPLIT] if SPLIT in records.schema.names else ["source"]
    rows = read_rows(records, where, [*own, *by], progress)
    written = rows.texts != 0
    edges = length_edges(int(rows.characters.max(initial=0)))
    by_language = {code: _language(rows, code, own, edges) for code in sorted(rows.scripts)}
    everything = np.ones(len(rows), dtype=bool)
    return {
        **describe_group(rows),
        "texts_on_several_images": sum(entry["texts_on_several_images"] for entry in by_language.values()),
        **{f"by_{column}": describe_values(rows, rows.columns[column]) for column in own},
        "by": {column: describe_values(rows, rows.columns[column], parts=True) for column in by},
        "length_edges": edges,
        "by_language": by_language,
        "overlap": {
            "lang": shared_between(rows, rows.columns["lang"], written),
            **{column: shared_between(rows, rows.columns[column], everything) for column in own},
        },
    }


def _language(rows: Rows, code: str, columns: Sequence[str], edges: Sequence[int]) -> Json:
    chosen = rows.columns["lang"].of(code)
    language = languages.get(code)
    return {
        "name": language.name,
        **describe_group(rows, chosen),
        "texts_on_several_images": texts_on_several_images(rows, chosen),
        "scripts": rows.scripts[code],
        "usual_script": language.script,
        **{f"by_{column}": count_values(rows.columns[column], chosen) for column in columns},
        "lengths": np.histogram(rows.characters[chosen], edges)[0].tolist() if len(edges) > 1 else [],
    }
