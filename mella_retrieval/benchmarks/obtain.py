"""The files of a test set: a folder of the user's, or the cache, filled by download and checked at every load.

What a recipe could not state (`unverified`) is written down at the first download, in `downloads.json` in the folder, and
holds from then on: a file that is another one later is an error, never another result. Of an unpacked archive, which is
removed, the names and sizes of what came out are kept beside it and compared.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from pydantic import Field

from mella_retrieval.artifacts import fingerprint, read_json, sha256_file, write_json, writer_lock
from mella_retrieval.benchmarks.tasks import UNVERIFIED, SourceFile, Task
from mella_retrieval.data.archives import unpack
from mella_retrieval.data.downloads import PATIENCE, Patience, Progress, fetch
from mella_retrieval.data.hub_downloads import fetch_from_hub
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, MismatchError
from mella_retrieval.recipes import Strict, build_config

RECORD = "downloads.json"
_CONTENTS = ".contents.json"


class Download(Strict):
    """One downloaded file, as it arrived; no dates, so that equal downloads are recorded alike.

    Attributes:
        url: where it came from, or
        hub, file, commit: repository, path in it and commit.
        sha256, bytes: of the content; of an archive, of the archive.
        etag: the server's name of the content, "" if it gave none.
        contents: of an archive, the SHA-256 of the list of what came out of it.
    """

    url: str = ""
    hub: str = ""
    file: str = ""
    commit: str = ""
    sha256: str
    bytes: int
    etag: str = ""
    contents: str = ""


class _Record(Strict):
    format_version: Literal[1] = 1
    task: str
    files: dict[str, Download] = Field(default_factory=dict)


class Provenance(NamedTuple):
    """What a result says about its data; both are `unverified` where it is not known.

    Attributes:
        revision: of the source: what the recipe pins, or `OWNER/NAME@COMMIT` as it was downloaded.
        checksum: SHA-256 of the sorted list of files and their SHA-256, over all files of the task.
    """

    revision: str = UNVERIFIED
    checksum: str = UNVERIFIED


def cache_folder(task: Task) -> Path:
    """Where the files of a task are kept: under `$MELLA_CACHE`, else `mella-retrieval` in the user's cache folder."""
    named = os.environ.get("MELLA_CACHE")
    if named:
        return Path(named).expanduser() / "tasks" / task.name
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mella-retrieval" / "tasks" / task.name


