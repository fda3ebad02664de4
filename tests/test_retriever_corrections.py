"""What an index corrects for a retriever: language centring before the adapter, hubs after it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mella_retrieval import Retriever
from mella_retrieval.adapters.adapter import Adapter, AdapterConfig
from mella_retrieval.adapters.heads import Head, Linear
from mella_retrieval.artifacts import fingerprint
from mella_retrieval.embeddings.centring import LanguageMeans, language_means
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, ConfigError, MismatchError
from mella_retrieval.indexes.merge import merge_indexes
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.scoring.methods import fit_scoring
from mella_retrieval.indexes.scoring.recipe import ScoringRecipe
from mella_retrieval.retriever import build_index

WORDS = {"en": ("red", "green", "blue"), "hu": ("piros", "zöld", "kék")}
COLOURS = ("red", "green", "blue")
IMAGE = "module:fakes:Colours"


class Offset:
    """A text tower that knows the colours of both languages, but puts all Hungarian texts near `green`."""

    modality = "text"
    weights = "words with offsets"

    def encode(self, texts: list[str]) -> np.ndarray:
        rows = []
        for text in texts:
            hungarian = any(word in text.split() for word in WORDS["hu"])
            known = WORDS["hu" if hungarian else "en"]
            row = [float(word in text.split()) for word in known] + [1.0]
            rows.append(np.array(row) + (np.array([0, 1.5, 0, -2]) if hungarian else 0))
        return np.array(rows, np.float32)


TEXT = f"module:{Offset.__module__}:Offset"


def stored(folder: Path, tower: TowerInfo, vectors: np.ndarray, ids: Sequence[str], **columns: Sequence[str]) -> EmbeddingSet:
    table = pa.table({"id": list(ids), **{name: list(values) for name, values in columns.items()}})
    return import_vectors(folder, tower, [(np.asarray(vectors, np.float32), table)], fingerprint([str(folder), list(ids)]))


@pytest.fixture
def pictures(tmp_path: Path) -> EmbeddingSet:
    return stored(tmp_path / "pictures", load_image_tower(IMAGE, device="cpu", allow_module=True).info, np.eye(3), COLOURS)


@pytest.fixture
def texts(tmp_path: Path) -> EmbeddingSet:
    tower = load_text_tower(TEXT, device="cpu", allow_module=True)
    words = [word for known in WORDS.values() for word in known]
    return stored(tmp_path / "texts", tower.info, tower.encode(words).pooled, words, lang=["en"] * 3 + ["hu"] * 3)


@pytest.fixture
def adapter(tmp_path: Path, pictures: EmbeddingSet, texts: EmbeddingSet) -> Path:
    """Fitted on English: it takes the colours and never saw an offset."""
    head = Head((Linear(np.eye(3, 4, dtype=np.float32), np.zeros(3, np.float32)),))
    config = AdapterConfig(
        method="by hand", options={}, text_tower=texts.tower, image_tower=pictures.tower, text_head=head.chain(),
        image_head=Head().chain(), languages=["en"], inputs={}, selection={}, seed=0, versions={}, sha256="",
    )  # fmt: skip
    Adapter(config, head, Head()).save(tmp_path / "adapter", "a card")
    return tmp_path / "adapter"


@pytest.fixture
def means(tmp_path: Path, texts: EmbeddingSet) -> Path:
    language_means(texts, shrinkage=0).save(tmp_path / "means")
    return tmp_path / "means"


def opened(folder: Path) -> Retriever:
    return Retriever.load(folder, text_tower=TEXT, image_tower=IMAGE, device="cpu", allow_module=True)


def test_centred_search_finds_what_an_offset_hid(tmp_path: Path, pictures: EmbeddingSet, adapter: Path, means: Path):
    build_index(pictures, tmp_path / "plain", adapter=adapter)
    built = build_index(pictures, tmp_path / "centred", adapter=adapter, centring=means)
    entry = built.manifest.centring
    assert entry is not None and entry.to == ["en"] and entry.fingerprint == LanguageMeans.load(means).fingerprint
    plain, centred = opened(tmp_path / "plain"), opened(tmp_path / "centred")
    hungarian = [[retriever.search(word, 1, lang="hu")[0].id for word in WORDS["hu"]] for retriever in (plain, centred)]
    assert hungarian == [["green"] * 3, list(COLOURS)]
    assert [centred.search(word, 1, lang="en")[0].id for word in WORDS["en"]] == list(COLOURS)
    for lang in (None, "de"):  # not known, or without a mean: where it was
        assert centred.search("piros", 1, lang=lang)[0].id == "green"


def test_the_bank_is_centred_as_the_queries_are(
    tmp_path: Path, pictures: EmbeddingSet, texts: EmbeddingSet, adapter: Path, means: Path
):
    options = {"neighbours": 3}
    recipe = IndexRecipe(scoring=ScoringRecipe(method="csls", options=options))
    build_index(pictures, tmp_path / "index", recipe, adapter=adapter, bank=texts, centring=means)
    retriever = opened(tmp_path / "index")
    moved = retriever.map_texts(texts.vectors(), texts.column("lang"))
    gallery = pictures.vectors()
    wanted = fit_scoring("csls", gallery, Bank(moved), **options).rescore(moved @ gallery.T)
    found = [[hit.score for hit in retriever.search(word, 3, lang="hu")] for word in WORDS["hu"]]
    np.testing.assert_allclose(found, -np.sort(-wanted[3:], axis=1), atol=1e-5)


def test_pictures_are_compared_by_plain_cosines(tmp_path: Path, pictures: EmbeddingSet, texts: EmbeddingSet, adapter: Path):
    recipe = IndexRecipe(scoring=ScoringRecipe(method="csls", options={"neighbours": 3}))
    build_index(pictures, tmp_path / "plain", adapter=adapter)
    build_index(pictures, tmp_path / "index", recipe, adapter=adapter, bank=texts)
    asked = Image.new("RGB", (9, 9), (190, 40, 40))
    plain, found = (opened(tmp_path / name).search_image(asked, 3) for name in ("plain", "index"))
    assert [hit.id for hit in found] == [hit.id for hit in plain]
    np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in plain], atol=1e-6)


def test_means_that_do_not_belong_are_refused(
    tmp_path: Path, pictures: EmbeddingSet, texts: EmbeddingSet, adapter: Path, means: Path
):
    other = texts.tower.model_copy(update={"spec": "module:fakes:Others", "weights": "c" * 64})
    language_means(stored(tmp_path / "o", other, texts.vectors(), texts.ids, lang=texts.column("lang"))).save(tmp_path / "others")
    with pytest.raises(MismatchError, match="language means belong to"):
        build_index(pictures, tmp_path / "index", adapter=adapter, centring=tmp_path / "others")
    with pytest.raises(MismatchError, match="neither adapter nor text tower"):
        build_index(pictures, tmp_path / "index", centring=means)
    with pytest.raises(ConfigError, match="no mean of a language that the adapter was fitted on"):
        build_index(pictures, tmp_path / "index", adapter=adapter, centring=means, centring_to=["de"])
    assert not (tmp_path / "index").exists()


def test_means_that_were_exchanged_are_noticed(
    tmp_path: Path, pictures: EmbeddingSet, texts: EmbeddingSet, adapter: Path, means: Path
):
    build_index(pictures, tmp_path / "index", adapter=adapter, centring=means)
    language_means(texts, shrinkage=5).save(tmp_path / "index" / "centring", overwrite=True)
    with pytest.raises(MismatchError, match="does not hold the language means"):
        opened(tmp_path / "index")
    manifest = tmp_path / "index" / "centring" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": {}}))
    with pytest.raises(ArtifactError, match="damaged"):
        opened(tmp_path / "index")


def test_indexes_that_centre_differently_are_not_merged(tmp_path: Path, pictures: EmbeddingSet, adapter: Path, means: Path):
    build_index(pictures, tmp_path / "plain", adapter=adapter)
    build_index(pictures, tmp_path / "centred", adapter=adapter, centring=means)
    with pytest.raises(MismatchError, match="language means"):
        merge_indexes(tmp_path / "plain", [tmp_path / "centred"])


@pytest.mark.parametrize("given", [{"search": {"nprobe": 4}}, {"rerank": 3}])
def test_an_index_that_tunes_itself_is_not_told_how_to_search(
    tmp_path: Path, pictures: EmbeddingSet, texts: EmbeddingSet, given: dict[str, Any]
):
    with pytest.raises(ConfigError, match="finds search parameters and rerank itself"):
        build_index(pictures, tmp_path / "index", IndexRecipe(factory="auto", **given), queries=texts)


def test_an_index_that_tunes_itself_takes_no_correction(
    tmp_path: Path, pictures: EmbeddingSet, texts: EmbeddingSet, adapter: Path
):
    recipe = IndexRecipe(factory="auto", scoring=ScoringRecipe(method="csls"))
    with pytest.raises(ConfigError, match="name the kind of index yourself"):
        build_index(pictures, tmp_path / "index", recipe, adapter=adapter, bank=texts, queries=texts)
