"""What every folder on disk shares: atomic write, one writer, manifest, fingerprint and content hash.

An *artifact* is a folder with a `manifest.json`. Files are written aside, flushed to the disk and renamed, so that a
reader sees either the old state or the new one. Manifests carry no time stamps: the same inputs give the same bytes.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from mella_retrieval.errors import ArtifactError, LockedError

MANIFEST = "manifest.json"

Json = dict[str, Any]


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's content, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: Any) -> str:
    """Hexadecimal SHA-256 of a JSON-able value, independent of the order of its keys."""
    return sha256_bytes(canonical_json(value).encode())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` for writing; on success flush it to the disk and rename it to `path`.

    On any error (a full disk included) the temporary file is removed and `path` is as it was.
    """
    path = Path(path)
    temporary = _name_aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ArtifactError(f"could not write {path}: {error.strerror or error}. Nothing was changed.") from error
        raise


def _name_aside(path: Path) -> Path:
    """A fresh hidden name beside `path`. Not from `tempfile`, whose files are private: artifacts are to be shared."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def beside(folder: Path, ending: str) -> Path:
    """`<folder><ending>`: where what belongs to a folder lies beside it, also where it is named `.` or `..`."""
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return named.with_name(named.name + ending)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode() + b"\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        ArtifactError: the file is missing, empty, not UTF-8 or not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist.") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON ({error}); it is corrupted or was cut short.") from None


@contextmanager
def writer_lock(folder: Path | str) -> Iterator[None]:
    """Hold the one writer's lock of `folder`: the file `.<name>.lock` beside it, so that the folder may be replaced.

    Raises:
        LockedError: another process holds it. The lock ends with its process, however that dies; the empty file stays,
            since removing it would let two writers lock two different files of the same name.
    """
    folder = Path(folder).resolve()  # whatever links lead to it, its lock is one
    path = folder.with_name(f".{folder.name}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        raise ArtifactError(f"cannot write beside {folder}: {error.strerror or error}.") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{folder} is being written by another process; wait for it to end or choose another folder."
            raise LockedError(message) from None
        yield


def write_manifest(folder: Path | str, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Replace the folder's manifest atomically; `kind` and the format `version` stand first."""
    write_json(Path(folder) / MANIFEST, {"kind": kind, "format_version": version, **content})


def read_manifest(folder: Path | str, kind: str, version: int) -> Json:
    """Read the manifest of an artifact of `kind`.

    Raises:
        ArtifactError: no such folder, no manifest, another kind, or a newer format than this installation reads.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArtifactError(f"there is no folder {folder}.")
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} has no {MANIFEST}: it is not a finished {kind} folder of mella-retrieval.")
    manifest = read_json(path)
    found = manifest.get("kind") if isinstance(manifest, dict) else None
    if found != kind:
        raise ArtifactError(f"{folder} holds {found or 'something unknown'!r}, but kind {kind!r} is needed.")
    if not isinstance(manifest.get("format_version"), int) or manifest["format_version"] > version:
        raise ArtifactError(
            f"{folder} has format version {manifest.get('format_version')}; this installation reads up to {version}. "
            "Update mella-retrieval."
        )
    return dict(manifest)


def describe_file(path: Path) -> Json:
    """Size and content hash of a file, as manifests list them."""
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def verify_file(path: Path, expected: Mapping[str, Any], *, deep: bool = False) -> None:
    """Compare a file with its manifest entry: always the size, with `deep` the content hash too.

    Raises:
        ArtifactError: the file is missing, has another size or other content.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} is missing though its manifest lists it.")
    size = path.stat().st_size
    listed = expected.get("bytes")
    if size != listed:
        raise ArtifactError(f"{path} has {size} bytes, its manifest says {listed}: it was cut short or changed.")
    if deep and sha256_file(path) != expected.get("sha256"):
        raise ArtifactError(f"{path} does not have the content that its manifest lists: it is corrupted or changed.")


def require_free(path: Path | str, *, overwrite: bool) -> None:
    """Refuse a folder that is there already; long work asks before it begins.

    Raises:
        ArtifactError: `path` exists, is not empty and `overwrite` is false.
    """
    path = Path(path)
    if not overwrite and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ArtifactError(f"{path} already exists; choose another folder, or allow overwriting it (--overwrite).")


@contextmanager
def new_folder(path: Path | str, *, overwrite: bool = False) -> Iterator[Path]:
    """Build a folder aside and rename it to `path` when the block ends without an error.

    Raises:
        ArtifactError: `path` exists, is not empty and `overwrite` is false.
    """
    path = Path(path).absolute()
    require_free(path, overwrite=overwrite)
    aside = _name_aside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
        yield aside
        _sync_tree(aside)
        replace_folder(aside, path)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, OSError):
            raise ArtifactError(f"could not write {path}: {error.strerror or error}. Nothing was changed.") from error
        raise


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            _sync_folder(path)
        elif path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def replace_folder(new: Path, path: Path) -> None:
    """Rename the folder `new` to `path`, and then remove what stood there.

    Where the system can exchange two names in one step (Linux), there is a whole folder at `path` at every moment.
    """
    if not path.exists():
        new.replace(path)
        _sync_folder(path.parent)
        return
    old = new
    if not _exchange(new, path):
        old = _name_aside(path)
        path.replace(old)
        try:
            new.replace(path)
        except BaseException:
            old.replace(path)
            raise
    _sync_folder(path.parent)
    _remove(old)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step (renameat2); False where the system or the file system cannot."""
    import ctypes

    at_fdcwd, rename_exchange = -100, 2
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), rename_exchange) == 0)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove what killed writers left in `folder`: files and folders written aside for `name`, or for any name.

    To be called only by who holds the writer's lock of what the leftovers were written for.
    """
    for path in folder.glob(f".{glob.escape(name) or '*'}.{'?' * 12}.tmp"):
        _remove(path)


def library_versions(*names: str) -> dict[str, str]:
    """Installed versions of this package and of the named distributions; absent ones are left out."""
    found = {}
    for name in ("mella-retrieval", *names):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
