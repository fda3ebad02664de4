"""uCLIP: the published loss, pseudo-pairs that are computed once, and a planted problem that it learns without pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import IMAGE_TOWER, load, names, planted, recall_at_1, write_set

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.methods.uclip import UClipConfig, uclip_loss
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.errors import TrainingError

FAST = ("epochs=30", "batch_size=64")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Steps this small only wait for one another where several threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
    assert uclip_loss(text, clip, batch, config).item() == pytest.approx(expected, rel=1e-9)


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
