"""Records whose pictures are URLs become records with picture files.

The work stands in `<out>.work`: a journal of the URLs, and the folder in the making with its pictures, each named after its
content. At the end the rows are written into it, it takes the place of `<out>`, and the rest is removed.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mella_retrieval.artifacts import (
    MANIFEST,
    Json,
    atomic_write,
    beside,
    canonical_json,
    fingerprint,
    read_manifest,
    remove_leftovers,
    replace_folder,
    require_free,
    sha256_bytes,
    sha256_file,
    write_manifest,
    writer_lock,
)
from mella_retrieval.data.image_store import folder_digest, image_suffix
from mella_retrieval.data.images import read_image
from mella_retrieval.data.records import COLUMNS, KIND, VERSION, Note, RawRecord, Records, Rejected, is_url
from mella_retrieval.data.seen import SeenKeys
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.web import journal
from mella_retrieval.data.web.addresses import host_of
from mella_retrieval.data.web.fetching import PICTURES, Failed, Fetcher, FetchOptions, Result
from mella_retrieval.data.web.journal import Entry, Journal
from mella_retrieval.data.writing import ImportReport, Item, Progress, write_records
from mella_retrieval.errors import ArtifactError, DataError

URL, SHA256 = "image_url", "image_sha256"
IMAGES = "images"

_LISTED_HOSTS = 20
_DECIDING = ("max_bytes", "allow_private", "robots", "user_agent", "proxies")
_decoding = threading.BoundedSemaphore(os.cpu_count() or 1)  # a decoded picture may be a hundred times as large as its file


@dataclass
class DownloadReport(ImportReport):
    """What a download did: an import report, and what became of the URLs.

    Attributes:
        urls: different URLs in the records.
        downloaded: those that gave a picture.
        failed: reason -> URLs that gave none.
        hosts: host -> URLs of it that gave none; at most the 20 with the most of them.
    """

    urls: int = 0
    downloaded: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> Json:
        """JSON-able form."""
        urls = {"urls": self.urls, "downloaded": self.downloaded, "failed": self.failed, "hosts": self.hosts}
        return {**super().as_dict(), **urls}


def download_pictures(
    records: Records, out: Path | str, options: FetchOptions, *, overwrite: bool = False, progress: Progress | None = None
) -> DownloadReport:
    """Download the pictures that are URLs; started again after it was killed, it goes on where it was.

    Every URL is asked for once. A record keeps its columns; `image` becomes the file, named after its content, `image_url` the
    address and `image_sha256` the hash. Records whose URL gives no picture are rejected with the reason; those with local
    pictures or none are kept as they are.

    Args:
        records: what to download for.
        out: the new records folder.
        options: how the web is asked.
        overwrite: replace a records folder that is already there.
        progress: called with (URLs done, URLs).

    Raises:
        DataError: not one record is left, or `out` is where the records come from.
        ArtifactError: `out` exists or cannot be written.
        LockedError: another process is downloading into it.
    """
    out = Path(out).absolute()
    if out.resolve() in {place for own in (records.folder.resolve(), records.image_root) for place in (own, *own.parents)}:
        raise DataError(f"{out} would replace the records or pictures that it is made from; choose another folder.")
    with writer_lock(out):
        return _Download(records, out, options).run(overwrite, progress)


class _Download:
    """One download: what it works on and where. The writer's lock is held."""

    def __init__(self, records: Records, out: Path, options: FetchOptions) -> None:
        self._records, self._out, self._options = records, out, options
        self._work = beside(out, ".work")
        self._new, self._rows = self._work / "out", self._work / "rows"
        self._images = self._new / IMAGES
        self._job: Json = {"pictures_of": records.fingerprint, "options": options.model_dump(include=set(_DECIDING))}

    def run(self, overwrite: bool, progress: Progress | None) -> DownloadReport:
        begun = (self._work / journal.NAME).is_file()
        if not begun:
            self._refuse(overwrite)
            self._work.mkdir(parents=True, exist_ok=True)
        with Journal(self._work) as notes:
            if not self._is_placed(notes):
                self._refuse(overwrite)
                notes.set_note("placed", "")
                notes.begin(fingerprint(self._job))
                self._images.mkdir(parents=True, exist_ok=True)
                remove_leftovers(self._images)
                urls = sum(1 for _ in _urls(self._records))
                self._fetch(notes, urls, progress)
                self._place(notes, self._write(notes, urls))
            report = _read_report(self._out, notes.note("report"))
        self._remove_work()
        return report

    def _refuse(self, overwrite: bool) -> None:
        """Whatever somebody may have put where this would write."""
        if self._work.exists() and not (self._work / journal.NAME).is_file() and any(self._work.iterdir()):
            raise ArtifactError(f"{self._work} is not the work folder of a download: move it away, or choose another folder.")
        require_free(self._out, overwrite=overwrite)
        if self._out.is_dir() and any(self._out.iterdir()):
            read_manifest(self._out, KIND, VERSION)  # only records are ever replaced

    def _fetch(self, notes: Journal, urls: int, progress: Progress | None) -> None:
        """Ask for every URL of which nothing is known."""
        done = 0

        def unknown() -> Iterator[str]:
            nonlocal done
            for url in _urls(self._records):
                if self._is_known(notes.get(url)):
                    done += 1
                else:
                    yield url

        with Fetcher(self._options, PICTURES) as fetcher:
            for _ in fetcher.fetch_each(unknown(), lambda result: notes.put(self._keep(result))):
                done += 1
                if progress is not None:
                    progress(done, urls)
        if progress is not None:
            progress(done, urls)

    def _is_known(self, entry: Entry | None) -> bool:
        return entry is not None and (not entry.file or _has_size(self._images / entry.file, entry.size))

    def _keep(self, result: Result) -> Entry:
        """Store a picture, if it is one."""
        if isinstance(result, Failed):
            return Entry(result.url, reason=result.reason, passing=result.passing)
        try:
            with _decoding:
                read_image(result.data)
        except DataError as error:
            return Entry(result.url, reason=f"not a picture: {error}")
        file = f"{sha256_bytes(result.data)}.{image_suffix(result.data)}"
        if not _has_size(self._images / file, len(result.data)):
            with atomic_write(self._images / file) as opened:
                opened.write(result.data)
        return Entry(result.url, file, len(result.data))

    def _write(self, notes: Journal, urls: int) -> DownloadReport:
        """Write the rows and the manifest beside the pictures."""
        shutil.rmtree(self._rows, ignore_errors=True)
        remove_leftovers(self._work)
        for path in self._new.iterdir():  # of an earlier attempt at this
            if path != self._images:
                path.unlink()
        failed, hosts = _failures(notes)
        used = SeenKeys()
        report = write_records(
            self._rows,
            self._items(notes, used, urls, failed),
            options=ImportOptions(duplicates="keep", control_characters="keep", text_only=True),
            image_root=self._rows,
            made_by=self._job,
        )
        for path in self._images.iterdir():
            if used.add([path.name.encode()])[0]:  # the same URL gave something else before the job was killed
                path.unlink()
        manifest = read_manifest(self._rows, KIND, VERSION)
        for path in self._rows.iterdir():
            if path.name != MANIFEST:
                path.replace(self._new / path.name)
        write_manifest(self._new, KIND, VERSION, {**manifest, "stored_images": folder_digest(self._images)})
        downloaded = urls - sum(failed.values())
        return DownloadReport(**vars(report), urls=urls, downloaded=downloaded, failed=failed, hosts=hosts)

    def _items(self, notes: Journal, used: SeenKeys, urls: int, failed: dict[str, int]) -> Iterator[Item]:
        """The records as they will be, and a note; `used` learns the names of their pictures' files."""
        place = self._out.resolve()
        number = 0
        for batch in self._records.batches():
            files = []
            for row in batch.to_pylist():
                number += 1
                where, image = f"record {number}", row["image"]
                extras = {name: value for name, value in row.items() if name not in COLUMNS}
                if is_url(image):
                    entry = notes.get(image)
                    if entry is None or not entry.file:
                        reason = entry.reason if entry else "not downloaded"
                        yield Rejected(where, f"{reason}, {image}", row["text"])
                        continue
                    files.append(entry.file.encode())
                    extras |= {URL: image, SHA256: entry.sha256}
                    image = f"{IMAGES}/{entry.file}"
                elif image and not os.path.isabs(image):  # noqa: PTH117 - asked for every record
                    image = os.path.relpath(self._records.image_root / image, place)
                text = row["text"] or None
                yield RawRecord(row["image_id"], image, text, row["lang"], row["source"], row["text_id"], extras, where)
            used.add(files)
        if urls:
            yield _note(urls, len(used), failed)

    def _place(self, notes: Journal, report: DownloadReport) -> None:
        """Put the finished folder in its place; the journal knows it by its manifest."""
        notes.set_note("report", canonical_json(report.as_dict()))
        notes.set_note("placed", sha256_file(self._new / MANIFEST))
        replace_folder(self._new, self._out)

    def _is_placed(self, notes: Journal) -> bool:
        """Whether an earlier call was killed when all but the tidying up was done."""
        manifest = self._out / MANIFEST
        if notes.note("job") != fingerprint(self._job) or not manifest.is_file():
            return False
        return notes.note("placed") == sha256_file(manifest)

    def _remove_work(self) -> None:
        """Remove the work folder, the journal last: without it nothing would be known of the rest."""
        for path in sorted(self._work.iterdir(), key=lambda path: path.name == journal.NAME):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        self._work.rmdir()


