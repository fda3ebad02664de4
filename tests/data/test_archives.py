"""Archives that are what they say, and archives that are not."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.archives import unpack
from mella_retrieval.errors import DataError, MellaError

FILES = {"captions.txt": b"a dog\n", "images/1.jpg": b"\xff\xd8" * 50, "images/deep/2.jpg": b""}


def make_zip(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = ((modes or {}).get(name, 0)) << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz", **changes) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in changes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz", "xz"])
def test_unpack__every_kind(tmp_path: Path, kind: str):
    path = tmp_path / "archive"
    if kind == "zip":
        make_zip(path, FILES)
    else:
        make_tar(path, FILES, {"tar": "w", "tgz": "w:gz", "xz": "w:xz"}[kind])
    assert unpack(path, tmp_path / "out") == {name: len(data) for name, data in sorted(FILES.items())}
    assert contents(tmp_path / "out") == FILES


def test_unpack__what_is_there_stays(tmp_path: Path):
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "images" / "9.jpg").write_bytes(b"mine")
    (out / "captions.txt").write_bytes(b"old")
    unpack(make_zip(tmp_path / "a.zip", FILES), out)
    assert contents(out) == {**FILES, "images/9.jpg": b"mine"}


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt", "C:/out.txt"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_unpack__no_path_leads_out(tmp_path: Path, make, name: str):
    path = make(tmp_path / "archive", {"good.txt": b"x", name: b"bad"})
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(path, tmp_path / "in" / "out")
    assert contents(tmp_path / "in") == {}
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_unpack__no_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes):
    path = make_tar(tmp_path / "archive", {"link": b""}, type=kind, linkname="captions.txt")
    with pytest.raises(DataError, match="link or device, 'link'"):
        unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_unpack__no_links_in_a_zip(tmp_path: Path):
    path = make_zip(tmp_path / "archive", {"link": b"/etc"}, {"link": stat.S_IFLNK | 0o777})
    with pytest.raises(DataError, match="link or device, 'link'"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_unpack__a_bomb_is_stopped(tmp_path: Path, make):
    path = make(tmp_path / "archive", {"a": bytes(3 << 20), "b": bytes(3 << 20)})
    with pytest.raises(DataError, match="unpacks to more than 4000000"):
        unpack(path, tmp_path / "out", limit=4_000_000)
    assert contents(tmp_path / "out") == {}
    assert unpack(path, tmp_path / "out", limit=6 << 20) == {"a": 3 << 20, "b": 3 << 20}
    big = make(tmp_path / "big", {"a": bytes(90 << 20)})
    with pytest.raises(DataError, match="no honest archive"):
        unpack(big, tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_unpack__damaged(tmp_path: Path, make):
    whole = make(tmp_path / "archive", {"a": bytes(range(256)) * 500}).read_bytes()
    for data in (whole[: len(whole) // 2], whole[:-400] if make is make_zip else whole[:-9], b"no archive", b""):
        (tmp_path / "damaged").write_bytes(data)
        with pytest.raises(DataError, match=r"damaged|neither|cannot be unpacked"):
            unpack(tmp_path / "damaged", tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_unpack__a_full_disk(tmp_path: Path, tiny_disk: Path):
    path = make_tar(tmp_path / "archive", {"a": bytes(1 << 20)})
    with pytest.raises(DataError, match="No space left"):
        unpack(path, tiny_disk / "out")
    assert contents(tiny_disk) == {}


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 400), byte=st.integers(0, 255), zipped=st.booleans())
def test_unpack__no_crash_on_a_changed_byte(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, zipped: bool):
    folder = tmp_path_factory.mktemp("archives")
    data = bytearray((make_zip if zipped else make_tar)(folder / "archive", FILES).read_bytes())
    data[at % len(data)] = byte
    (folder / "archive").write_bytes(data)
    try:
        unpack(folder / "archive", folder / "deep" / "out")
    except MellaError:
        assert contents(folder / "deep") == {}
    assert {path.name for path in folder.iterdir()} <= {"archive", "deep"}
