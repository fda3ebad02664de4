"""Ridge and Procrustes against independent computations, and what they may and may not look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planted import IMAGE_TOWER, Planted, load, names, planted, recall_at_1, rotation, unit, write_set
from sklearn.linear_model import Ridge

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.errors import ConfigError, TrainingError

N = 300


@pytest.fixture
def world() -> Planted:
    return planted(N)


def splits(n: int = N, train_rows: int = 200, validation: int = 40) -> list[str]:
    return ["train"] * train_rows + ["validation"] * validation + ["test"] * (n - train_rows - validation)


def paired(folder: Path, text: np.ndarray, image: np.ndarray, split: list[str]) -> Sources:
    ids = names(len(text))
    images = write_set(folder / "images", image, ids, IMAGE_TOWER, "image", split=split)
    texts = write_set(folder / "texts", text, names(len(text), "t"), image_id=ids, lang=["hu"] * len(text), split=split)
    return Sources(pairs=texts, image_vectors=images)


def english(folder: Path, text: np.ndarray, clip_text: np.ndarray) -> Sources:
    ids = names(len(text), "e")
    return Sources(
        english_text=write_set(folder / "english", text, ids, lang=["en"] * len(text)),
        clip_text=write_set(folder / "clip", clip_text, ids, IMAGE_TOWER, lang=["en"] * len(text)),
    )


def fit(recipe: str, sources: Sources, out: Path, *overrides: str, **options: object) -> Adapter:
    method, config = load_method(recipe, overrides)
    return train(method, config, sources, out, **options)  # type: ignore[arg-type]


def test_ridge_equals_scikit_learns_on_centred_data(world: Planted, tmp_path: Path):
    text, image, split = world.text(), world.image(), splits()
    adapter = fit("ridge", paired(tmp_path, text, image, split), tmp_path / "a", "penalties=[0.7]")
    x, y = load(tmp_path / "texts").vectors()[:200], load(tmp_path / "images").vectors()[:200]
    model = Ridge(alpha=0.7, fit_intercept=False, solver="svd").fit(x - x.mean(0), y - y.mean(0))
    assert np.abs(adapter.map_text(text) - unit(model.predict(text - x.mean(0)))).max() < 1e-5


def test_ridge_fits_every_caption_of_a_picture(world: Planted, tmp_path: Path):
    """Pictures with different numbers of captions weigh by their captions, on both sides."""
    rows = np.array([row for row in range(N) for _ in range(1 + row % 3)])
    split = np.array(splits())[rows]
    image_ids, text = names(N), world.text(rows=rows)
    sources = Sources(
        image_vectors=write_set(tmp_path / "images", world.image(), image_ids, IMAGE_TOWER, "image", split=splits()),
        pairs=write_set(
            tmp_path / "texts", text, names(len(rows), "t"), image_id=[image_ids[row] for row in rows], split=split.tolist()
        ),
    )
    adapter = fit("ridge", sources, tmp_path / "a", "penalties=[1]")
    x, y = text[split == "train"], world.image()[rows[split == "train"]]
    model = Ridge(alpha=1, fit_intercept=False, solver="svd").fit(x - x.mean(0), y - y.mean(0))
    assert np.abs(adapter.map_text(text) - unit(model.predict(text - x.mean(0)))).max() < 1e-5


@pytest.mark.parametrize(("d_x", "d"), [(16, 16), (10, 16)])
def test_procrustes_recovers_a_planted_rotation(d_x: int, d: int, tmp_path: Path):
    x = unit(np.random.default_rng(0).normal(size=(120, d_x)))
    turn = rotation(d_x, d, 7)
    adapter = fit("procrustes", english(tmp_path, x, x @ turn), tmp_path / "a")
    assert np.abs(adapter.text_head.tensors("")["0.weight"].T - turn).max() < 1e-5


def test_procrustes_recovers_a_rotation_of_the_subspace_where_the_text_space_is_larger(tmp_path: Path):
    cause = unit(np.random.default_rng(0).normal(size=(120, 10)))
    x, y = cause @ rotation(10, 24, 1), cause @ rotation(10, 10, 2)
    adapter = fit("procrustes", english(tmp_path, x, y), tmp_path / "a")
    assert np.abs(adapter.map_text(x) - unit(y - y.mean(0))).max() < 1e-4
    weight = adapter.text_head.tensors("")["0.weight"]
    assert np.abs(weight @ weight.T - np.eye(10)).max() < 1e-5


@pytest.mark.parametrize("recipe", ["ridge", "procrustes"])
def test_an_untouched_index_keeps_its_vectors_bit_for_bit(recipe: str, world: Planted, tmp_path: Path):
    adapter = fit(recipe, paired(tmp_path, world.text(), world.image(), splits()), tmp_path / "a")
    stored = load(tmp_path / "images").vectors()
    assert not adapter.projects_images
    assert np.array_equal(adapter.map_image(stored), stored)


def test_a_centred_gallery_loses_the_mean_of_the_training_pictures(world: Planted, tmp_path: Path):
    sources = paired(tmp_path, world.text(), world.image(), splits())
    adapter = fit("ridge", sources, tmp_path / "a", "gallery=centred")
    image = world.image()
    assert adapter.projects_images
    assert np.abs(adapter.map_image(image) - unit(image - image[:200].mean(0))).max() < 1e-5


def test_a_centred_gallery_from_english_alone_needs_pictures(world: Planted, tmp_path: Path):
    sources = english(tmp_path, world.text(), world.clip_text())
    with pytest.raises(TrainingError, match="gallery=centred needs image_vectors"):
        fit("procrustes", sources, tmp_path / "a", "gallery=centred")
    pictures = write_set(tmp_path / "images", world.image(), names(N), IMAGE_TOWER, "image", split=splits())
    with_images = Sources(sources.english_text, sources.clip_text, image_vectors=pictures)
    adapter = fit("procrustes", with_images, tmp_path / "a", "gallery=centred")
    assert np.abs(adapter.map_image(world.image()) - unit(world.image() - world.image()[:200].mean(0))).max() < 1e-5


@pytest.mark.parametrize("recipe", ["ridge", "procrustes"])
def test_english_alone_finds_the_pictures(recipe: str, world: Planted, tmp_path: Path):
    adapter = fit(recipe, english(tmp_path, world.text(), world.clip_text()), tmp_path / "a")
    assert recall_at_1(adapter.map_text(world.text(seed=5)), adapter.map_image(world.image())) > 0.9
    assert "text to text" in adapter.config.selection["on"]
    assert adapter.config.languages == ["en"]


def test_english_alone_fits_all_texts_in_the_end(world: Planted, tmp_path: Path):
    adapter = fit("ridge", english(tmp_path, world.text(), world.clip_text()), tmp_path / "a", "penalties=[1]")
    x, y = world.text(), world.clip_text()
    model = Ridge(alpha=1, fit_intercept=False, solver="svd").fit(x - x.mean(0), y - y.mean(0))
    assert np.abs(adapter.map_text(x) - unit(model.predict(x - x.mean(0)))).max() < 1e-5


def test_both_kinds_are_centred_by_their_own_means(world: Planted, tmp_path: Path):
    text, image = world.text(), world.image()
    x, y = world.text(seed=9), world.clip_text()
    first, second = paired(tmp_path, text, image, splits()), english(tmp_path, x, y)
    sources = Sources(second.english_text, second.clip_text, first.image_vectors, pairs=first.pairs)
    adapter = fit("ridge", sources, tmp_path / "a", "data=both", "penalties=[2]")
    t, i = text[:200], image[:200]
    rows = np.concatenate([t - t.mean(0), x - x.mean(0)]), np.concatenate([i - i.mean(0), y - y.mean(0)])
    model = Ridge(alpha=2, fit_intercept=False, solver="svd").fit(*rows)
    assert np.abs(adapter.map_text(text) - unit(model.predict(text - t.mean(0)))).max() < 1e-5
    alone = fit("ridge", sources, tmp_path / "b", "penalties=[2]")
    assert np.abs(alone.map_text(text) - adapter.map_text(text)).max() > 1e-3  # auto takes the pairs alone


@pytest.mark.parametrize("data", ["english", "both", "pairs"])
def test_data_that_is_not_at_hand_is_refused(data: str, world: Planted, tmp_path: Path):
    if data == "pairs":
        sources = english(tmp_path, world.text(), world.clip_text())
    else:
        sources = paired(tmp_path, world.text(), world.image(), splits())
    with pytest.raises(TrainingError, match=f"data={data} was asked for, but only"):
        fit("ridge", sources, tmp_path / "a", f"data={data}")
    assert not (tmp_path / "a").exists()


def test_a_large_penalty_wins_where_the_held_out_pictures_want_it(tmp_path: Path):
    """Few noisy captions in many dimensions: a small penalty fits the noise."""
    world = planted(400, 6, d_x=80, d=16, noise=0.35)
    sources = paired(tmp_path, world.text(), world.image(), splits(400, 90, 100))
    adapter = fit("ridge", sources, tmp_path / "a", "penalties=[1e-6, 3, 1e-5]")
    chosen = adapter.config.selection
    assert chosen["kept"] == "penalty 3"
    assert chosen["candidates"]["penalty 3"] > 1.5 * chosen["candidates"]["penalty 1e-06"]
    alone = fit("ridge", sources, tmp_path / "b", "penalties=[3]")
    assert np.array_equal(alone.map_text(world.text()), adapter.map_text(world.text()))


def test_penalties_that_cannot_be_are_refused():
    for value in ("[0]", "[-1]", "[]", "1"):
        with pytest.raises(ConfigError, match="penalties"):
            load_method("ridge", [f"penalties={value}"])


@pytest.mark.parametrize("recipe", ["ridge", "procrustes"])
@pytest.mark.parametrize("gallery", ["untouched", "centred"])
def test_poison_in_the_test_split_changes_nothing(recipe: str, gallery: str, world: Planted, tmp_path: Path):
    text, image, split = world.text(), world.image(), splits()
    clean = fit(recipe, paired(tmp_path / "clean", text, image, split), tmp_path / "a", f"gallery={gallery}")
    generator = np.random.default_rng(9)
    text[240:], image[240:] = unit(generator.normal(size=(60, 24))), unit(generator.normal(size=(60, 16)))
    poisoned = fit(recipe, paired(tmp_path / "poisoned", text, image, split), tmp_path / "b", f"gallery={gallery}")
    assert clean.config.sha256 == poisoned.config.sha256
    assert clean.config.selection == poisoned.config.selection


def test_poison_in_the_validation_split_reaches_selection_and_no_fit(world: Planted, tmp_path: Path):
    text, image, split = world.text(), world.image(), splits()
    clean = fit("procrustes", paired(tmp_path / "clean", text, image, split), tmp_path / "a", "gallery=centred")
    text[200:240] = unit(np.random.default_rng(9).normal(size=(40, 24)))
    poisoned = fit("procrustes", paired(tmp_path / "poisoned", text, image, split), tmp_path / "b", "gallery=centred")
    assert clean.config.sha256 == poisoned.config.sha256
    assert clean.config.selection["candidates"]["orthogonal"] > 2 * poisoned.config.selection["candidates"]["orthogonal"]


def test_without_a_validation_split_a_tenth_is_held_out_and_comes_back_for_the_last_fit(world: Planted, tmp_path: Path):
    adapter = fit("ridge", paired(tmp_path, world.text(), world.image(), ["train"] * N), tmp_path / "a", "penalties=[1]")
    assert adapter.config.selection["on"] == "30 held-out captions, text to image"
    x, y = world.text(), world.image()
    model = Ridge(alpha=1, fit_intercept=False, solver="svd").fit(x - x.mean(0), y - y.mean(0))
    assert np.abs(adapter.map_text(x) - unit(model.predict(x - x.mean(0)))).max() < 1e-5


@pytest.mark.parametrize("recipe", ["ridge", "procrustes"])
@pytest.mark.parametrize("setting", ["paired", "english"])
def test_shuffled_pairs_fall_to_chance(recipe: str, setting: str, world: Planted, tmp_path: Path):
    rows = slice(0, 240)
    if setting == "paired":
        sources = paired(tmp_path, world.text(), world.image(), splits())
    else:
        sources = english(tmp_path, world.text(rows=rows), world.clip_text(rows=rows))
    queries, gallery = world.text(seed=5)[240:], world.image()[240:]
    right = fit(recipe, sources, tmp_path / "a")
    shuffled = fit(recipe, sources, tmp_path / "b", shuffle_pairs=True)
    assert recall_at_1(right.map_text(queries), right.map_image(gallery)) > 0.9
    assert recall_at_1(shuffled.map_text(queries), shuffled.map_image(gallery)) < 0.1  # chance is 1/60
    assert shuffled.config.inputs["shuffled_pairs"] is True
    assert "A control, not for use" in (tmp_path / "b" / "README.md").read_text()


def test_one_seed_gives_the_same_weights_and_the_same_folder(tmp_path: Path):
    world = planted(N, noise=0.4)
    sources = paired(tmp_path, world.text(), world.image(), ["train"] * N)
    first, again = (fit("ridge", sources, tmp_path / name, seed=3) for name in "ab")
    assert first.fingerprint == again.fingerprint
    other = fit("ridge", sources, tmp_path / "c", seed=4)
    assert other.config.selection["candidates"] != first.config.selection["candidates"]  # another tenth was held out


def test_every_candidate_is_reported_as_progress(world: Planted, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    sources = paired(tmp_path, world.text(), world.image(), splits())
    fit("ridge", sources, tmp_path / "a", "penalties=[1, 2, 3]", run=Run(lambda done, total: seen.append((done, total))))
    assert seen == [(1, 3), (2, 3), (3, 3)]