def obtain(
    task: Task,
    folder: Path | str | None = None,
    *,
    download: bool = True,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> Path:
    """The folder with the files of a task, downloaded if they are not there.

    Args:
        task: the test set.
        folder: the user's own, which is taken as it is; by default the cache, where what is missing is downloaded.
        download: whether it may be.
        progress: called with (bytes there, bytes in all; 0 = not known), over all files that are downloaded now.
        patience: with a slow or broken server.

    Raises:
        DataError: there is no such folder; all of the files are such that only a person can get them (the sentences are
            given); files are missing and may not be downloaded; a download fails.
        MismatchError: a file is not the one that the recipe names, or that was recorded at the first download.
        LockedError: another process is downloading this task.
    """
    if folder is not None:
        folder = Path(folder)
        if not folder.exists():
            raise DataError(f"there is no file or folder {folder}.")
        verify(task, folder)
        return folder
    folder = cache_folder(task)
    verify(task, folder)
    if (wanted := missing(task, folder)) and not download:
        raise DataError(
            f"{_names(wanted)} of the task {task.name!r} must be downloaded, into {folder}: allow it, or give a folder of your "
            f"own with --data. `mella benchmark {task.name} --list` says what lies where."
        )
    if _to_do(task, folder):
        with writer_lock(folder):
            _download_all(task, folder, _to_do(task, folder), progress, patience)
    if not task.files and still_by_hand(task, folder):
        raise DataError(f"the task {task.name!r} needs what no program can download. {_by_hand(task, folder)}")
    return folder


def missing(task: Task, folder: Path) -> list[SourceFile]:
    """The files of a task that must be downloaded, because neither they nor what an archive held are in a folder."""
    return [source for source in _to_do(task, folder) if not (folder / source.path).is_file()]


def still_by_hand(task: Task, folder: Path) -> tuple[str, ...]:
    """What a person has to get, as long as a folder holds nothing but what was downloaded into it; else nothing.

    Pictures are often optional: vectors from elsewhere are matched by the pictures' names.
    """
    origin = f"See {task.source}." if "://" in task.source else f"It is {task.source}."
    sentences = task.by_hand or (() if task.files else (origin,))
    return () if _foreign(task, folder) else sentences


def verify(task: Task, folder: Path) -> None:
    """Compare what was downloaded into a folder with the recipe and with `downloads.json`.

    Files that are not there are not looked at, nor is a folder without `downloads.json`, which is somebody's own.

    Raises:
        MismatchError: a recipe or a file differs from what was recorded; both values are given.
    """
    record = read_record(task, folder)
    for source in task.files:
        found = record.get(source.path)
        if found is None:
            continue
        where = f"{folder / source.path} (task {task.name!r})"
        for what, stated, value in (
            ("sha256", source.sha256, found.sha256),
            ("bytes", source.bytes, found.bytes),
            ("revision", source.revision, found.commit or source.revision),
        ):
            if stated not in {UNVERIFIED, value}:
                raise MismatchError(
                    f"{where} was downloaded with {what} {value}, but the recipe names {stated}. Remove {folder} to download "
                    "it again."
                )
        if found.contents:
            _verify_contents(folder / source.path, found, where)
        elif (folder / source.path).is_file() and (content := sha256_file(folder / source.path)) != found.sha256:
            raise MismatchError(
                f"{where} has SHA-256 {content}, but {found.sha256} was recorded at the first download: it was changed. "
                "Remove it to download it again."
            )


def provenance(task: Task, folder: Path) -> Provenance:
    """Revision and checksum of the data in a folder, as far as they were downloaded and recorded there."""
    record = read_record(task, folder)
    known = {source.path: record[source.path] for source in task.files if source.path in record}
    if not known or len(known) < len(task.files) or missing(task, folder):
        return Provenance()
    commits = sorted({f"{found.hub}@{found.commit}" for found in known.values() if found.commit})
    revision = task.revision if task.revision != UNVERIFIED or not commits else ", ".join(commits)
    if task.by_hand:  # a part of the data came in no download
        return Provenance(revision)
    checksum = fingerprint({path: found.sha256 for path, found in known.items()})
    if task.checksum not in {UNVERIFIED, checksum}:
        raise MismatchError(
            f"the files of {folder} have the checksum {checksum}, but the task {task.name!r} names {task.checksum}."
        )
    return Provenance(revision, checksum)


def read_record(task: Task, folder: Path) -> dict[str, Download]:
    """What was downloaded into a folder for a task: path -> download; empty where nothing was.

    Raises:
        ArtifactError: the record is damaged. MismatchError: it is that of another task.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
        record = build_config(_Record, content if isinstance(content, dict) else {}, str(path))
    except ConfigError as error:
        raise ArtifactError(f"{error}; remove {folder} to download it again.") from error
    if record.task != task.name:
        raise MismatchError(f"{folder} was downloaded for the task {record.task!r}, not for {task.name!r}.")
    return record.files


# Downloading ------------------------------------------------------------------------------------------------------------


def _download_all(task: Task, folder: Path, sources: list[SourceFile], progress: Progress | None, patience: Patience) -> None:
    sizes = [source.bytes for source in sources if not (folder / source.path).is_file()]
    total = sum(size for size in sizes if isinstance(size, int)) if all(isinstance(size, int) for size in sizes) else 0
    before = 0
    for source in sources:
        record = read_record(task, folder)
        step = _shifted(progress, before, total, alone=len(sizes) == 1)
        own = (folder / source.path).is_file()
        if own:
            done = _adopt(source, folder)
        else:
            done = _download(source, folder, record, step, patience)
            before += done.bytes
        if source.unpack:
            done = done.model_copy(update={"contents": _unpack(folder / source.path)})
        files = {**record, source.path: done}
        content = _Record(task=task.name, files={path: files[path] for path in sorted(files)})
        write_json(folder / RECORD, content.model_dump(exclude_defaults=True) | {"format_version": content.format_version})
        if source.unpack and not own:
            (folder / source.path).unlink()


def _adopt(source: SourceFile, folder: Path) -> Download:
    """A file that somebody put into the cache: checked as far as the recipe knows it, and never removed."""
    path = folder / source.path
    done = Download(sha256=sha256_file(path), bytes=path.stat().st_size)
    for what, stated, value in (("sha256", source.sha256, done.sha256), ("bytes", source.bytes, done.bytes)):
        if stated not in {UNVERIFIED, value}:
            raise MismatchError(f"{path} has {what} {value}, but the recipe names {stated}: it is another file.")
    return done


def _download(
    source: SourceFile, folder: Path, record: Mapping[str, Download], progress: Progress | None, patience: Patience
) -> Download:
    before = record.get(source.path)
    sha256 = _stated(source.sha256) or (before.sha256 if before else None)
    path = folder / source.path
    if source.url is not None:
        size = source.bytes if isinstance(source.bytes, int) else (before.bytes if before else None)
        done = fetch(source.url, path, sha256=sha256, size=size, progress=progress, patience=patience, locked=True)
        return Download(url=source.url, sha256=done.sha256, bytes=done.bytes, etag=done.etag)
    hub, file = str(source.hub), str(source.file)
    # Files of one repository come from one commit, also when they are fetched on different days.
    commits = [found.commit for found in record.values() if found.hub == hub and found.commit]
    revision = _stated(source.revision) or (commits[0] if commits else None)
    done = fetch_from_hub(hub, file, path, revision=revision, sha256=sha256, progress=progress, patience=patience, locked=True)
    if isinstance(source.bytes, int) and done.bytes != source.bytes:
        path.unlink()
        raise DataError(f"{file} of the data set {hub} has {done.bytes} bytes instead of {source.bytes}; it was removed.")
    return Download(hub=hub, file=file, commit=done.commit, sha256=done.sha256, bytes=done.bytes, etag=done.etag)


def _unpack(archive: Path) -> str:
    """Unpack into the folder of the archive; the SHA-256 of the list of what came out, which is put beside it."""
    sizes = unpack(archive, archive.parent)
    listing = archive.with_name(f"{archive.name}{_CONTENTS}")
    write_json(listing, sizes)
    return sha256_file(listing)


def _shifted(progress: Progress | None, before: int, total: int, *, alone: bool) -> Progress | None:
    if progress is None:
        return None
    report = progress
    return lambda done, of: report(before + done, of if alone else total)


def _stated(value: str) -> str | None:
    return None if value == UNVERIFIED else value


# Looking ----------------------------------------------------------------------------------------------------------------


def _to_do(task: Task, folder: Path) -> list[SourceFile]:
    """The files of a task that are not there as they were recorded."""
    record = read_record(task, folder)
    return [source for source in task.files if not _is_there(source, folder, record)]


def _is_there(source: SourceFile, folder: Path, record: Mapping[str, Download]) -> bool:
    found = record.get(source.path)
    if source.unpack:
        return found is not None and bool(found.contents) and not _lost(folder / source.path)
    return found is not None and (folder / source.path).is_file()


def _lost(archive: Path) -> list[str]:
    """What came out of an archive and is no longer there; the list itself counts."""
    listing = archive.with_name(f"{archive.name}{_CONTENTS}")
    if not listing.is_file():
        return [listing.name]
    return [name for name in read_json(listing) if not (archive.parent / name).is_file()]


def _verify_contents(archive: Path, found: Download, where: str) -> None:
    listing = archive.with_name(f"{archive.name}{_CONTENTS}")
    if not listing.is_file():
        return
    if (content := sha256_file(listing)) != found.contents:
        raise MismatchError(f"{listing} has SHA-256 {content}, but {found.contents} was recorded when {where} was unpacked.")
    for name, size in read_json(listing).items():
        path = archive.parent / name
        if path.is_file() and path.stat().st_size != size:
            raise MismatchError(
                f"{path} has {path.stat().st_size} bytes, but {size} when {where} was unpacked: it was changed. Remove it to "
                "download the archive again."
            )


def _foreign(task: Task, folder: Path) -> bool:
    """Whether a folder holds anything that was not downloaded into it."""
    own = {folder / RECORD}
    for source in task.files:
        archive = folder / source.path
        listing = archive.with_name(f"{archive.name}{_CONTENTS}")
        own |= {archive, listing}
        if listing.is_file():
            own |= {archive.parent / name for name in read_json(listing)}
    return any(path not in own and path.is_file() for path in folder.rglob("*") if not path.name.startswith("."))


def _names(sources: list[SourceFile]) -> str:
    first = ", ".join(PurePosixPath(source.path).name for source in sources[:3])
    return first if len(sources) <= 3 else f"{first} and {len(sources) - 3} more"


def _by_hand(task: Task, folder: Path) -> str:
    steps = [f"{number}. {sentence}" for number, sentence in enumerate(still_by_hand(task, folder), start=1)]
    ready = f"Give the folder where it is, or put it into {folder}."
    return " ".join([*(["By hand:", *steps] if steps else []), ready])
