"""LECCR's head from stored token sets to an adapter folder: what it learns, refuses, counts and repeats."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import IMAGE_TOWER, names, planted, unit, write_set
from token_sets import Scenery, scenery, write_token_set

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.card import write_card
from mella_retrieval.adapters.inputs import Pairs, load_inputs
from mella_retrieval.adapters.leccr.enrich import enrich
from mella_retrieval.adapters.leccr.scenes import given_names, text_key
from mella_retrieval.adapters.leccr.scores import global_scores, local_scores, scaled, video_scores
from mella_retrieval.adapters.leccr.slot_file import SLOTS
from mella_retrieval.adapters.leccr.text_draws import TextDraws
from mella_retrieval.adapters.run import Run
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, MismatchError, TrainingError

SMALL = ("width=16", "heads=2", "batch_size=32")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Scenery:
    return scenery(tmp_path_factory.mktemp("scenery"), undescribed=3)


def fit(sources: Sources, out: Path, *overrides: str, **options: object) -> Adapter:
    method, config = load_method("leccr", [*SMALL, "epochs=1", *overrides])
    return train(method, config, sources, out, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def adapter(world: Scenery, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return fit(world.sources, tmp_path_factory.mktemp("a") / "a")


def held_out_recall(adapter: Adapter, world: Scenery, folder: Path, hide: bool = False) -> float:
    """Share of validation captions whose picture is among the first three of the validation pictures; chance is 1 in 8."""
    enriched = enrich(adapter, world.load("images"), world.load("described"), folder, hide=hide).select({"split": "validation"})
    texts = world.load("texts").select({"split": "validation"})
    scores = adapter.map_text(texts.vectors) @ enriched.vectors.T
    place = {key: row for row, key in enumerate(enriched.ids)}
    own = [place[key] for key in texts.column("image_id")]
    return float(((scores > scores[np.arange(len(own)), own][:, None]).sum(1) < 3).mean())


# What it learns -----------------------------------------------------------------------------------------------------


def test_it_finds_pictures_by_what_only_their_descriptions_say(world: Scenery, tmp_path: Path):
    learned = fit(world.sources, tmp_path / "a", "epochs=25", "weight_decay=0.01", "dropped=0.1")
    assert held_out_recall(learned, world, tmp_path / "e") > 0.6
    assert held_out_recall(learned, world, tmp_path / "h", hide=True) < 0.4


def test_without_slots_these_pictures_say_nothing(world: Scenery, tmp_path: Path):
    learned = fit(world.sources, tmp_path / "a", "epochs=10", "slots=false")
    assert held_out_recall(learned, world, tmp_path / "e") < 0.4
    assert "tokens" not in EmbeddingSet.load(tmp_path / "e").table.column_names


def test_shuffled_pairs_fall_to_chance(world: Scenery, tmp_path: Path):
    learned = fit(world.sources, tmp_path / "a", "epochs=8", "weight_decay=0.01", shuffle_pairs=True)
    assert held_out_recall(learned, world, tmp_path / "e") < 0.4


@pytest.mark.parametrize("option", ["english", "target", "soft", "languages", "slot", "across", "apart"])
def test_every_loss_can_be_switched_off(option: str, world: Scenery, adapter: Adapter, tmp_path: Path):
    without = fit(world.sources, tmp_path / "a", f"{option}=0")
    assert without.config.slots is not None and adapter.config.slots is not None
    assert without.config.slots.sha256 != adapter.config.slots.sha256


def test_public_behaviour_is_another_fit(world: Scenery, adapter: Adapter, tmp_path: Path):
    public = fit(world.sources, tmp_path / "a", "public_behaviour=true")
    assert public.config.options["public_behaviour"] is True
    assert public.config.slots is not None and public.config.slots.sha256 != adapter.config.slots.sha256  # type: ignore[union-attr]


def test_half_precision_trains_the_same_head_within_its_rounding(world: Scenery, adapter: Adapter, tmp_path: Path):
    half = fit(world.sources, tmp_path / "a", "precision=bf16")
    texts = world.load("texts").vectors()[:20]
    cosines = (half.map_text(texts) * adapter.map_text(texts)).sum(1)
    assert 0.98 < cosines.min() < 1 - 1e-7


def test_a_picture_set_of_one_language_is_fitted_on_that_language(tmp_path: Path):
    for lang in ("en", "cs"):
        only = scenery(tmp_path / lang, n=60, langs=(lang,))
        counted = fit(only.sources, tmp_path / f"a-{lang}").config.selection["counted"]
        assert counted["without English text"] == (48 if lang == "cs" else 0)
        assert counted["without text in another language"] == (48 if lang == "en" else 0)


def test_what_was_counted_and_selected(adapter: Adapter):
    selection = adapter.config.selection
    assert selection["counted"] == {
        "pictures": 96,
        "without description": 3,
        "without English text": 0,
        "without text in another language": 0,
    }
    assert "48 held-out captions" in selection["on"]
    assert adapter.config.languages == ["cs", "en"]


# The same again -----------------------------------------------------------------------------------------------------


def test_one_seed_gives_identical_weights_and_another_does_not(world: Scenery, adapter: Adapter, tmp_path: Path):
    torch.rand(7)  # the state of the global generator plays no part
    again, other = fit(world.sources, tmp_path / "b"), fit(world.sources, tmp_path / "c", seed=1)
    assert again.fingerprint == adapter.fingerprint
    assert other.config.slots is not None and other.config.slots.sha256 != adapter.config.slots.sha256  # type: ignore[union-attr]
    assert other.config.sha256 != adapter.config.sha256


def test_a_killed_fit_continues_to_the_same_weights(world: Scenery, tmp_path: Path):
    whole = fit(world.sources, tmp_path / "whole", "epochs=3")

    def die(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(world.sources, tmp_path / "a", "epochs=3", run=Run(die, checkpoint_seconds=0))
    assert not (tmp_path / "a").exists()
    again = fit(world.sources, tmp_path / "a", "epochs=3", run=Run(checkpoint_seconds=0))
    assert again.fingerprint == whole.fingerprint


# The folder ---------------------------------------------------------------------------------------------------------


def test_it_comes_back_with_its_slots(adapter: Adapter, tmp_path: Path):
    adapter.save(tmp_path / "a", write_card(adapter))
    again = Adapter.load(tmp_path / "a")
    assert again.fingerprint == adapter.fingerprint
    assert again.slots == adapter.slots
    assert again.config.image_tower.spec.startswith("leccr:")
    assert again.config.image_tower.dim == 256
    assert not again.projects_images
    card = (tmp_path / "a" / "README.md").read_text()
    assert "mella embed enrich" in card and IMAGE_TOWER in card


@pytest.mark.parametrize("damage", ["missing", "flip"])
def test_slots_that_were_damaged_are_refused(adapter: Adapter, tmp_path: Path, damage: str):
    adapter.save(tmp_path / "a", "card")
    path = tmp_path / "a" / SLOTS
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    if damage == "missing":
        path.unlink()
    with pytest.raises(ArtifactError, match=SLOTS):
        Adapter.load(tmp_path / "a")


def test_an_adapter_without_slots_reads_as_it_did_before_there_were_any(world: Scenery, tmp_path: Path):
    made = train(*load_method("ridge"), Sources(image_vectors=world.images, pairs=world.texts), tmp_path / "a")
    assert "slots" not in (tmp_path / "a" / "config.json").read_text()
    assert Adapter.load(tmp_path / "a").fingerprint == made.fingerprint


# What it is given ---------------------------------------------------------------------------------------------------


def test_descriptions_are_never_queries(world: Scenery, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """By what they say, whatever the case and the spaces, and by their id; for training and for selection."""
    said = ["Caption 0 in  EN .", "caption 119 in cs", "something else"]
    described = write_token_set(
        tmp_path / "d", planted(3).text(), [np.ones((2, 8))] * 3, ["d1", "d2", "t0005"], image_id=names(3), text=said
    )
    with caplog.at_level(logging.WARNING):
        inputs = load_inputs(Sources(image_vectors=world.images, pairs=world.texts, descriptions=described), 0)
    assert inputs.pairs is not None
    assert (len(inputs.pairs.train), len(inputs.pairs.held_out)) == (192 - 2, 48 - 1)
    assert "2 of 192 texts in pairs serve as descriptions" in caplog.text
    assert "1 of 48 texts in validation serve as descriptions" in caplog.text


def test_nothing_but_descriptions_is_refused(world: Scenery, tmp_path: Path):
    texts = world.load("texts")
    described = write_token_set(
        tmp_path / "d", texts.vectors(), [np.ones((1, 8))] * len(texts), texts.ids, image_id=texts.column("image_id")
    )
    with pytest.raises(DataError, match=r"every text of .* serves as a description"):
        fit(Sources(image_vectors=world.images, pairs=world.texts, descriptions=described), tmp_path / "a")


@pytest.mark.parametrize(
    ("one", "other", "same"), [("A dog .", "a  dog", True), ("Ａ dog!", "a dog", True), ("a dog", "a hog", False)]
)
def test_text_keys(one: str, other: str, same: bool):
    assert (text_key(one) == text_key(other)) is same


def test_its_needs_are_said(world: Scenery, tmp_path: Path):
    bare = write_set(tmp_path / "bare", planted(120).image(), names(120), IMAGE_TOWER, "image")
    assert given_names(world.sources.named()) == {"pairs", "image_vectors", "tokens", "descriptions"}
    with pytest.raises(
        TrainingError, match=r"leccr needs \{descriptions, image_vectors, pairs, tokens\}; at hand: descriptions, im"
    ):
        fit(Sources(image_vectors=bare, pairs=world.texts, descriptions=world.described), tmp_path / "a")
    untold = write_set(tmp_path / "untold", planted(120).text(), names(120, "d"), image_id=names(120))
    with pytest.raises(ArtifactError, match="untold holds pooled vectors only; make it again with --tokens"):
        fit(Sources(image_vectors=world.images, pairs=world.texts, descriptions=untold), tmp_path / "a")
    strangers = write_token_set(tmp_path / "s", planted(2).text(), [np.ones((1, 8))] * 2, ["d1", "d2"], image_id=["x", "y"])
    with pytest.raises(DataError, match="names a picture of"):
        fit(Sources(image_vectors=world.images, pairs=world.texts, descriptions=strangers), tmp_path / "a")


def test_descriptions_of_another_tower_are_refused(world: Scenery, tmp_path: Path):
    other = write_token_set(
        tmp_path / "d", planted(3).text(), [np.ones((1, 8))] * 3, names(3, "d"), "sentence-transformers:a/b", image_id=names(3)
    )
    with pytest.raises(MismatchError, match="sentence-transformers:a/b"):
        fit(Sources(image_vectors=world.images, pairs=world.texts, descriptions=other), tmp_path / "a")


@pytest.mark.parametrize("options", [("width=15",), ("hubness.method=csls",), ("teacher_temperature=0.5",)])
def test_options_that_cannot_be_are_refused(options: tuple[str, ...], world: Scenery, tmp_path: Path):
    with pytest.raises(ConfigError):
        fit(world.sources, tmp_path / "a", *options)


# Draws --------------------------------------------------------------------------------------------------------------


def test_texts_are_drawn_language_first_and_only_from_the_pictures_own_training_texts():
    langs = ["en", "cs", "cs", "cs", "hu", "en", "en", "hu", "cs"]
    owner = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2])
    rows = np.arange(9)
    pairs = Pairs(
        text=np.zeros((9, 2), np.float32),
        images=np.zeros((4, 2), np.float32),
        image_rows=owner,
        langs=langs,
        origins=[""] * 9,
        whole=[""] * 9,
        train=rows[:8],
        held_out=rows[8:],
        final=rows,
    )
    english, other = TextDraws(pairs, english=True), TextDraws(pairs, english=False)
    generator = torch.Generator().manual_seed(0)
    assert english.has(np.arange(4)).tolist() == [True, True, False, False]
    assert other.has(np.arange(4)).tolist() == [True, False, True, False]
    drawn = other(np.zeros(4000, np.int64), generator).numpy()
    counts = np.bincount(drawn, minlength=9) / 4000
    assert counts[[1, 2, 3]] == pytest.approx([1 / 6] * 3, abs=0.03)  # three Czech texts share one half
    assert counts[4] == pytest.approx(0.5, abs=0.03)
    assert set(other(np.full(50, 2), generator).tolist()) == {7}  # the eighth row is held out
    assert english(np.array([0, 1, 2, 3]), generator)[2:].tolist() == [-1, -1]
    assert set(english(np.ones(50, np.int64), generator).tolist()) == {5, 6}


# Scores and videos --------------------------------------------------------------------------------------------------


def test_scores_of_stored_sets(tmp_path: Path):
    slots = [unit(np.random.default_rng(row).normal(size=(2, 4))).astype(np.float32) for row in range(5)]
    pooled = unit(np.random.default_rng(9).normal(size=(5, 4)))
    stored = EmbeddingSet.load(write_token_set(tmp_path / "e", pooled, slots, names(5), IMAGE_TOWER, "image", shard_rows=2))
    texts = unit(np.random.default_rng(8).normal(size=(3, 4))).astype(np.float32)
    best = np.array([[max(text @ slot for slot in each) for each in slots] for text in texts])
    assert np.allclose(local_scores(texts, stored), best, atol=1e-6)
    assert np.allclose(global_scores(texts, stored), texts @ pooled.T, atol=1e-6)
    both = 0.9 * scaled(global_scores(texts, stored)) + 0.1 * scaled(local_scores(texts, stored))
    found = video_scores(texts, stored)
    assert np.allclose(found, both, atol=1e-6)
    assert np.allclose(video_scores(texts[:1], stored), found[:1], atol=1e-6)  # other queries change nothing
    assert scaled(np.array([[2.0, 4.0, 3.0], [1.0, 1.0, 1.0]])).tolist() == [[0, 1, 0.5], [0, 0, 0]]
    with pytest.raises(MismatchError, match="4 dimensions"):
        local_scores(np.ones((1, 3), np.float32), stored)


def test_a_video_is_a_picture_with_frames_for_tokens(tmp_path: Path):
    world = scenery(tmp_path / "v", n=60, token_dim=33)  # frame features of another width than the pooled vector
    adapter = fit(world.sources, tmp_path / "a", "queries=2")
    made = enrich(adapter, world.load("images"), world.load("described"), tmp_path / "e")
    assert made.manifest["token_dim"] == 256
    assert {len(part) for part in made.shard_tokens(0)} == {2}
    texts = adapter.map_text(world.load("texts").vectors()[:4])
    assert video_scores(texts, made).shape == (4, 60)
