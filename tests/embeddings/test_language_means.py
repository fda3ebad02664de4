"""Language means: what they take away, what they leave in place, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mella_retrieval.embeddings.centring import LanguageMeans, language_means
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, MismatchError

TOWER = TowerInfo(spec="sentence-transformers:multi", modality="text", dim=6, weights="a" * 64, preparation={"unicode": "NFC"})
COUNTS = {"en": 40, "cs": 25, "th": 3}


@pytest.fixture
def texts(tmp_path: Path) -> EmbeddingSet:
    """Texts of three languages, each around a point of its own, in mixed order; two texts without a language."""
    rng = np.random.default_rng(0)
    langs = np.array([code for code, count in COUNTS.items() for _ in range(count)] + [None, None], dtype=object)
    centres = {code: rng.normal(size=6) for code in COUNTS} | {None: np.full(6, 50.0)}
    vectors = np.stack([centres[code] + 0.2 * rng.normal(size=6) for code in langs])
    order = rng.permutation(len(langs))
    ids = [f"t{row}" for row in range(len(langs))]
    table = pa.table({"id": ids, "lang": pa.array(langs[order], pa.string()), "split": (["train", "test"] * 35)})
    return import_vectors(
        tmp_path / "texts", TOWER, [(vectors[order][:33], table[:33]), (vectors[order][33:], table[33:])], "texts"
    )


def rows_of(texts: EmbeddingSet, code: str) -> np.ndarray:
    return texts.select({"lang": code}).vectors


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_means_and_counts_whatever_the_block(texts: EmbeddingSet, block: int):
    means = language_means(texts, block=block)
    assert dict(zip(means.languages, means.counts.tolist(), strict=True)) == COUNTS
    for row, code in enumerate(means.languages):
        np.testing.assert_allclose(means.means[row], rows_of(texts, code).mean(0, dtype=np.float64), atol=1e-6)
    train = language_means(texts.select({"split": "train"}), block=block)
    np.testing.assert_allclose(
        train.means[1], texts.select({"split": "train", "lang": "en"}).vectors.mean(0, dtype=np.float64), atol=1e-6
    )
    assert train.source != means.source


def test_texts_move_to_where_the_adapter_learnt_them(texts: EmbeddingSet):
    means = language_means(texts, shrinkage=0)
    english, czech = rows_of(texts, "en"), rows_of(texts, "cs")
    moved = means.apply(np.concatenate([english, czech]), ["en"] * 40 + ["cs"] * 25, TOWER, to="en").vectors
    np.testing.assert_allclose(moved[:40], english, atol=1e-6)  # English stays where it is
    np.testing.assert_allclose(moved[40:].mean(0), english.mean(0), atol=1e-5)
    np.testing.assert_allclose(moved[40:] - moved[40], czech - czech[0], atol=1e-5)  # and nothing else changes
    bare = means.apply(czech, ["cs"] * 25, TOWER).vectors
    np.testing.assert_allclose(bare.mean(0), 0, atol=1e-6)


def test_several_languages_as_target_count_by_their_texts(texts: EmbeddingSet):
    means = language_means(texts, shrinkage=0)
    pooled = np.concatenate([rows_of(texts, "en"), rows_of(texts, "cs")]).mean(0)
    moved = means.apply(rows_of(texts, "cs"), ["cs"] * 25, TOWER, to=["en", "cs"]).vectors
    np.testing.assert_allclose(moved.mean(0), pooled, atol=1e-5)


def test_few_texts_shift_less(texts: EmbeddingSet):
    thai = rows_of(texts, "th")
    whole, shrunk = (language_means(texts, shrinkage=k).apply(thai, ["th"] * 3, TOWER, to="en").vectors for k in (0, 9))
    np.testing.assert_allclose(shrunk - thai, (whole - thai) * 3 / (3 + 9), atol=1e-5)


def test_unknown_languages_stay_and_are_counted(texts: EmbeddingSet):
    rows = rows_of(texts, "cs")[:4]
    found = language_means(texts).apply(rows, ["cs", "sw", "zu", "sw"], TOWER, to="en")
    assert found.unknown == {"sw": 2, "zu": 1}
    np.testing.assert_array_equal(found.vectors[1:], rows[1:])
    assert np.abs(found.vectors[0] - rows[0]).max() > 0.1


def test_stored_and_read_again(texts: EmbeddingSet, tmp_path: Path):
    means = language_means(texts, shrinkage=5)
    means.save(tmp_path / "means")
    again = LanguageMeans.load(tmp_path / "means")
    assert again.fingerprint == means.fingerprint != language_means(texts, shrinkage=6).fingerprint
    assert (again.tower, again.languages, again.source, again.shrinkage) == (TOWER, means.languages, means.source, 5)
    np.testing.assert_array_equal(again.means, means.means)
    with pytest.raises(ArtifactError, match="already exists"):
        means.save(tmp_path / "means")
    data = bytearray((tmp_path / "means" / "means.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "means" / "means.safetensors").write_bytes(data)
    with pytest.raises(ArtifactError, match="corrupted or changed"):
        LanguageMeans.load(tmp_path / "means")


@pytest.mark.parametrize(
    "change", [{"weights": "b" * 64}, {"preparation": {"unicode": "NFKC"}}, {"dim": 7}, {"modality": "image"}]
)
def test_another_tower_is_refused(texts: EmbeddingSet, change: dict[str, object]):
    means, other = language_means(texts), TOWER.model_copy(update=change)
    with pytest.raises(MismatchError, match="language means belong to the text tower sentence-transformers:multi"):
        means.apply(rows_of(texts, "cs"), ["cs"] * 25, other)


def test_what_cannot_be_is_refused(texts: EmbeddingSet, tmp_path: Path):
    means = language_means(texts)
    with pytest.raises(DataError, match="2 languages were given"):
        means.apply(rows_of(texts, "th"), ["th", "th"], TOWER)
    with pytest.raises(ConfigError, match="no mean of sw; there are means of cs, en, th"):
        means.apply(rows_of(texts, "th"), ["th"] * 3, TOWER, to="sw")
    with pytest.raises(ConfigError, match="shrinkage"):
        language_means(texts, shrinkage=-1)
    with pytest.raises(DataError, match="no chosen text"):
        language_means(texts.select({"lang": "None"}))
    image = TOWER.model_copy(update={"modality": "image"})
    pictures = import_vectors(tmp_path / "i", image, [(np.eye(6), pa.table({"id": list("abcdef")}))], "i")
    with pytest.raises(DataError, match="holds image vectors"):
        language_means(pictures)
