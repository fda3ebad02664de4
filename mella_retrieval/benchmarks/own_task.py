"""A task for a folder of the user's own: any records, measured in all languages they have."""

from __future__ import annotations

from mella_retrieval import languages
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError

_GROUPS = {"mella": languages.MELLA, "uclip": languages.UCLIP}


def own_task(records: Records, name: str) -> Task:
    """The task that measures all texts of a record set against all its pictures; nothing about it is verified.

    Of records with a column `split` and a split `test` beside others, only that split counts. Sources are told apart where the
    records name more than one. Groups of which the records have every language get a mean.

    Raises:
        DataError: the records have no text in a language.
    """
    where: dict[str, str | list[str]] = {"split": "test"} if _has_other_splits(records) else {}
    rows = records.table(["lang", "source"], where)
    codes = tuple(sorted(set(rows["lang"].to_pylist()) - {""}))
    if not codes:
        if records.counts.get("without_text") == len(records):
            raise DataError(f"{records.folder} has pictures but no captions: there is nothing to ask.")
        raise DataError(f"{records.folder} has no texts in a named language; import it again with lang=CODE.")
    sources = set(rows["source"].to_pylist()) - {""}
    return Task(
        name=name,
        title=name,
        source=f"a folder of the user, {name}",
        licence="not stated",
        protocols=("all-hit", "first"),
        languages=codes,
        where=where,
        breakdown=("source",) if len(sources) > 1 else (),
        groups={group: members for group, members in _GROUPS.items() if set(members) <= set(codes) and len(codes) > len(members)},
    )


def _has_other_splits(records: Records) -> bool:
    """Whether some records belong to a test split and others to another."""
    found = set(records.table(["split"])["split"].to_pylist()) if "split" in records.schema.names else set()
    return "test" in found and len(found - {None, ""}) > 1
