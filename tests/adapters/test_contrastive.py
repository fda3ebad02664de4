"""Paired alignment: the losses against formulas written out, what a batch holds, and planted problems."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import IMAGE_TOWER, Planted, names, planted, recall_at_1, write_set

from mella_retrieval.adapters import losses
from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.inputs import Pairs, load_inputs
from mella_retrieval.adapters.pair_sampling import ImageSampler, TextSampler, text_weights
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.errors import ConfigError

N = 200


def log_softmax(values: list[float]) -> np.ndarray:
    exact = np.asarray(values, np.float64)
    return exact - np.log(np.exp(exact).sum())


def test_one_to_k_equals_the_formula_where_images_have_different_numbers_of_languages():
    generator = np.random.default_rng(0)
    owner = [0, 0, 0, 1, 2, 2]
    logits = generator.normal(size=(6, 3))
    to_text = [-np.mean([log_softmax(logits[:, b].tolist())[k] for k in range(6) if owner[k] == b]) for b in range(3)]
    to_image = [-np.mean([log_softmax(logits[k].tolist())[b] for k in range(6) if owner[k] == b]) for b in range(3)]
    expected = (np.mean(to_text) + np.mean(to_image)) / 2
    assert losses.one_to_k(torch.tensor(logits), torch.tensor(owner)).item() == pytest.approx(expected, rel=1e-9)


def test_the_least_value_of_one_to_k_is_log_k_for_image_to_text():
    owner = torch.tensor([0, 0, 0, 1, 1, 1])
    perfect = 1e4 * torch.nn.functional.one_hot(owner, 2).double()
    assert losses.one_to_k(perfect, owner).item() == pytest.approx(np.log(3) / 2)


def test_sigmoid_loss_equals_siglips_formula():
    generator = np.random.default_rng(1)
    logits, positive = generator.normal(size=(4, 3)), np.eye(4)[:, :3]
    positive[3, 0] = 1
    cells = [[-np.log(1 / (1 + np.exp(-(2 * positive[i, j] - 1) * logits[i, j]))) for j in range(3)] for i in range(4)]
    expected = np.mean(np.sum(cells, axis=1))
    assert losses.sigmoid(torch.tensor(logits), torch.tensor(positive)).item() == pytest.approx(expected, rel=1e-9)


def test_several_texts_of_a_picture_are_positives_never_negatives():
    owner = torch.tensor([0, 0, 1])
    positive = torch.nn.functional.one_hot(owner, 2).double()
    good = 50 * positive
    assert losses.matching(good, positive).item() == pytest.approx(np.log(2) / 2 / 2, abs=1e-6)  # column 0 shares its mass
    as_negatives = losses.info_nce(torch.eye(3)[[0, 0, 1]].double(), torch.eye(3)[[0, 0, 1]].double(), 0.02)
    assert as_negatives.item() > 0.4, "the plain loss punishes them"


def some_pairs(langs: list[str], origins: list[str], images: list[int], whole: list[str] | None = None) -> Pairs:
    n = len(langs)
    return Pairs(
        text=np.zeros((n, 2), np.float32),
        images=np.eye(max(images) + 1, 4, dtype=np.float32),
        image_rows=np.array(images),
        langs=langs,
        origins=origins,
        whole=whole or names(n),
        train=np.arange(n),
        held_out=np.arange(0),
        final=np.arange(n),
    )


def shares(pairs: Pairs, by: list[str], **options: object) -> dict[str, float]:
    sources, temperature = options.get("sources", {}), options.get("temperature", 1.0)
    weights = text_weights(pairs, pairs.train, sources, temperature).numpy()  # type: ignore[arg-type]
    assert weights.sum() == pytest.approx(1)
    return {name: float(weights[[value == name for value in by]].sum()) for name in dict.fromkeys(by)}


def test_sources_get_their_share_whatever_their_counts():
    origins = ["know"] * 9 + ["ling"]
    pairs = some_pairs(["hu"] * 10, origins, list(range(10)))
    assert shares(pairs, origins) == pytest.approx({"know": 0.9, "ling": 0.1})
    assert shares(pairs, origins, sources={"know": 1, "ling": 3}) == pytest.approx({"know": 0.25, "ling": 0.75})
    assert shares(pairs, origins, sources={"know": 0, "ling": 1}) == pytest.approx({"know": 0, "ling": 1})


@pytest.mark.parametrize("given", [{"know": 1}, {"know": 1, "ling": 1, "web": 1}])
def test_sources_that_are_not_those_of_the_pairs_are_refused(given: dict[str, float]):
    pairs = some_pairs(["hu"] * 2, ["know", "ling"], [0, 1])
    with pytest.raises(ConfigError, match=r"the pairs have 'know', 'ling'"):
        text_weights(pairs, pairs.train, given, 1)


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 16 / 17), (0.5, 4 / 5), (0.0, 1 / 2)])
def test_the_temperature_evens_the_languages_out_within_each_source(temperature: float, expected: float):
    langs = ["en"] * 16 + ["hu"]
    pairs = some_pairs(langs, ["know"] * 17, list(range(17)))
    assert shares(pairs, langs, temperature=temperature)["en"] == pytest.approx(expected)


def test_the_sentences_of_one_description_share_the_weight_of_one_text():
    whole = ["a"] * 4 + ["b"]
    pairs = some_pairs(["hu"] * 5, ["ling"] * 5, [0, 0, 0, 0, 1], whole)
    assert shares(pairs, whole) == pytest.approx({"a": 0.5, "b": 0.5})


def test_texts_are_drawn_by_weight_and_only_those_of_training():
    pairs = replace(some_pairs(["hu"] * 6, [""] * 6, list(range(6))), train=np.array([1, 3, 4]))
    draw = TextSampler(pairs, torch.tensor([0.0, 0.2, 0.8], dtype=torch.float64))
    drawn = draw(2000, torch.Generator().manual_seed(0)).numpy()
    assert set(drawn) == {3, 4}
    assert (drawn == 4).mean() == pytest.approx(0.8, abs=0.04)


def test_hard_negatives_come_from_the_nearest_pictures_and_never_from_the_own_one():
    """Pictures stand in a row; the four nearest are those beside."""
    angles = np.linspace(0, 1.5, 30)
    images = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    pairs = replace(some_pairs(["hu"] * 60, [""] * 60, sorted([*range(30)] * 2)), images=images)
    draw = TextSampler(pairs, torch.full((60,), 1 / 60, dtype=torch.float64), hard=0.5, neighbours=4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        rows = draw(40, generator)
        owner = pairs.image_rows[rows.numpy()]
        distance = np.abs(owner[:20] - owner[20:])
        assert distance.min() >= 1
        assert distance.max() <= 4


def test_texts_of_no_weight_are_no_hard_negatives_either():
    origins = ["know", "ling"] * 20
    pairs = replace(some_pairs(["hu"] * 40, origins, sorted([*range(20)] * 2)), images=np.eye(20, dtype=np.float32))
    draw = TextSampler(pairs, text_weights(pairs, pairs.train, {"know": 1, "ling": 0}, 1), hard=0.5, neighbours=4)
    rows = draw(400, torch.Generator().manual_seed(0))
    assert {origins[row] for row in rows.tolist()} == {"know"}


def test_a_picture_brings_one_text_of_each_of_its_languages():
    langs = ["en", "en", "hu", "cs", "en", "hu"]
    pairs = some_pairs(langs, [""] * 6, [0, 0, 0, 0, 1, 1])
    sampler = ImageSampler(pairs, torch.tensor([0.5, 0, 0.1, 0.2, 0.1, 0.1], dtype=torch.float64))
    assert len(sampler) == 2
    rows, owner = sampler(torch.tensor([1, 0]), torch.Generator().manual_seed(0))
    assert rows.tolist() == [4, 5, 0, 2, 3], "the second English text has no weight"
    assert owner.tolist() == [0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def world() -> Planted:
    return planted(N)


@pytest.fixture(scope="module")
def sources(world: Planted, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Two languages of every picture, each with its own noise; English ones in both text towers beside them."""
    folder, ids = tmp_path_factory.mktemp("pairs"), names(N)
    split = ["train"] * 150 + ["validation"] * 50
    texts = np.concatenate([world.text(1), world.text(2)])
    columns = {"image_id": ids * 2, "lang": ["hu"] * N + ["cs"] * N, "split": split * 2, "source": ["know", "ling"] * N}
    return Sources(
        pairs=write_set(folder / "texts", texts, names(2 * N, "t"), **columns),
        image_vectors=write_set(folder / "images", world.image(), ids, IMAGE_TOWER, "image", split=split),
        english_text=write_set(folder / "english", world.text(3), names(N, "e"), lang=["en"] * N),
        clip_text=write_set(folder / "clip", world.clip_text(), names(N, "e"), IMAGE_TOWER, lang=["en"] * N),
    )


