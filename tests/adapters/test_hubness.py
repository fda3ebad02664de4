"""Hubness correction folded into the heads: what an index of plain inner products then ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import IMAGE_TOWER, Planted, names, planted, recall_at_1, unit, write_set

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.heads import Head, HubBias
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.errors import ConfigError, TrainingError

N = 120


@pytest.fixture
def world() -> Planted:
    return planted(N)


@pytest.fixture
def sources(world: Planted, tmp_path: Path) -> Sources:
    ids = names(N)
    return Sources(
        pairs=write_set(tmp_path / "texts", world.text(), names(N, "t"), image_id=ids, lang=["hu"] * N),
        image_vectors=write_set(tmp_path / "images", world.image(), ids, IMAGE_TOWER, "image"),
    )


def fit(sources: Sources, out: Path, *overrides: str) -> Adapter:
    return train(*load_method("procrustes", overrides), sources, out)


def corrected(queries: np.ndarray, items: np.ndarray, bank: np.ndarray, weight: float, k: int) -> np.ndarray:
    """`S - weight * mean of the k largest <item, bank>`, written out."""
    bias = [sorted((item @ other for other in bank), reverse=True)[:k] for item in items]
    return queries @ items.T - weight * np.mean(bias, axis=1)


def test_one_pair_of_vectors_ranks_both_directions_as_the_formula_does(world: Planted, sources: Sources, tmp_path: Path):
    plain = fit(sources, tmp_path / "plain")
    adapter = fit(sources, tmp_path / "corrected", "hubness={weight: 0.7, neighbours: 4}")
    texts, images = plain.map_text(world.text(9)), plain.map_image(world.image())
    scores = adapter.map_text(world.text(9)) @ adapter.map_image(world.image()).T
    note = adapter.config.selection["hubness"]
    assert note == {"weight": 0.7, "neighbours": 4, "bank texts": len(held_in(adapter)), "bank images": len(held_in(adapter))}
    train_rows = held_in(adapter)
    text_bank, image_bank = plain.map_text(world.text()[train_rows]), plain.map_image(world.image()[train_rows])
    to_image = corrected(texts, images, text_bank, 0.7, 4)
    to_text = corrected(images, texts, image_bank, 0.7, 4).T
    np.testing.assert_array_equal(np.argsort(-scores, axis=1), np.argsort(-to_image, axis=1))
    np.testing.assert_array_equal(np.argsort(-scores, axis=0), np.argsort(-to_text, axis=0))
    assert (np.argsort(-to_image, axis=1) != np.argsort(-(texts @ images.T), axis=1)).any(), "the correction changes something"


def held_in(adapter: Adapter) -> np.ndarray:
    """The rows that were fitted on: those whose vectors stand in the banks."""
    bank = adapter.text_head.layers[-1].bank  # type: ignore[union-attr]
    world = planted(N)
    plain = unit(world.image())
    return np.flatnonzero((plain @ bank.T).max(axis=1) > 1 - 1e-6)


def test_vectors_are_unit_and_as_wide_as_product_quantisers_like(sources: Sources, world: Planted, tmp_path: Path):
    adapter = fit(sources, tmp_path / "a", "hubness={weight: 0.5}")
    for vectors in (adapter.map_text(world.text()), adapter.map_image(world.image())):
        assert vectors.shape == (N, 32)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_correction_survives_the_disk_and_the_index_needs_nothing_else(sources: Sources, world: Planted, tmp_path: Path):
    adapter = fit(sources, tmp_path / "a", "hubness={weight: 0.5}")
    again = Adapter.load(tmp_path / "a")
    assert again.projects_images
    np.testing.assert_array_equal(again.map_image(world.image()), adapter.map_image(world.image()))
    np.testing.assert_array_equal(again.map_text(world.text()), adapter.map_text(world.text()))


def test_a_hub_is_pushed_down():
    """The middle of all queries is everybody's neighbour; after correction each query finds its own item again."""
    generator = np.random.default_rng(0)
    centre = unit(generator.normal(size=(1, 16)))
    texts = unit(centre + 0.2 * generator.normal(size=(40, 16))).astype(np.float32)
    items = unit(texts + 0.3 * generator.normal(size=(40, 16))).astype(np.float32)
    items[0] = centre
    settings = np.array([0.5, 5], np.float32)
    empty = np.empty((0, 16), np.float32)
    text, image = (Head((HubBias(bank, settings, np.array([side], np.float32)),)) for bank, side in ((empty, 0), (texts, 1)))
    before, after = (texts @ items.T).argmax(axis=1), (text(texts) @ image(items).T).argmax(axis=1)
    assert (before == 0).mean() > 0.5
    assert (after == 0).mean() < 0.3
    assert recall_at_1(text(texts), image(items)) > 2 * recall_at_1(texts, items)


def test_queries_named_in_the_sources_are_the_bank(sources: Sources, world: Planted, tmp_path: Path):
    asked = write_set(tmp_path / "asked", world.text(5), names(N, "q"))
    named = Sources(pairs=sources.pairs, image_vectors=sources.image_vectors, queries=asked)
    adapter = fit(named, tmp_path / "a", "hubness={weight: 0.5, bank: 50}")
    note = adapter.config.selection["hubness"]
    assert (note["bank texts"], note["bank images"]) == (50, 50)
    plain = fit(named, tmp_path / "b")
    bank = adapter.image_head.layers[-1].bank  # type: ignore[union-attr]
    similar = bank @ plain.map_text(world.text(5)).T
    assert (similar.max(axis=1) > 1 - 1e-6).all()
    assert not ((bank @ plain.map_text(world.text()).T).max(axis=1) > 1 - 1e-6).all()


def test_without_pictures_only_the_image_side_is_corrected(world: Planted, tmp_path: Path):
    ids = names(N, "e")
    english = Sources(
        english_text=write_set(tmp_path / "english", world.text(), ids, lang=["en"] * N),
        clip_text=write_set(tmp_path / "clip", world.clip_text(), ids, IMAGE_TOWER, lang=["en"] * N),
    )
    adapter = fit(english, tmp_path / "a", "hubness={weight: 0.5}")
    assert adapter.config.selection["hubness"]["bank images"] == 0
    plain = fit(english, tmp_path / "b")
    scores = adapter.map_text(world.text(9)) @ adapter.map_image(world.image()).T
    direct = plain.map_text(world.text(9)) @ plain.map_image(world.image()).T
    np.testing.assert_array_equal(np.argsort(-scores, axis=0), np.argsort(-direct, axis=0))  # image -> text as before


@pytest.mark.parametrize("bad", ["{weight: 0}", "{neighbours: 0}", "{bank: 0}", "{wait: 1}"])
def test_settings_that_cannot_be_are_refused(bad: str):
    with pytest.raises(ConfigError, match="hubness"):
        load_method("procrustes", [f"hubness={bad}"])


def test_without_texts_there_is_nothing_to_correct_by(sources: Sources, tmp_path: Path):
    from mella_retrieval.adapters.hubness import fold_hubness
    from mella_retrieval.adapters.hubness_config import HubnessConfig
    from mella_retrieval.adapters.inputs import load_inputs
    from mella_retrieval.adapters.method import Fitted

    inputs = load_inputs(sources, 0)
    nothing = inputs.__class__(**{**vars(inputs), "pairs": None})
    with pytest.raises(TrainingError, match="name them as queries"):
        fold_hubness(Fitted(Head(), Head(), {}), nothing, HubnessConfig())
