"""Enriched galleries: an embedding set of its own, made once, resumable, never mixed up with raw vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import files_of
from planted import IMAGE_TOWER, load, names, planted, write_set
from token_sets import Scenery, scenery, write_token_set

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.leccr import scene_batches
from mella_retrieval.adapters.leccr.enrich import enrich
from mella_retrieval.adapters.leccr.scenes import Scenes
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.settings import EmbedSettings
from mella_retrieval.errors import ArtifactError, DataError, MismatchError
from mella_retrieval.retriever import Retriever, build_index

TINY = ["width=16", "heads=2", "batch_size=32", "epochs=1"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Scenery:
    return scenery(tmp_path_factory.mktemp("scenery"), n=100, undescribed=2)


@pytest.fixture(scope="module")
def folder(world: Scenery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("a") / "adapter"
    train(*load_method("leccr", TINY), world.sources, out)
    return out


@pytest.fixture
def adapter(folder: Path) -> Adapter:
    return Adapter.load(folder)


def made(adapter: Adapter, world: Scenery, out: Path, **options: int) -> EmbeddingSet:
    return enrich(adapter, world.load("images"), world.load("described"), out, EmbedSettings(**options))


def test_the_set_holds_global_and_local_vectors_of_every_picture(adapter: Adapter, world: Scenery, tmp_path: Path):
    enriched = made(adapter, world, tmp_path / "e", shard_rows=30)
    assert enriched.ids == world.load("images").ids
    assert (enriched.modality, enriched.dim, enriched.manifest["token_dim"]) == ("image", 256, 256)
    assert np.allclose(np.linalg.norm(enriched.vectors(), axis=1), 1, atol=1e-5)
    for shard in range(4):
        for slots in enriched.shard_tokens(shard):
            assert slots.shape == (4, 256)
            assert np.allclose(np.linalg.norm(slots, axis=1), 1, atol=1e-5)
    assert enriched.column("descriptions") == [0, 0] + [1] * 98
    assert enriched.column("split")[:1] == ["train"]
    assert [len(keys) for keys in enriched.column("described_by")] == [0, 0] + [1] * 98


def test_blocks_and_shards_do_not_change_the_vectors(
    adapter: Adapter, world: Scenery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = made(adapter, world, tmp_path / "a").vectors()
    monkeypatch.setattr(scene_batches, "BLOCK", 7)
    assert np.allclose(made(adapter, world, tmp_path / "b", shard_rows=11).vectors(), first, atol=1e-5)


def test_a_killed_job_continues_and_ends_with_the_same_bytes(adapter: Adapter, world: Scenery, tmp_path: Path):
    whole = made(adapter, world, tmp_path / "whole", shard_rows=20)
    seen: list[int] = []

    def die(done: int, total: int) -> None:
        assert total == 100
        if done > 45:
            raise KeyboardInterrupt

    def run(progress: object) -> EmbeddingSet:
        settings = EmbedSettings(shard_rows=20)
        return enrich(adapter, world.load("images"), world.load("described"), tmp_path / "e", settings, progress=progress)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        run(die)
    assert not (tmp_path / "e").exists()
    again = run(lambda done, total: seen.append(done))
    assert min(seen) == 60  # the first two shards stood
    assert files_of(again.folder) == files_of(whole.folder)
    seen.clear()
    run(lambda done, total: seen.append(done))
    assert seen == []  # nothing is made twice


def test_a_description_changes_its_own_picture_only(adapter: Adapter, world: Scenery, tmp_path: Path):
    described = load(world.described)
    tokens = [np.array(part) for shard in range(3) for part in described.shard_tokens(shard)]
    tokens[10] = tokens[10] + 3
    columns = {name: described.column(name) for name in ("image_id", "text")}
    other = write_token_set(tmp_path / "d", described.vectors(), tokens, described.ids, **columns)
    first = made(adapter, world, tmp_path / "a").vectors()
    second = enrich(adapter, world.load("images"), load(other), tmp_path / "b").vectors()
    changed = np.flatnonzero(np.abs(first - second).max(axis=1) > 1e-4)
    assert changed.tolist() == [12]  # the first two pictures have no description


def test_descriptions_that_are_asked_are_left_out_and_counted(
    adapter: Adapter, world: Scenery, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    described = world.load("described")
    said, vectors = described.column("text"), np.ones((3, 8), np.float32)
    asked = load(write_token_set(tmp_path / "q", vectors, [np.ones((1, 8))] * 3, ["a", "b", described.ids[7]],
                                 text=[f" {said[0].upper()}. ", "nobody said this", "nor this"]))  # fmt: skip
    enriched = enrich(adapter, world.load("images"), described, tmp_path / "e", asked=asked.select())
    assert enriched.column("descriptions") == [0, 0, 0, *[1] * 6, 0, *[1] * 90]  # the same words, and the same id
    assert "2 of 98 descriptions" in caplog.text
    plain = made(adapter, world, tmp_path / "p")
    changed = np.flatnonzero(np.abs(plain.vectors() - enriched.vectors()).max(axis=1) > 1e-6)
    assert changed.tolist() == [2, 9] and plain.fingerprint != enriched.fingerprint
    with pytest.raises(DataError, match="every description of these pictures"):
        enrich(adapter, world.load("images"), described, tmp_path / "n", asked=described.select())


def test_several_descriptions_are_read_one_after_another(world: Scenery, tmp_path: Path):
    parts = [np.full((count, 8), row, np.float64) for row, count in enumerate([2, 1, 3])]
    several = write_token_set(tmp_path / "d", planted(3).text(), parts, names(3, "d"), image_id=["i0004", "i0002", "i0004"])
    scenes = Scenes.match(world.load("images").select(), load(several).select())
    tokens, mask = scenes.description_tokens(np.array([2, 4, 5]))
    assert [tokens[row][mask[row]][:, 0].tolist() for row in range(3)] == [[1], [0, 0, 2, 2, 2], []]
    sentences, shown = scenes.sentences(np.array([4, 5]))
    assert shown.tolist() == [[True, True], [False, False]]
    assert np.array_equal(sentences[0], load(several).vectors()[[0, 2]])
    assert scenes.undescribed().descriptions_each.sum() == 0
    again = scenes.take(np.array([4, 2]))
    assert again.descriptions_each.tolist() == [2, 1]


# What belongs together ----------------------------------------------------------------------------------------------


def test_raw_vectors_and_those_of_other_slots_are_refused(adapter: Adapter, world: Scenery, folder: Path, tmp_path: Path):
    raw = world.load("images")
    with pytest.raises(MismatchError, match=r"as they are.*mella embed enrich"):
        build_index(raw, tmp_path / "index", adapter=folder)
    with pytest.raises(MismatchError, match="takes vectors of leccr:"):
        adapter.map_image(raw.vectors())
    train(*load_method("leccr", TINY), world.sources, tmp_path / "other", seed=1)
    theirs = enrich(Adapter.load(tmp_path / "other"), raw, world.load("described"), tmp_path / "theirs")
    with pytest.raises(MismatchError, match=r"leccr:.*leccr:"):
        build_index(theirs, tmp_path / "index", adapter=folder)
    mine = made(adapter, world, tmp_path / "mine")
    train(*load_method("ridge"), Sources(image_vectors=world.images, pairs=world.texts), tmp_path / "ridge")
    with pytest.raises(MismatchError, match=f"{IMAGE_TOWER}.*leccr:"):
        build_index(mine, tmp_path / "index", adapter=tmp_path / "ridge")


def test_an_index_of_enriched_vectors_answers_with_the_text_head(adapter: Adapter, world: Scenery, folder: Path, tmp_path: Path):
    enriched = made(adapter, world, tmp_path / "e")
    build_index(enriched, tmp_path / "index", adapter=folder)
    retriever = Retriever.load(tmp_path / "index")
    queries = retriever.map_texts(world.load("texts").vectors()[:5])
    found = [[match.id for match in matches] for matches in retriever.index.search(queries, 3)]
    expected = (queries @ enriched.vectors().T).argsort(axis=1)[:, ::-1][:, :3]
    assert found == [[enriched.ids[row] for row in rows] for rows in expected]
    with pytest.raises(MismatchError, match="ask with a text"):
        _ = retriever.image_tower


def test_sets_of_other_towers_or_without_tokens_cannot_be_enriched(adapter: Adapter, world: Scenery, tmp_path: Path):
    images, described = world.load("images"), world.load("described")
    other = write_token_set(tmp_path / "o", images.vectors(), [np.ones((1, 10))] * 100, images.ids, "open_clip:a/b", "image")
    with pytest.raises(MismatchError, match="open_clip:a/b"):
        enrich(adapter, load(other), described, tmp_path / "e")
    with pytest.raises(MismatchError, match="image"):
        enrich(adapter, images, images, tmp_path / "e")
    wide = write_token_set(tmp_path / "w", images.vectors(), [np.ones((1, 11))] * 100, images.ids, IMAGE_TOWER, "image")
    with pytest.raises(MismatchError, match=r"tokens of 10 dimensions, those in .*w have 11"):
        enrich(adapter, load(wide), described, tmp_path / "e")
    bare = write_set(tmp_path / "bare", images.vectors(), images.ids, IMAGE_TOWER, "image")
    with pytest.raises(ArtifactError, match="make it again with --tokens"):
        enrich(adapter, load(bare), described, tmp_path / "e")
    train(*load_method("ridge"), Sources(image_vectors=world.images, pairs=world.texts), tmp_path / "ridge")
    with pytest.raises(MismatchError, match="has no slots"):
        enrich(Adapter.load(tmp_path / "ridge"), images, described, tmp_path / "e")
    blank = write_token_set(
        tmp_path / "blank", images.vectors(), [np.ones((row % 2, 10)) for row in range(100)], images.ids, IMAGE_TOWER, "image"
    )
    with pytest.raises(DataError, match="no token vectors"):
        enrich(adapter, load(blank), described, tmp_path / "e")