def _urls(records: Records) -> Iterator[str]:
    """The different URLs among the pictures, in order of first appearance."""
    seen = SeenKeys()
    for batch in records.batches(columns=["image"]):
        urls = [image for image in batch.column("image").to_pylist() if is_url(image)]
        yield from itertools.compress(urls, seen.add([url.encode() for url in urls]))


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _failures(notes: Journal) -> tuple[dict[str, int], dict[str, int]]:
    """The URLs that gave no picture, counted by reason and by host."""
    failed, hosts = Counter[str](), Counter[str]()
    for entry in notes.failures():
        failed[entry.kind] += 1
        hosts[host_of(entry.url)] += 1
    most = sorted(hosts.items(), key=lambda found: (-found[1], found[0]))[:_LISTED_HOSTS]
    return dict(sorted(failed.items())), dict(most)


def _note(urls: int, different: int, failed: dict[str, int]) -> Note:
    none = ", ".join(f"{reason} {count}" for reason, count in failed.items())
    gave = f"{urls - sum(failed.values())} of {urls} URLs gave {different} different pictures"
    return Note(gave + (f"; the others none: {none}" if none else ""))


def _read_report(out: Path, text: str) -> DownloadReport:
    values = json.loads(text)
    values["examples"] = [Rejected(**example) for example in values["examples"]]
    return DownloadReport(out, **values)
