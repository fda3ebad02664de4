"""CCA, M2M, distillation and averages: formulas against independent computations, planted problems, what they may look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import IMAGE_TOWER, Planted, names, planted, recall_at_1, write_set

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.methods.m2m import M2mConfig, m2m_loss
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.errors import ConfigError, DataError, TrainingError

N = 300


@pytest.fixture
def world() -> Planted:
    return planted(N)


@pytest.fixture
def english(world: Planted, tmp_path: Path) -> Sources:
    ids = names(N, "e")
    return Sources(
        english_text=write_set(tmp_path / "english", world.text(), ids, lang=["en"] * N),
        clip_text=write_set(tmp_path / "clip", world.clip_text(), ids, IMAGE_TOWER, lang=["en"] * N),
    )


@pytest.fixture
def paired(world: Planted, tmp_path: Path) -> Sources:
    ids, split = names(N), ["train"] * 220 + ["validation"] * 80
    return Sources(
        pairs=write_set(tmp_path / "texts", world.text(), names(N, "t"), image_id=ids, lang=["hu"] * N, split=split),
        image_vectors=write_set(tmp_path / "images", world.image(), ids, IMAGE_TOWER, "image", split=split),
    )


def fit(recipe: str, sources: Sources, out: Path, *overrides: str, **options: object) -> Adapter:
    return train(*load_method(recipe, overrides), sources, out, **options)  # type: ignore[arg-type]


def test_cca_finds_scikit_learns_canonical_correlations(world: Planted, paired: Sources, tmp_path: Path):
    from sklearn.cross_decomposition import CCA

    adapter = fit("cca", paired, tmp_path / "a", "penalties=[1e-9]", "directions=[3]", "power=0")
    x, y = world.text()[:220], world.image()[:220]
    model = CCA(n_components=3, scale=False, max_iter=20_000, tol=1e-10).fit(x, y)
    theirs = [np.corrcoef(a, b)[0, 1] for a, b in zip(*(side.T for side in model.transform(x, y)), strict=True)]
    text, image = (head.layers[0](side) for head, side in ((adapter.text_head, x), (adapter.image_head, y)))  # type: ignore[operator]
    ours = [np.corrcoef(a, b)[0, 1] for a, b in zip(text.T, image.T, strict=True)]
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert ours == sorted(ours, reverse=True)


def test_cca_centres_the_gallery_where_asked_and_keeps_the_best_candidate(world: Planted, paired: Sources, tmp_path: Path):
    adapter = fit("cca", paired, tmp_path / "a", "gallery=centred", "penalties=[1e-3, 1000]", "directions=[2, 16, 999]")
    assert adapter.image_head.chain() == ["shift", "linear"]
    candidates = adapter.config.selection["candidates"]
    assert len(candidates) == 4, "999 directions are as many as 16 there"
    assert adapter.config.selection["kept"] == max(candidates, key=candidates.get) != "penalty 1000, 2 directions"
    assert recall_at_1(adapter.map_text(world.text(4)), adapter.map_image(world.image())) > 0.9


def test_m2ms_loss_equals_the_published_formula():
    generator = np.random.default_rng(0)
    f, t = generator.normal(size=(2, 6, 5))
    distance = np.mean([(f[i, j] - t[i, j]) ** 2 for i in range(6) for j in range(5)])
    structure = np.mean([(f[i] @ f[j] - t[i] @ t[j]) ** 2 for i in range(6) for j in range(i + 1, 6)])
    loss = m2m_loss(torch.tensor(f), torch.tensor(t), M2mConfig())
    assert loss.item() == pytest.approx(44 * distance + structure, rel=1e-5)


@pytest.mark.parametrize("layers", [1, 3])
def test_m2m_learns_from_english_alone_and_leaves_the_image_side(world: Planted, english: Sources, tmp_path: Path, layers: int):
    adapter = fit("m2m", english, tmp_path / "a", "epochs=150", "learning_rate=3e-3", f"layers={layers}")
    assert not adapter.projects_images
    assert adapter.text_head.chain() == ["linear"], "layers without activation are one layer"
    assert recall_at_1(adapter.map_text(world.text(4)), world.clip_text()) > 0.8
    control = fit("m2m", english, tmp_path / "b", "epochs=60", "learning_rate=3e-3", shuffle_pairs=True)
    assert recall_at_1(control.map_text(world.text(4)), world.clip_text()) < 0.05


def test_m2m_re_centred_takes_both_means_off(world: Planted, english: Sources, paired: Sources, tmp_path: Path):
    both = Sources(english_text=english.english_text, clip_text=english.clip_text, image_vectors=paired.image_vectors)
    adapter = fit("m2m", both, tmp_path / "a", "epochs=30", "recentre=true")
    plain = fit("m2m", english, tmp_path / "b", "epochs=30")
    outputs = adapter.text_head.layers[0](world.text().astype(np.float32))  # type: ignore[operator]
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-5)
    shown = plain.text_head.layers[0](world.text().astype(np.float32))  # type: ignore[operator]
    assert np.abs(shown.mean(axis=0)).max() > 0.05
    np.testing.assert_allclose(adapter.image_head.layers[0].mean, world.image()[:220].mean(axis=0), atol=1e-5)  # type: ignore[union-attr]


def with_translations(english: Sources, world: Planted, folder: Path, named: list[str] | None = None, seed: int = 7) -> Sources:
    texts = write_set(
        folder / "translations", world.text(seed), names(N, "x"), lang=["hu"] * N, english_id=named or names(N, "e")
    )
    return Sources(english_text=english.english_text, clip_text=english.clip_text, translations=texts)


def test_distillation_brings_translations_to_their_english_texts(world: Planted, english: Sources, tmp_path: Path):
    sources = with_translations(english, world, tmp_path)
    adapter = fit("distillation", sources, tmp_path / "a", "epochs=200", "batch_size=32")
    assert recall_at_1(adapter.map_text(world.text(8)), world.clip_text()) > 0.8
    assert "translations" in adapter.config.selection["on"]
    assert adapter.config.languages == ["en", "hu"]


def test_distillation_without_the_english_term_learns_from_translations_alone(english: Sources, tmp_path: Path):
    """Translations of another world: only the English term can make English texts find their place."""
    other = planted(N, seed=9)
    sources = with_translations(english, other, tmp_path)
    world = planted(N)
    options = ("epochs=150", "batch_size=32", "keep=last")
    found = [fit("distillation", sources, tmp_path / f"a{weight}", *options, f"english={weight}") for weight in (0, 5)]
    recalls = [recall_at_1(adapter.map_text(world.text(3)), world.clip_text()) for adapter in found]
    assert recalls[0] < 0.1
    assert recalls[1] > 0.5


def test_translations_that_name_no_english_text_are_refused_and_a_few_are_said(
    world: Planted, english: Sources, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with pytest.raises(DataError, match="is the id of an English text"):
        fit("distillation", with_translations(english, world, tmp_path / "1", names(N, "z")), tmp_path / "a")
    some = [*names(N, "e")[:290], *names(10, "z")]
    fit("distillation", with_translations(english, world, tmp_path / "2", some), tmp_path / "b", "epochs=1")
    assert "10 of 300 translations" in caplog.text


def test_an_average_is_the_weighted_mean_of_its_parts_at_one_scale(world: Planted, paired: Sources, tmp_path: Path):
    parts = "parts=[{method: ridge, weight: 3, penalties: [1]}, {method: procrustes, weight: 1}]"
    adapter = fit("best", paired, tmp_path / "a", parts, "hubness=null")
    procrustes = fit("procrustes", paired, tmp_path / "p")
    ridge = fit("ridge", paired, tmp_path / "r", "penalties=[1]")
    expected = []
    for name in ("weight", "bias"):
        layers = [one.text_head.layers[0] for one in (ridge, procrustes)]
        sides = [getattr(layer, name) / np.linalg.norm(layer.weight) for layer in layers]  # type: ignore[union-attr]
        expected.append(0.75 * sides[0] + 0.25 * sides[1])
    np.testing.assert_allclose(adapter.text_head.layers[0].weight, expected[0], atol=1e-6)  # type: ignore[union-attr]
    np.testing.assert_allclose(adapter.text_head.layers[0].bias, expected[1], atol=1e-6)  # type: ignore[union-attr]
    assert [part["method"] for part in adapter.config.selection["parts"]] == ["ridge", "procrustes"]
    assert 0 < adapter.config.selection["value"] <= 1


def test_best_takes_what_the_data_allows(world: Planted, english: Sources, paired: Sources, tmp_path: Path):
    alone = fit("best", english, tmp_path / "a")
    assert [part["method"] for part in alone.config.selection["parts"]] == ["procrustes", "ridge"]
    assert alone.image_head.chain() == ["hub_bias"], "no picture is known: nothing is centred"
    assert "value" not in alone.config.selection, "its parts were fitted on the held-out rows in the end"
    both = Sources(english.english_text, english.clip_text, paired.image_vectors, pairs=paired.pairs)
    whole = fit("best", both, tmp_path / "b")
    assert [part["method"] for part in whole.config.selection["parts"]] == ["procrustes", "ridge"]
    assert whole.image_head.chain() == ["shift", "hub_bias"]
    assert recall_at_1(whole.map_text(world.text(4)), whole.map_image(world.image())) > 0.95


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("[{method: average}]", "a part's method is one of"),
        ("[{method: ridge, penalty: 1}]", "penalty"),
        ("[{method: ridge, weight: -1}]", "weight of ridge"),
        ("[]", "parts"),
    ],
)
def test_parts_that_cannot_be_are_refused(parts: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_method("best", [f"parts={parts}"])


def test_parts_that_treat_images_differently_are_refused(paired: Sources, tmp_path: Path):
    parts = "parts=[{method: ridge, gallery: centred}, {method: procrustes}]"
    with pytest.raises(TrainingError, match="treat images alike"):
        fit("best", paired, tmp_path / "a", parts)
    with pytest.raises(TrainingError, match="none of the parts m2m"):
        fit("best", paired, tmp_path / "b", "parts=[{method: m2m}]")


def test_ccas_power_weighs_directions_by_their_correlation(paired: Sources, tmp_path: Path):
    options = ("penalties=[0.1]", "directions=[5]")
    plain, weighed = (fit("cca", paired, tmp_path / f"{power}", *options, f"power={power}") for power in (0, 0.5))
    text, image = (getattr(weighed, side).layers[0].weight for side in ("text_head", "image_head"))
    before = [getattr(plain, side).layers[0].weight for side in ("text_head", "image_head")]
    strength = np.linalg.norm(text, axis=1) / np.linalg.norm(before[0], axis=1)
    np.testing.assert_allclose(text, before[0] * strength[:, None], rtol=1e-4)
    np.testing.assert_allclose(image, before[1] * strength[:, None], rtol=1e-4)
    assert (np.diff(strength) < 0).all() and strength[0] < 1