def fit(sources: Sources, out: Path, *overrides: str, **options: object) -> Adapter:
    method, config = load_method("contrastive", ["epochs=8", "batch_size=64", *overrides])
    return train(method, config, sources, out, **options)  # type: ignore[arg-type]


VARIANTS = [
    ("loss=one-to-k",),
    ("loss=infonce", "hard_negatives=0.25"),
    ("loss=sigmoid", "temperature=0.1"),
    ("loss=infonce", "start=random", "epochs=40", "learning_rate=3e-3"),
    ("loss=infonce", "start=random", "hidden=64", "epochs=40", "learning_rate=3e-3"),
    ("loss=one-to-k", "project_image=true", "gallery=centred"),
    ("loss=infonce", "source_weights={know: 1, ling: 2}", "language_temperature=0.5", "start=ridge"),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=" ".join)
def test_every_variant_learns_and_falls_to_chance_on_shuffled_pairs(
    world: Planted, sources: Sources, tmp_path: Path, variant: tuple[str, ...]
):
    adapter = fit(sources, tmp_path / "a", *variant)
    assert recall_at_1(adapter.map_text(world.text(4))[150:], adapter.map_image(world.image())[150:]) > 0.8
    assert adapter.projects_images == any("project" in part or "centred" in part for part in variant)
    control = fit(sources, tmp_path / "b", *variant, shuffle_pairs=True)
    assert recall_at_1(control.map_text(world.text(4))[150:], control.map_image(world.image())[150:]) < 0.15


