"""What the tasks are and what each needs, for people who choose one: `mella benchmark --list`.

A list has one line per task; the details of one task say which file comes from where and what a person must get.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from mella_retrieval.benchmarks.obtain import Provenance, cache_folder, missing, provenance
from mella_retrieval.benchmarks.tasks import SourceFile, Task, list_tasks
from mella_retrieval.errors import MellaError

_FEW_LANGUAGES = 4
_FEW_FILES = 40


class Row(NamedTuple):
    """One task in the list; every field is text for a person, `images` a number or `unverified`."""

    task: str
    title: str
    kind: str
    languages: str
    images: str
    protocols: str
    licence: str
    download: str


HEAD = Row("task", "title", "kind", "languages", "images", "protocols", "licence", "download")


def task_rows(tasks: Iterable[Task] | None = None) -> tuple[Row, list[Row]]:
    """The head of the list, and a line per task in the order given; by default those that come with the package, by name."""
    return HEAD, [_row(task) for task in (list_tasks() if tasks is None else tasks)]


def describe_task(task: Task, folder: Path | None = None) -> list[str]:
    """The `details` of a task as lines of text, one under the other."""
    found = details(task, folder)
    width = max(len(what) for what, _ in found)
    lines = []
    before = ""
    for what, text in found:
        lines.append(f"{'' if what == before else what:<{width}}  {text}")
        before = what
    return lines


def details(task: Task, folder: Path | None = None) -> list[tuple[str, str]]:
    """One task in full, as (what, text) lines; the same `what` may stand on several lines.

    Args:
        task: which one.
        folder: where its files are or will be; by default the cache. It says which are there already.
    """
    folder = folder or cache_folder(task)
    found = _provenance(task, folder)
    return [
        ("task", task.name),
        ("title", task.title),
        ("kind", task.kind),
        ("source", task.source),
        ("licence", task.licence),
        ("protocols", ", ".join(task.protocols)),
        ("languages", f"{len(task.languages)}: {', '.join(task.languages)}"),
        ("images", str(task.images)),
        ("captions", _captions(task)),
        *(("group", f"{name}: {', '.join(codes)}") for name, codes in task.groups.items()),
        ("format", " ".join([task.format, *(f"{key}={value}" for key, value in task.options.items())])),
        *(("where", f"{column} = {value}") for column, value in task.where.items()),
        ("revision", _of(found.revision, task.revision)),
        ("checksum", _of(found.checksum, task.checksum)),
        *_files(task, folder),
        *(("by hand", sentence) for sentence in task.by_hand),
        ("folder", str(folder)),
        *(("note", note) for note in task.notes),
    ]


def _provenance(task: Task, folder: Path) -> Provenance:
    """Revision and checksum of what is in a folder; `unverified` also where its record cannot be read."""
    try:
        return provenance(task, folder)
    except MellaError:
        return Provenance()


def _row(task: Task) -> Row:
    return Row(
        task.name,
        task.title,
        task.kind,
        ", ".join(task.languages) if len(task.languages) <= _FEW_LANGUAGES else str(len(task.languages)),
        str(task.images),
        ", ".join(task.protocols),
        task.licence,
        _download(task),
    )


def _download(task: Task) -> str:
    """`automatic from HOST (captions, pictures)`, `by hand`, both, or `nothing` for what comes with the package."""
    parts = []
    if task.files:
        hosts = Counter(_host(source) for source in task.files)
        parts.append(f"automatic from {', '.join(hosts)}{_size(task.files)}")
    if task.by_hand:
        parts.append(f"by hand: {', '.join(_subject(sentence) for sentence in task.by_hand)}")
    return "; ".join(parts) or ("nothing" if "://" not in task.source else f"by hand: see {task.source}")


def _subject(sentence: str) -> str:
    """What a sentence of `by_hand` is about: the words before its colon, or the whole of it."""
    return sentence.partition(": ")[0][:60].lower()


def _host(source: SourceFile) -> str:
    return urlsplit(source.url).hostname or source.url if source.url else f"the hub ({source.hub})"


def _size(sources: Sequence[SourceFile]) -> str:
    known = [source.bytes for source in sources if isinstance(source.bytes, int)]
    return f" ({readable(sum(known))})" if len(known) == len(sources) else ""


def readable(size: int) -> str:
    """A size in bytes for a person: `170 MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _files(task: Task, folder: Path) -> list[tuple[str, str]]:
    try:
        absent = {source.path for source in missing(task, folder)}
    except MellaError:
        absent = {source.path for source in task.files}
    lines = [("file", _file(source, source.path not in absent)) for source in task.files]
    if len(lines) > _FEW_FILES:
        there = len(task.files) - len(absent)
        first, last = lines[0], lines[-1]
        return [first, ("file", f"... {len(lines) - 2} more, {there} of all {len(lines)} are here ..."), last]
    return lines


def _file(source: SourceFile, there: bool) -> str:
    size = readable(source.bytes) if isinstance(source.bytes, int) else "size unverified"
    origin = source.url or f"{source.file} of the data set {source.hub} at revision {source.revision}"
    content = "SHA-256 unverified" if source.sha256 == "unverified" else f"SHA-256 {source.sha256}"
    unpacked = ", unpacked" if source.unpack else ""
    return f"{source.path}: {source.what}, {size}{unpacked}, {content}, {'is here' if there else 'not here yet'}, from {origin}"


def _captions(task: Task) -> str:
    if isinstance(task.captions, str):
        return task.captions
    counts = set(task.captions.values())
    if len(counts) == 1 and len(task.captions) > 1:
        return f"{counts.pop()} in every language"
    return ", ".join(f"{code} {count}" for code, count in task.captions.items())


def _of(found: str, stated: str) -> str:
    """What was recorded, and what the recipe states where that is another thing or all there is."""
    if found == stated:
        return stated
    return f"{stated} (of the recipe)" if found == "unverified" else found
