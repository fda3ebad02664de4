from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mella_retrieval.data.formats import cifar10, detect
from mella_retrieval.data.images import read_image
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError, MellaError

NAMES = "\n".join(cifar10.CLASSES) + "\n\n"  # the release ends with an empty line


def batch(labels: list[int], seed: int = 0) -> tuple[bytes, np.ndarray]:
    """A file of the binary version, and its pictures (n, 32, 32, 3)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    rows = [bytes([label]) + picture.transpose(2, 0, 1).tobytes() for label, picture in zip(labels, pixels, strict=True)]
    return b"".join(rows), pixels


def release(folder: Path, test: list[int], *train: list[int]) -> tuple[Path, np.ndarray]:
    """An unpacked archive; returns it with the test pictures."""
    inner = folder / "cifar-10-batches-bin"
    inner.mkdir(parents=True)
    (inner / "batches.meta.txt").write_text(NAMES)
    (inner / "readme.html").write_text("<html>")
    for number, labels in enumerate(train, 1):
        (inner / f"data_batch_{number}.bin").write_bytes(batch(labels, number)[0])
    data, pixels = batch(test)
    (inner / "test_batch.bin").write_bytes(data)
    return folder, pixels


def test_cifar10__every_picture_with_its_pixels_class_and_split(tmp_path: Path) -> None:
    source, pixels = release(tmp_path / "cifar", [3, 9, 0], [1, 2], [6], [0], [0], [4])
    assert detect(source) == detect(source / "cifar-10-batches-bin") == "cifar10"
    report = import_records(source, tmp_path / "r")
    records = Records.load(tmp_path / "r")
    test = records.table(where={"split": "test"}).to_pylist()
    assert [(row["image_id"], row["label"], row["text"]) for row in test] == [
        ("cifar10-test-00000", "cat", ""),
        ("cifar10-test-00001", "truck", ""),
        ("cifar10-test-00002", "airplane", ""),
    ]
    for row, picture in zip(test, pixels, strict=True):
        assert np.array_equal(np.asarray(read_image(records.image_path(row["image"]))), picture)
    train = records.table(where={"split": "train"}).to_pylist()
    assert [row["image_id"][-5:] for row in train] == ["00000", "00001", "00002", "00003", "00004", "00005"]
    assert [row["label"] for row in train] == ["automobile", "bird", "frog", "airplane", "airplane", "deer"]
    assert report.counts == {"records": 9, "images": 9, "without_text": 9, "languages": {}}


def test_cifar10__counts_beside_the_release_and_empty_classes(tmp_path: Path) -> None:
    source, _ = release(tmp_path / "cifar", [3, 3, 0])
    report = import_records(source, tmp_path / "r", splits=["test"])
    assert report.notes == [
        "test: 3 pictures in 2 of 10 classes; the release has 10000.",
        "test: no pictures of automobile, bird, deer, dog, frog, horse, ship, truck: nothing can be said about these classes.",
    ]


def test_cifar10__equal_pictures_are_kept(tmp_path: Path) -> None:
    source, _ = release(tmp_path / "cifar", [3])
    path = source / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes() * 2)
    assert import_records(source, tmp_path / "r").kept == 2


def test_cifar10__a_label_out_of_range_is_rejected_with_its_place(tmp_path: Path) -> None:
    source, _ = release(tmp_path / "cifar", [3, 10, 255, 1])
    report = import_records(source, tmp_path / "r")
    assert report.kept == 2 and report.rejected == {"label out of range": 2}
    assert report.examples[0].where == "test_batch.bin, picture 2"
    assert report.examples[0].reason == "label out of range: 10, the classes are 0 to 9"
    ids = Records.load(tmp_path / "r").table(["image_id"])["image_id"].to_pylist()
    assert ids == ["cifar10-test-00000", "cifar10-test-00003"]  # a rejected picture does not rename the others


@pytest.mark.parametrize("cut", [1, 3072, 2 * 3073])
def test_cifar10__a_file_that_was_cut_short(tmp_path: Path, cut: int) -> None:
    source, _ = release(tmp_path / "cifar", [3, 4])
    path = source / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"test_batch.bin has \d+ bytes, no multiple of 3073"):
        import_records(source, tmp_path / "r")


def test_cifar10__a_batch_that_is_missing(tmp_path: Path) -> None:
    source, _ = release(tmp_path / "cifar", [3], [1], [2])
    with pytest.raises(DataError, match=r"no file .*data_batch_3.bin"):
        import_records(source, tmp_path / "r")
    assert import_records(source, tmp_path / "r", splits=["test"]).kept == 1


def test_cifar10__names_come_from_the_file_or_else_the_release(tmp_path: Path) -> None:
    source, _ = release(tmp_path / "cifar", [0])
    names = source / "cifar-10-batches-bin" / "batches.meta.txt"
    names.write_text(NAMES.replace("airplane", "plane"))
    import_records(source, tmp_path / "r")
    assert Records.load(tmp_path / "r").table(["label"])["label"].to_pylist() == ["plane"]
    names.write_text("cat\ndog\n")
    with pytest.raises(DataError, match="10 different classes"):
        import_records(source, tmp_path / "r2")
    names.unlink()
    report = import_records(source, tmp_path / "r3")
    assert "batches.meta.txt is missing" in report.notes[0]
    assert Records.load(tmp_path / "r3").table(["label"])["label"].to_pylist() == ["airplane"]


def test_cifar10__pickles_are_refused_and_not_opened(tmp_path: Path) -> None:
    inner = tmp_path / "cifar-10-batches-py"
    inner.mkdir()
    (inner / "test_batch").write_bytes(b"cposix\nsystem\n(S'touch owned'\ntR.")
    for source in (tmp_path, inner):
        assert detect(source) == "cifar10"
        with pytest.raises(DataError, match=r"pickles, which run code.*cifar-10-binary.tar.gz"):
            import_records(source, tmp_path / "r")


def test_cifar10__something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the unpacked binary version"):
        import_records(tmp_path, tmp_path / "r", format="cifar10")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=st.binary(max_size=4), rest=st.sampled_from([b"", b"", b"x", b"y" * 3072]), names=st.none() | st.binary(max_size=40)
)
def test_cifar10__no_file_breaks_the_reader(tmp_path: Path, labels: bytes, rest: bytes, names: bytes | None) -> None:
    (tmp_path / "test_batch.bin").write_bytes(b"".join(bytes([label]) + bytes(3072) for label in labels) + rest)
    (tmp_path / "batches.meta.txt").unlink(missing_ok=True)
    if names is not None:
        (tmp_path / "batches.meta.txt").write_bytes(names)
    with contextlib.suppress(MellaError):
        list(cifar10.read(tmp_path, cifar10.Cifar10Options()))
