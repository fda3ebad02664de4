"""uCLIP: the published loss, pseudo-pairs that are computed once, and a planted problem that it learns without pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import IMAGE_TOWER, load, names, planted, recall_at_1, write_set

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.methods.uclip import Heads, UClipConfig, build_heads, uclip_loss
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.errors import ConfigError, TrainingError

FAST = ("epochs=30", "batch_size=64")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """English texts 0-299, pictures 300-449 and target texts 450-599: no thing is seen from two sides of a pair."""
    folder = tmp_path_factory.mktemp("uclip")
    world = planted(700, 8, noise=0.03)
    ids = names(300, "e")
    english, pictures, target = slice(0, 300), slice(300, 450), slice(450, 600)
    return Sources(
        english_text=write_set(folder / "english", world.text(rows=english), ids, lang=["en"] * 300),
        clip_text=write_set(folder / "clip", world.clip_text(rows=english), ids, IMAGE_TOWER, lang=["en"] * 300),
        image_vectors=write_set(folder / "images", world.image(pictures), names(150), IMAGE_TOWER, "image"),
        text_bank=write_set(folder / "bank", world.text(2, target), names(150, "b"), lang=["hu"] * 150),
    )


def fit(sources: Sources, out: Path, *overrides: str, **options: object) -> Adapter:
    method, config = load_method("uclip", overrides)
    return train(method, config, sources, out, **options)  # type: ignore[arg-type]


def test_the_loss_equals_the_published_formula():
    generator = np.random.default_rng(0)
    config = UClipConfig(temperature=0.2, intra=0.3)
    w_text, w_clip = generator.normal(size=(6, 5)), generator.normal(size=(4, 5))
    t, v = generator.normal(size=(2, 7, 4))
    e, m = generator.normal(size=(2, 7, 6))

    def norm(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).sum(axis=1))[:, None]

    def nce(a: np.ndarray, b: np.ndarray) -> float:
        total = 0.0
        for i in range(7):
            forth = [np.exp(a[i] @ b[j] / 0.2) for j in range(7)]
            back = [np.exp(a[j] @ b[i] / 0.2) for j in range(7)]
            total -= np.log(forth[i] / sum(forth)) + np.log(back[i] / sum(back))
        return total / 7 / 2

    te, tm, ct, cv = norm(e @ w_text), norm(m @ w_text), norm(t @ w_clip), norm(v @ w_clip)
    intra = np.mean([np.sqrt(((tm[i] - te[i]) ** 2).sum()) + np.sqrt(((ct[i] - cv[i]) ** 2).sum()) for i in range(7)]) / 2
    expected = nce(te, ct) + nce(tm, cv) + 0.3 * intra

    text, clip = torch.nn.Linear(6, 5, bias=False).double(), torch.nn.Linear(4, 5, bias=False).double()
    text.weight.data, clip.weight.data = torch.tensor(w_text.T), torch.tensor(w_clip.T)
    batch = tuple(torch.tensor(side) for side in (t, e, v, m))
    assert uclip_loss(Heads(text, clip, clip), batch, config).item() == pytest.approx(expected, rel=1e-9)


def test_the_recipe_carries_the_published_constants():
    config = load_method("uclip")[1]
    assert isinstance(config, UClipConfig)
    assert (config.temperature, config.intra, config.learning_rate) == (0.01, 0.1, 1e-3)
    assert config.noise == pytest.approx(0.004**0.5, abs=1e-4)


def test_it_learns_a_planted_problem_without_pairs(sources: Sources, tmp_path: Path):
    adapter = fit(sources, tmp_path / "a", *FAST)
    world, unseen = planted(700, 8, noise=0.03), slice(600, 700)
    queries = adapter.map_text(world.text(4, unseen))
    assert adapter.projects_images
    assert queries.shape == (100, 512)
    assert recall_at_1(queries, adapter.map_image(world.image(unseen))) > 0.3  # chance is .01
    selection = adapter.config.selection
    assert selection["per_epoch"][selection["kept_epoch"] - 1] == max(selection["per_epoch"])
    assert adapter.config.languages == ["en", "hu"]


def test_shuffled_texts_fall_to_chance(sources: Sources, tmp_path: Path):
    adapter = fit(sources, tmp_path / "a", "epochs=5", "batch_size=64", shuffle_pairs=True)
    world, unseen = planted(700, 8, noise=0.03), slice(600, 700)
    assert recall_at_1(adapter.map_text(world.text(4, unseen)), adapter.map_image(world.image(unseen))) < 0.06


def test_one_seed_gives_identical_weights_and_another_does_not(sources: Sources, tmp_path: Path):
    first = fit(sources, tmp_path / "a", "epochs=2", seed=1)
    torch.rand(7)  # the state of the global generator plays no part
    again = fit(sources, tmp_path / "b", "epochs=2", seed=1)
    other = fit(sources, tmp_path / "c", "epochs=2", seed=2)
    assert first.config.sha256 == again.config.sha256
    assert first.fingerprint == again.fingerprint
    assert first.config.sha256 != other.config.sha256


def test_pseudo_pairs_are_stored_and_not_computed_again(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mella_retrieval.embeddings import pseudo_pairs

    first = fit(sources, tmp_path / "a", "epochs=1")
    stored = load(tmp_path / "a.work" / "pseudo-texts").vectors()
    assert len(stored) == 300

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(pseudo_pairs, "soft_retrieve", refuse)
    again = fit(sources, tmp_path / "a", "epochs=1", overwrite=True)
    assert again.config.sha256 == first.config.sha256
    with pytest.raises(AssertionError, match="computed again"):  # other vectors need other pseudo-pairs
        fit(Sources(**{**sources.named(), "text_bank": f"{sources.text_bank}?id=b0001|b0002"}), tmp_path / "a", overwrite=True)


def test_the_pseudo_pairs_are_the_softmax_average_of_the_bank(sources: Sources, tmp_path: Path):
    fit(sources, tmp_path / "a", "epochs=1")
    queries, bank = load(sources.clip_text or "").vectors(), load(sources.image_vectors or "").vectors()
    weights = np.exp((queries @ bank.T).astype(np.float64) / 0.01)
    expected = (weights / weights.sum(axis=1, keepdims=True)) @ bank
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(load(tmp_path / "a.work" / "pseudo-images").vectors() - expected).max() < 1e-5


def test_a_fit_that_diverges_is_an_error_and_leaves_no_adapter(sources: Sources, tmp_path: Path):
    with pytest.raises(TrainingError, match=r"lower learning_rate|collapsed"):
        fit(sources, tmp_path / "a", "learning_rate=1e30", "epochs=3")
    assert not (tmp_path / "a").exists()


def test_texts_that_are_all_alike_are_a_collapse(sources: Sources, tmp_path: Path):
    same = np.tile(planted(1).text(), (300, 1))
    ids = names(300, "e")
    alike = write_set(tmp_path / "alike", same, ids, lang=["en"] * 300)
    with pytest.raises(TrainingError, match="collapsed"):
        fit(Sources(**{**sources.named(), "english_text": alike}), tmp_path / "a", "epochs=1")


def test_what_it_needs_is_said(sources: Sources, tmp_path: Path):
    given = sources.named()
    del given["text_bank"]
    with pytest.raises(TrainingError, match=r"uclip needs \{.*text_bank\}; at hand: clip_text, english_text, image_vectors"):
        fit(Sources(**given), tmp_path / "a")


@pytest.mark.parametrize(("d_x", "d", "count"), [(768, 512, 3_023_360), (768, 768, 3_942_400), (384, 512, 1_743_104)])
def test_the_published_heads_have_the_published_number_of_parameters(d_x: int, d: int, count: int):
    heads = build_heads(d_x, d, UClipConfig(published=True).settled())
    assert sum(parameter.numel() for parameter in heads.parameters()) == count


def test_published_fixes_every_setting(sources: Sources, tmp_path: Path):
    method, config = load_method("uclip-published")
    adapter = train(method, config, sources, tmp_path / "a")
    selection = adapter.config.selection
    assert len(selection["per_epoch"]) == selection["kept_epoch"] == 5, "the last epoch is kept, whatever was measured"
    settled = config.settled()  # type: ignore[attr-defined]
    assert (settled.epochs, settled.batch_size, settled.learning_rate, settled.keep) == (5, 512, 1e-3, "last")
    assert settled.shared_norm and settled.project_image and settled.pseudo_pair_top is None
    with pytest.raises(ConfigError, match="leave out epochs, noise"):
        load_method("uclip-published", ["epochs=9", "noise=0.1"])


def test_published_heads_share_one_batch_norm_and_mended_ones_do_not():
    published, mended = (build_heads(6, 4, UClipConfig(shared_norm=shared)) for shared in (True, False))
    assert published.clip_text is published.clip_image
    assert mended.clip_text[0] is mended.clip_image[0] and mended.clip_text[3] is mended.clip_image[3]
    assert mended.clip_text[1] is not mended.clip_image[1]


def test_an_untouched_image_side_is_learnt_into(sources: Sources, tmp_path: Path):
    adapter = fit(sources, tmp_path / "a", *FAST, "project_image=false")
    world, unseen = planted(700, 8, noise=0.03), slice(600, 700)
    assert not adapter.projects_images
    assert adapter.map_text(world.text(4, unseen)).shape == (100, 16)
    assert recall_at_1(adapter.map_text(world.text(4, unseen)), adapter.map_image(world.image(unseen))) > 0.2  # chance is .01


def test_approximate_pseudo_pairs_say_their_error(sources: Sources, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    adapter = fit(sources, tmp_path / "a", "epochs=1", "pseudo_pair_top=3")
    assert "the 3 nearest of 150 bank vectors are an approximation" in caplog.text
    exact = fit(sources, tmp_path / "b", "epochs=1")
    assert adapter.config.sha256 != exact.config.sha256
    everything = fit(sources, tmp_path / "c", "epochs=1", "pseudo_pair_top=150")
    near, all_of_it = (load(tmp_path / name / "pseudo-texts").vectors() for name in ("a.work", "c.work"))
    whole = load(tmp_path / "b.work" / "pseudo-texts").vectors()
    np.testing.assert_allclose(all_of_it, whole, atol=1e-4)
    assert np.abs(near - whole).max() > 1e-3
    assert everything.config.options["pseudo_pair_top"] == 150
