"""Adding pictures: only new content goes through the tower."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import fakes
import numpy as np
import pytest
import torch
from fakes import files_of, write_pictures
from PIL import Image

from mella_retrieval.adapters.adapter import Adapter, AdapterConfig
from mella_retrieval.adapters.heads import Head, Linear
from mella_retrieval.adding import Report, add_pictures, add_vectors
from mella_retrieval.artifacts import writer_lock
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.embeddings.settings import EmbedSettings
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.errors import ArtifactError, DataError, LockedError
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.retriever import build_index

IMAGE, TEXT = "module:fakes:Colours", "module:fakes:Words"
SMALL = EmbedSettings(batch_size=2, shard_rows=2)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches that went through the image tower, but for the one picture that it is tried with when it is loaded."""
    seen: list[int] = []
    loaded: list[fakes.Colours] = []
    encode = fakes.Colours.encode

    def counted(self: fakes.Colours, batch: torch.Tensor) -> torch.Tensor:
        if any(self is tower for tower in loaded):
            seen.append(len(batch))
        else:
            loaded.append(self)
        return encode(self, batch)

    monkeypatch.setattr(fakes.Colours, "encode", counted)
    return seen


def records_of(folder: Path, photos: Path, names: Sequence[str], **extras: str) -> Records:
    """One English caption for each picture; its id is the name without the suffix."""
    items = [RawRecord(name.split(".")[0], name, f"picture {name}", "en", extras=extras) for name in names]
    write_records(folder, items, image_root=photos, overwrite=True)
    return Records.load(folder)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Six embedded pictures, p000 to p005, behind an adapter."""
    names = write_pictures(tmp_path / "photos", 6)
    records = records_of(tmp_path / "records", tmp_path / "photos", names)
    vectors = embed_images(records, load_image_tower(IMAGE, device="cpu", allow_module=True), tmp_path / "vectors")
    words = load_text_tower(TEXT, device="cpu", allow_module=True)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0].astype(np.float32)
    text = Head((Linear(np.ones((3, 6), np.float32), np.zeros(3, np.float32)),))
    image = Head((Linear(turn, np.zeros(3, np.float32)),))
    config = AdapterConfig(
        method="by hand", options={}, text_tower=words.info, image_tower=vectors.tower, text_head=text.chain(),
        image_head=image.chain(), languages=["en"], inputs={}, selection={}, seed=0, versions={}, sha256="",
    )  # fmt: skip
    Adapter(config, text, image).save(tmp_path / "adapter", "a card")
    build_index(vectors, tmp_path / "index", adapter=tmp_path / "adapter")
    return tmp_path / "index"


def add(index: Path, records: Records, **options: object) -> Report:
    return add_pictures(index, records, image_tower=IMAGE, device="cpu", allow_module=True, **options)  # type: ignore[arg-type]


def vectors_of(index: Path) -> dict[str, np.ndarray]:
    opened = Index.load(index)
    places = opened.find(list(opened.ids()))
    return {key: opened.segments[segment].vectors(np.array([row]))[0] for key, (segment, row) in places.items()}


def built_anew(tmp_path: Path, records: Records) -> dict[str, np.ndarray]:
    """What an index of exactly these pictures holds."""
    tower = load_image_tower(IMAGE, device="cpu", allow_module=True)
    build_index(embed_images(records, tower, tmp_path / "anew"), tmp_path / "anew-index", adapter=tmp_path / "adapter")
    return vectors_of(tmp_path / "anew-index")


def test_only_new_pictures_are_embedded(tmp_path: Path, index: Path, encoded: list[int]):
    names = write_pictures(tmp_path / "photos", 6) + write_pictures(tmp_path / "photos" / "new", 3, seed=1)
    for number in range(3):
        name = f"p{number:03d}.{'png' if number % 2 else 'jpg'}"
        shutil.move(tmp_path / "photos" / "new" / name, tmp_path / "photos" / f"q{name}")
        names[6 + number] = f"q{name}"
    records = records_of(tmp_path / "more", tmp_path / "photos", names, album="summer")
    seen: list[tuple[int, int]] = []
    report = add(index, records, progress=lambda done, total: seen.append((done, total)))
    assert report == Report(added=3, unchanged=6) and sum(encoded) == 3 and seen[-1] == (3, 3)
    opened = Index.load(index)
    assert len(opened) == 9 and sorted(opened.ids('album == "summer"')) == ["qp000", "qp001", "qp002"]
    assert not (tmp_path / "index.adding").exists()
    encoded.clear()
    before = files_of(index)
    assert add(index, records) == Report(unchanged=9) and not encoded and files_of(index) == before
    expected = built_anew(tmp_path, records)
    found = vectors_of(index)
    assert found.keys() == expected.keys()
    for key, vector in expected.items():
        np.testing.assert_allclose(found[key], vector, atol=1e-6)


def test_a_renamed_picture_is_taken_over_without_the_tower(tmp_path: Path, index: Path, encoded: list[int]):
    (tmp_path / "photos" / "p001.png").rename(tmp_path / "photos" / "renamed.png")
    records = records_of(tmp_path / "more", tmp_path / "photos", ["p000.jpg", "renamed.png"], album="new")
    before = vectors_of(index)
    assert add(index, records) == Report(added=1, unchanged=1, copied=1) and not encoded
    after = vectors_of(index)
    assert np.array_equal(after["renamed"], before["p001"]) and after.keys() == {*before, "renamed"}
    opened = Index.load(index)
    (segment, row) = opened.find(["renamed"])["renamed"]
    record = opened.segments[segment].records(np.array([row]))[0]
    assert record["album"] == "new" and record["image"] == "renamed.png"
    assert add(index, records) == Report(unchanged=2)  # its content is known under the new name too


def test_a_changed_picture_is_refused_or_replaced(tmp_path: Path, index: Path, encoded: list[int]):
    Image.new("RGB", (8, 8), (250, 10, 10)).save(tmp_path / "photos" / "p003.png")
    records = records_of(tmp_path / "more", tmp_path / "photos", ["p002.jpg", "p003.png"])
    before = files_of(index)
    with pytest.raises(DataError, match=r"the picture 'p003' has changed since it was added to .*, one of 1 such: .*--replace"):
        add(index, records)
    assert files_of(index) == before and not encoded
    old = vectors_of(index)
    assert add(index, records, replace=True) == Report(replaced=1, unchanged=1) and encoded == [1]
    new = vectors_of(index)
    assert new.keys() == old.keys() and not np.allclose(new["p003"], old["p003"])
    assert all(np.array_equal(new[key], old[key]) for key in old if key != "p003")
    np.testing.assert_allclose(new["p003"], built_anew(tmp_path, records)["p003"], atol=1e-6)


def test_swapped_pictures_take_each_other_s_place(tmp_path: Path, index: Path, encoded: list[int]):
    one, two = tmp_path / "photos" / "p001.png", tmp_path / "photos" / "p003.png"
    one.rename(tmp_path / "between.png")
    two.rename(one)
    (tmp_path / "between.png").rename(two)
    old = vectors_of(index)
    report = add(index, records_of(tmp_path / "more", tmp_path / "photos", ["p001.png", "p003.png"]), replace=True)
    assert report == Report(replaced=2, copied=2) and not encoded
    new = vectors_of(index)
    assert np.array_equal(new["p001"], old["p003"]) and np.array_equal(new["p003"], old["p001"]) and len(new) == 6


def test_pictures_that_cannot_be_read_are_counted(tmp_path: Path, index: Path, encoded: list[int]):
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (8, 8), (10, 250, 10)).save(tmp_path / "photos" / "good.png")
    shutil.copy(tmp_path / "photos" / "p001.png", tmp_path / "photos" / "copy.png")
    broken = records_of(tmp_path / "broken", tmp_path / "photos", ["broken.png", "copy.png", "good.png", "p000.jpg"])
    assert add(index, broken) == Report(added=2, unchanged=1, copied=1, skipped=1) and encoded == [1]
    only = records_of(tmp_path / "only", tmp_path / "photos", ["broken.png"])
    before = files_of(index)
    with pytest.raises(ArtifactError, match=r"nothing to embed .*1 inputs were skipped"):
        add(index, only)
    assert files_of(index) == before
    shutil.copy(tmp_path / "photos" / "p001.png", tmp_path / "photos" / "again.png")
    both = records_of(tmp_path / "both", tmp_path / "photos", ["broken.png", "again.png"])
    assert add(index, both) == Report(added=1, copied=1, skipped=1)
    assert set(Index.load(index).ids()) == {*(f"p{row:03d}" for row in range(6)), "copy", "good", "again"}


def test_another_failure_of_embedding_is_not_taken_for_unreadable_pictures(tmp_path: Path, index: Path):
    Image.new("RGB", (8, 8), (10, 250, 10)).save(tmp_path / "photos" / "good.png")
    shutil.copy(tmp_path / "photos" / "p001.png", tmp_path / "photos" / "copy.png")
    records = records_of(tmp_path / "more", tmp_path / "photos", ["copy.png", "good.png"])
    before = files_of(index)
    with writer_lock(index.with_name(index.name + ".adding")), pytest.raises(LockedError):
        add(index, records)
    assert files_of(index) == before
    assert add(index, records) == Report(added=2, copied=1)


def test_a_picture_that_can_no_longer_be_read_stays_as_it_was(tmp_path: Path, index: Path):
    (tmp_path / "photos" / "p001.png").write_bytes(b"no picture any more")
    Image.new("RGB", (8, 8), (10, 250, 10)).save(tmp_path / "photos" / "good.png")
    old = vectors_of(index)
    report = add(index, records_of(tmp_path / "more", tmp_path / "photos", ["p001.png", "good.png"]), replace=True)
    assert report == Report(added=1, skipped=1)
    assert np.array_equal(vectors_of(index)["p001"], old["p001"])


def test_embedding_that_ends_early_leaves_the_index_and_goes_on(
    tmp_path: Path, index: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
):
    names = [f"n{name}" for name in write_pictures(tmp_path / "new", 6, seed=5)]
    for name in names:
        shutil.copy(tmp_path / "new" / name[1:], tmp_path / "photos" / name)
    records = records_of(tmp_path / "more", tmp_path / "photos", names)
    before = files_of(index)
    counted: Callable[..., torch.Tensor] = fakes.Colours.encode

    def failing(self: fakes.Colours, batch: torch.Tensor) -> torch.Tensor:
        if sum(encoded) >= 4:
            raise RuntimeError("the power went off")
        return counted(self, batch)

    monkeypatch.setattr(fakes.Colours, "encode", failing)
    with pytest.raises(RuntimeError, match="the power went off"):
        add(index, records, settings=SMALL)
    assert files_of(index) == before and sum(encoded) == 4
    monkeypatch.setattr(fakes.Colours, "encode", counted)
    encoded.clear()
    assert add(index, records, settings=SMALL) == Report(added=6) and sum(encoded) == 2
    expected = built_anew(tmp_path, records)
    found = vectors_of(index)
    for key, vector in expected.items():
        np.testing.assert_allclose(found[key], vector, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir() if "adding" in path.name and path.suffix != ".lock"] == []


def test_codes_alone_cannot_lend_vectors_so_the_tower_is_asked(tmp_path: Path, index: Path, encoded: list[int]):
    from mella_retrieval.embeddings.sets import EmbeddingSet

    vectors = EmbeddingSet.load(tmp_path / "vectors")
    build_index(vectors, tmp_path / "codes", IndexRecipe(factory="SQ8", store="none"), adapter=tmp_path / "adapter")
    shutil.copy(tmp_path / "photos" / "p001.png", tmp_path / "photos" / "copy.png")
    records = records_of(tmp_path / "more", tmp_path / "photos", ["copy.png"])
    assert add(tmp_path / "codes", records) == Report(added=1) and encoded == [1]


def test_vectors_are_added_through_the_adapter_of_the_index(tmp_path: Path, index: Path):
    names = [f"n{name}" for name in write_pictures(tmp_path / "new", 2, seed=5)]
    for name in names:
        shutil.copy(tmp_path / "new" / name[1:], tmp_path / "photos" / name)
    records = records_of(tmp_path / "more", tmp_path / "photos", ["p000.jpg", *names])
    made = embed_images(records, load_image_tower(IMAGE, device="cpu", allow_module=True), tmp_path / "made")
    assert add_vectors(index, made) == Report(added=2, unchanged=1)
    assert add_vectors(index, made) == Report(unchanged=3)
    expected, found = built_anew(tmp_path, records), vectors_of(index)
    for key, vector in expected.items():
        np.testing.assert_allclose(found[key], vector, atol=1e-6)
    Image.new("RGB", (8, 8), (250, 10, 10)).save(tmp_path / "photos" / names[0])
    changed = embed_images(records, load_image_tower(IMAGE, device="cpu", allow_module=True), tmp_path / "changed")
    with pytest.raises(DataError, match="one of 1 such"):
        add_vectors(index, changed)
    assert add_vectors(index, changed, replace=True) == Report(replaced=1, unchanged=2)
