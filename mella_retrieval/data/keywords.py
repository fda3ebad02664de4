"""Keywords of pictures as records: one text per keyword and picture, to ask for what a culture names.

The keywords stand in a column of the records, as a list or as one text with a separator. Asked by the protocol `keywords`, a
keyword finds a picture if any of those that carry it ranks: its hit rate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.data.deriving import write_derived
from mella_retrieval.data.records import Records
from mella_retrieval.data.writing import ImportReport, Progress
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import suggest

SOURCE = "keyword"


def write_keywords(
    records: Records,
    out: Path | str,
    column: str = "keywords",
    *,
    separator: str = "|",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Write each keyword of each record as a record of its own, with `source` "keyword"; a repeated one of a record once.

    A picture without keywords stays as a record without a text.

    Args:
        records: with a column of keywords.
        out: the new folder.
        column: lists of texts (an import stores them as JSON), or texts with a separator.
        separator: between the keywords of one text.
        overwrite: replace a records folder that is there.
        progress: called with (rows read, 0).

    Raises:
        DataError: there is no such column.
        ArtifactError: the folder exists or cannot be written.
    """
    if column not in records.schema.names:
        raise DataError(f"{records.folder} has no column {column!r}.{suggest(column, records.schema.names)}")

    def keywords(row: Mapping[str, Any]) -> list[str]:
        return list(dict.fromkeys(text.strip() for text in _several(row[column], separator) if text.strip()))

    made_by = {"keywords_of": records.fingerprint, "column": column, "separator": separator}
    return write_derived(
        records, out, keywords, made_by, source=SOURCE, keep_pictures=True, overwrite=overwrite, progress=progress
    )


def _several(value: Any, separator: str) -> list[str]:
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            value = str(value)
    given = value.split(separator) if isinstance(value, str) else value or ()
    return [str(text) for text in given if text is not None]