def test_the_same_seed_gives_the_same_weights_and_memory_maps_change_nothing(sources: Sources, tmp_path: Path):
    from mella_retrieval.adapters.run import Run

    first, again, mapped = (
        fit(sources, tmp_path / name, "loss=infonce", run=run, seed=3)
        for name, run in (("a", Run()), ("b", Run()), ("c", Run(in_memory=False)))
    )
    other = fit(sources, tmp_path / "d", "loss=infonce", seed=4)
    assert first.config.sha256 == again.config.sha256 == mapped.config.sha256 != other.config.sha256


def test_english_texts_help_only_where_they_are_at_hand(sources: Sources, tmp_path: Path):
    alone = Sources(pairs=sources.pairs, image_vectors=sources.image_vectors)
    first = fit(alone, tmp_path / "a", "english=5")
    second = fit(alone, tmp_path / "b", "english=0", "start=procrustes")
    with_them = fit(sources, tmp_path / "c", "english=5")
    assert first.config.sha256 == second.config.sha256
    assert with_them.config.sha256 != first.config.sha256


def test_sources_and_whole_texts_are_read_from_the_columns_of_the_set(world: Planted, tmp_path: Path):
    ids = names(30)
    columns = {"image_id": ids, "lang": ["hu"] * 30, "source": ["know"] * 10 + ["ling"] * 20, "part_of": ["a", "a", *[""] * 28]}
    sources = Sources(
        pairs=write_set(tmp_path / "texts", world.text()[:30], names(30, "t"), **columns),
        image_vectors=write_set(tmp_path / "images", world.image()[:30], ids, IMAGE_TOWER, "image"),
    )
    pairs = load_inputs(sources, 0).pairs
    assert pairs is not None
    by_image = dict(zip([ids[row] for row in pairs.image_rows], zip(pairs.origins, pairs.whole, strict=True), strict=True))
    assert by_image["i0000"] == by_image["i0001"] == ("know", "a")
    assert by_image["i0002"] == ("know", "t0002")
    assert by_image["i0020"] == ("ling", "t0020")
