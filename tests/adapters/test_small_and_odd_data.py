"""Data as users have it: little, overlapping, with holes; and options that would do nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import IMAGE_TOWER, names, planted, write_set

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.inputs import load_inputs
from mella_retrieval.adapters.methods.m2m import M2mConfig, m2m_loss
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.errors import ConfigError, DataError, TrainingError


def paired(folder: Path, n: int, lang: list[str | None] | None = None, rows: slice = slice(None)) -> Sources:
    world, ids = planted(n), names(n)
    columns = {"image_id": ids[rows], "lang": (lang or ["hu"] * n)[rows]}
    return Sources(
        pairs=write_set(folder / "texts", world.text()[rows], names(n, "t")[rows], **columns),
        image_vectors=write_set(folder / "images", world.image(), ids, IMAGE_TOWER, "image"),
    )


def english(folder: Path, n: int) -> Sources:
    world, ids = planted(n), names(n, "e")
    return Sources(
        english_text=write_set(folder / "english", world.text(), ids, lang=["en"] * n),
        clip_text=write_set(folder / "clip", world.clip_text(), ids, IMAGE_TOWER, lang=["en"] * n),
    )


def fit(recipe: str, sources: Sources, out: Path, *overrides: str, **options: object) -> Adapter:
    return train(*load_method(recipe, overrides), sources, out, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", ["ridge", "procrustes", "cca", "contrastive", "best"])
def test_eleven_pairs_are_enough_to_run(tmp_path: Path, recipe: str):
    fit(recipe, paired(tmp_path, 11), tmp_path / "a")


def test_eleven_english_texts_are_enough_to_run(tmp_path: Path):
    fit("m2m", english(tmp_path, 11), tmp_path / "a", "epochs=2", "batch_size=4")


@pytest.mark.parametrize("start", ["procrustes", "ridge"])
def test_a_start_at_a_closed_form_has_not_seen_the_held_out_pairs(tmp_path: Path, start: str):
    """On destroyed pairs nothing can be known of what is held out: its rank is that of a random start."""
    values: dict[str, list[float]] = {start: [], "random": []}
    sources = paired(tmp_path, 40)
    for seed in range(12):
        for name, found in values.items():
            options = ("epochs=1", "batch_size=32", "learning_rate=1e-12", f"start={name}")
            adapter = fit("contrastive", sources, tmp_path / f"{name}{seed}", *options, seed=seed, shuffle_pairs=True)
            found.append(adapter.config.selection["per_epoch"][0])
    assert np.mean(values[start]) == pytest.approx(np.mean(values["random"]), abs=0.15)  # it was .9 against .5


def test_a_validation_set_that_shares_pictures_with_training_is_refused_and_its_rows_are_recorded(tmp_path: Path):
    sources = paired(tmp_path / "a", 60)
    with pytest.raises(DataError, match=r"60 pictures of .* are to be fitted on and to select by"):
        load_inputs(replace(sources, validation=sources.pairs), 0)
    names_of = "|".join(names(60, "t")[:40])
    train_part, rest = f"{sources.pairs}?id={names_of}", f"{sources.pairs}?id=" + "|".join(names(60, "t")[40:])
    described = load_inputs(replace(sources, pairs=train_part, validation=rest), 0).description
    assert described["validation"]["rows"] == 20


def test_a_text_without_a_language_is_a_text_of_no_language(tmp_path: Path):
    sources = paired(tmp_path, 60, ["hu", None] * 30)
    pairs = load_inputs(sources, 0).pairs
    assert pairs is not None and set(pairs.langs) == {"hu", ""}
    fit("contrastive", sources, tmp_path / "a", "epochs=1")


@pytest.mark.parametrize("option", ["hard_negatives=0.2", "language_temperature=0", "source_weights={know: 1}"])
def test_options_that_one_to_k_cannot_follow_are_refused(option: str):
    with pytest.raises(ConfigError, match="belong to loss=infonce or loss=sigmoid"):
        load_method("contrastive", [option])
    load_method("contrastive", [option, "loss=infonce"])


def test_weights_that_leave_nothing_are_refused(tmp_path: Path):
    world, ids = planted(30), names(30)
    texts = write_set(tmp_path / "texts", world.text(), names(30, "t"), image_id=ids, lang=["hu"] * 30, source=["know"] * 30)
    sources = Sources(pairs=texts, image_vectors=write_set(tmp_path / "images", world.image(), ids, IMAGE_TOWER, "image"))
    with pytest.raises(ConfigError, match="leaves no text to draw"):
        fit("contrastive", sources, tmp_path / "a", "loss=infonce", "source_weights={know: 0}")


def test_what_cannot_work_is_said_before_anything_is_trained(tmp_path: Path):
    with pytest.raises(TrainingError, match="recentre takes the mean of a picture collection off"):
        fit("m2m", english(tmp_path, 30), tmp_path / "a", "recentre=true", "epochs=1000000")
    for part in ("{method: cca}", "{method: leccr}", "{method: ridge, hubness: {weight: 0.5}}"):
        with pytest.raises(ConfigError, match=r"a part's method is one of|belongs to the whole average"):
            load_method("best", [f"parts=[{part}]"])


def test_m2ms_loss_is_computed_in_full_precision_under_autocast():
    generator = torch.Generator().manual_seed(0)
    sides = torch.randn(2, 32, 64, generator=generator)
    expected = m2m_loss(sides[0], sides[1], M2mConfig()).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert m2m_loss(sides[0], sides[1], M2mConfig()).item() == expected


def test_parts_of_an_average_keep_their_checkpoints_apart(tmp_path: Path):
    from mella_retrieval.adapters.run import Run

    parts = "parts=[{method: contrastive, epochs: 1}, {method: contrastive, epochs: 1, english: 0}]"
    fit("best", paired(tmp_path, 60), tmp_path / "a", parts, run=Run(checkpoint_seconds=0))
    assert sorted(path.name for path in (tmp_path / "a.work").iterdir()) == ["part-0", "part-1"]
