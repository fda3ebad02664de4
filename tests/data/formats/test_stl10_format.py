from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mella_retrieval.data.formats import detect, stl10
from mella_retrieval.data.images import read_image
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError, MellaError


def release(folder: Path, **splits: list[int]) -> tuple[Path, dict[str, np.ndarray]]:
    """An unpacked archive; returns it with the pictures (n, 96, 96, 3) of each split."""
    inner = folder / "stl10_binary"
    inner.mkdir(parents=True)
    (inner / "class_names.txt").write_text("\n".join(stl10.CLASSES) + "\n")
    pictures = {}
    for seed, (split, labels) in enumerate(splits.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 96, 96, 3), dtype=np.uint8)
        columns = b"".join(picture[:, :, colour].tobytes(order="F") for picture in pixels for colour in range(3))
        (inner / f"{split}_X.bin").write_bytes(columns)
        (inner / f"{split}_y.bin").write_bytes(bytes(labels))
        pictures[split] = pixels
    return folder, pictures


def test_stl10__pictures_stand_upright(tmp_path: Path) -> None:
    source, pixels = release(tmp_path / "stl", train=[2], test=[1, 10, 4])
    (source / "stl10_binary" / "unlabeled_X.bin").write_bytes(b"\0" * 27648)
    assert detect(source) == detect(source / "stl10_binary") == "stl10"
    report = import_records(source, tmp_path / "r")
    records = Records.load(tmp_path / "r")
    for split, expected in (("train", ["bird"]), ("test", ["airplane", "truck", "cat"])):
        rows = records.table(where={"split": split}).to_pylist()
        assert [row["label"] for row in rows] == expected
        assert [row["image_id"] for row in rows] == [f"stl10-{split}-{number:05d}" for number in range(len(rows))]
        for row, picture in zip(rows, pixels[split], strict=True):
            assert np.array_equal(np.asarray(read_image(records.image_path(row["image"]))), picture)
    assert report.notes[0] == "unlabeled_X.bin has no labels and was not read."
    assert report.notes[1] == "train: 1 pictures in 1 of 10 classes; the release has 5000."
    assert report.counts["without_text"] == 4


def test_stl10__labels_out_of_range(tmp_path: Path) -> None:
    source, _ = release(tmp_path / "stl", test=[0, 11, 5])
    report = import_records(source, tmp_path / "r")
    assert report.kept == 1 and report.rejected == {"label out of range": 2}
    assert [row.where for row in report.examples] == ["test_X.bin, picture 1", "test_X.bin, picture 2"]
    assert Records.load(tmp_path / "r").table(["label"])["label"].to_pylist() == ["deer"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("test_X.bin", lambda data: data[:-1], "no multiple of 27648"),
        ("test_X.bin", lambda data: data[:-27648], "1 pictures, test_y.bin 2 labels"),
        ("test_X.bin", lambda data: b"", "has 0 bytes"),
        ("test_y.bin", lambda data: data[:1], "2 pictures, test_y.bin 1 labels"),
        ("test_y.bin", None, r"no file .*test_y.bin"),
        ("class_names.txt", lambda data: b"cat\n" * 10, "10 different classes"),
        ("class_names.txt", lambda data: b"\xff", "cannot be read"),
    ],
)
def test_stl10__broken_files(tmp_path: Path, name: str, change, message: str) -> None:
    source, _ = release(tmp_path / "stl", test=[1, 2])
    path = source / "stl10_binary" / name
    data = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(change(data))
    with pytest.raises(DataError, match=message):
        import_records(source, tmp_path / "r")


def test_stl10__splits_and_missing_names(tmp_path: Path) -> None:
    source, _ = release(tmp_path / "stl", train=[1], test=[2, 2])
    (source / "stl10_binary" / "class_names.txt").unlink()
    report = import_records(source, tmp_path / "r", splits=["test"])
    assert report.kept == 2 and "class_names.txt is missing" in report.notes[0]
    with pytest.raises(DataError, match="not the unpacked binary version of STL-10"):
        import_records(tmp_path, tmp_path / "r2", format="stl10")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pictures=st.integers(0, 3), cut=st.integers(0, 2), labels=st.binary(max_size=4))
def test_stl10__no_file_breaks_the_reader(tmp_path: Path, pictures: int, cut: int, labels: bytes) -> None:
    (tmp_path / "test_X.bin").write_bytes(bytes(max(0, 27648 * pictures - cut)))
    (tmp_path / "test_y.bin").write_bytes(labels)
    with contextlib.suppress(MellaError):
        list(stl10.read(tmp_path, stl10.Stl10Options()))
