"""Searching in text and by picture, and what the retriever refuses to bring together."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import fakes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import Colours
from PIL import Image

from mella_retrieval import Retriever, languages
from mella_retrieval.adapters.adapter import Adapter, AdapterConfig
from mella_retrieval.adapters.heads import Head, Linear
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.embeddings.clip_retrieval import import_clip_retrieval
from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, DataError, EncoderError, MismatchError
from mella_retrieval.indexes.index import Index
from mella_retrieval.retriever import build_index, verify_index

TEXT, IMAGE = "module:fakes:Words", "module:fakes:Colours"
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


@pytest.fixture
def vectors(tmp_path: Path) -> EmbeddingSet:
    """Three plain pictures as JPEG, embedded."""
    (tmp_path / "photos").mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 16), colour).save(tmp_path / "photos" / f"{name}.jpg")
    items = [RawRecord(name, f"{name}.jpg", f"a {name} plate", "en", extras={"price": len(name)}) for name in COLOURS]
    write_records(tmp_path / "records", items, image_root=tmp_path / "photos")
    tower = load_image_tower(IMAGE, device="cpu", allow_module=True)
    return embed_images(Records.load(tmp_path / "records"), tower, tmp_path / "vectors")


def make_adapter(folder: Path, image_tower: TowerInfo, image_head: Head | None = None) -> Path:
    """An adapter that knows the colour words of two languages."""
    words = load_text_tower(TEXT, device="cpu", allow_module=True)
    weight = np.concatenate([np.eye(3) - 0.4] * 2, axis=1).astype(np.float32)  # (3, 6)
    text_head = Head((Linear(weight, np.zeros(3, np.float32)),))
    image_head = image_head or Head()
    config = AdapterConfig(
        method="by hand", options={}, text_tower=words.info, image_tower=image_tower, text_head=text_head.chain(),
        image_head=image_head.chain(), languages=["en", "hu"], inputs={}, selection={}, seed=0, versions={}, sha256="",
    )  # fmt: skip
    Adapter(config, text_head, image_head).save(folder, "a card")
    return folder


@pytest.fixture
def index(tmp_path: Path, vectors: EmbeddingSet) -> Path:
    build_index(vectors, tmp_path / "index", adapter=make_adapter(tmp_path / "adapter", vectors.tower))
    return tmp_path / "index"


def opened(index: Path, text_tower: str | None = TEXT, image_tower: str | None = IMAGE, allow_module: bool = True) -> Retriever:
    return Retriever.load(index, text_tower=text_tower, image_tower=image_tower, device="cpu", allow_module=allow_module)


@pytest.mark.parametrize(("query", "best"), [("red", "red"), ("zöld", "green"), ("kék tányér", "blue")])
def test_texts_in_several_languages_find_pictures_and_their_records(index: Path, query: str, best: str):
    hits = opened(index).search(query, k=2)
    assert [hit.rank for hit in hits] == [1, 2] and hits[0].id == best and 1.0001 >= hits[0].score > hits[1].score
    record = {"id": best, "image_id": best, "image": f"{best}.jpg", "text": f"a {best} plate", "lang": "en", "price": len(best)}
    assert record.items() <= hits[0].record.items() and hits[0].to_json()["record"] == hits[0].record


def test_composed_and_decomposed_text_find_the_same(index: Path):
    retriever = opened(index)
    composed, decomposed = (unicodedata.normalize(form, "zöld kék") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert retriever.search(composed) == retriever.search(decomposed)


def test_several_texts_at_once_find_what_each_finds_alone(index: Path):
    retriever = opened(index)
    together = retriever.search_texts(["red", "kék"], k=3, lang="hu")
    for hits, text in zip(together, ("red", "kék"), strict=True):
        alone = retriever.search(text, k=3, lang="hu")
        assert [(hit.id, hit.record) for hit in hits] == [(hit.id, hit.record) for hit in alone]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone], abs=1e-6)
    assert retriever.search_texts([]) == []


def test_search_by_picture(index: Path, tmp_path: Path):
    Image.new("RGB", (9, 9), (190, 40, 40)).save(tmp_path / "query.png")
    retriever = opened(index)
    hits = retriever.search_image(tmp_path / "query.png", k=1)
    assert [hit.id for hit in hits] == ["red"]
    assert retriever.search_image(str(tmp_path / "query.png"), k=1) == hits
    assert retriever.search_image(Image.open(tmp_path / "query.png"), k=1) == hits
    transparent = Image.new("RGBA", (9, 9), (190, 40, 40, 255))
    assert [retriever.search_image(transparent.convert(mode), k=1) for mode in ("RGBA", "P")] == [hits, hits]
    (tmp_path / "broken.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"broken\.png"):
        retriever.search_image(tmp_path / "broken.png")


@pytest.mark.parametrize("query", ["", "  \n", "\u3000"])
def test_an_empty_query_is_refused(index: Path, query: str):
    with pytest.raises(DataError, match="is empty"):
        opened(index).search(query)


def test_unknown_languages_are_refused_and_known_ones_normalised(index: Path):
    with pytest.raises(DataError, match="hungarain"):
        opened(index).search("zöld", lang="hungarain")
    assert languages.normalise("hun_Latn") == "hu"
    assert opened(index).search("zöld", lang="hun_Latn") == opened(index).search("zöld", lang="hu")


def test_a_projected_image_side_serves_stored_vectors_and_query_pictures(tmp_path: Path, vectors: EmbeddingSet):
    turn = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)
    head = Head((Linear(turn, np.zeros(3, np.float32)),))
    adapter = make_adapter(tmp_path / "adapter", vectors.tower, head)
    build_index(vectors, tmp_path / "index", adapter=adapter)
    retriever = opened(tmp_path / "index")
    assert retriever.search_image(tmp_path / "photos" / "green.jpg", k=1)[0].id == "green"
    np.testing.assert_allclose(retriever.map_images(vectors.vectors()), vectors.vectors() @ turn.T, atol=1e-6)
    assert retriever.search("red", k=1)[0].id == "green"  # the text side was not turned


# What belongs together ------------------------------------------------------------------------------------------------


def test_a_tower_that_moved_is_taken_if_its_weights_are_the_same(index: Path):
    with pytest.raises(MismatchError, match=r"module:fakes:Words .*module:fakes:OtherWords"):
        opened(index, text_tower="module:fakes:OtherWords").search("red")
    copy = index.parent / "copy"
    copy.write_text("where the weights lie now")
    assert opened(index, text_tower=f"{TEXT}?copy={copy}").search("red", k=1)[0].id == "red"


def test_a_class_that_only_the_manifest_names_is_not_imported(index: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fakes.Words, "loaded", loaded := [])
    for retriever in (
        opened(index, text_tower=None, image_tower=None),
        opened(index, text_tower=None, image_tower=IMAGE),
        opened(index, allow_module=False),
    ):
        with pytest.raises(EncoderError, match="imported only where you name it yourself"):
            retriever.search("red")
    with pytest.raises(EncoderError, match="imported only where you name it yourself"):
        opened(index, image_tower=None).search_image(Image.new("RGB", (4, 4)))
    assert loaded == []


def test_an_adapter_of_another_image_tower_is_refused(tmp_path: Path, vectors: EmbeddingSet):
    other = TowerInfo(spec="open_clip:ViT-L-14/openai", modality="image", dim=3, weights="f" * 64)
    with pytest.raises(MismatchError, match=r"ViT-L-14/openai.*module:fakes:Colours"):
        build_index(vectors, tmp_path / "index", adapter=make_adapter(tmp_path / "adapter", other))
    assert not (tmp_path / "index").exists()


def test_an_adapter_that_was_exchanged_is_refused(index: Path, tmp_path: Path, vectors: EmbeddingSet):
    head = Head((Linear(-np.eye(3, dtype=np.float32), np.zeros(3, np.float32)),))
    other = make_adapter(tmp_path / "other", vectors.tower, head)
    for path in other.iterdir():
        (index / "adapter" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(MismatchError, match="is not the adapter that"):
        opened(index)
    (index / "adapter" / "adapter.safetensors").write_bytes(b"cut")
    with pytest.raises(ArtifactError, match=r"adapter\.safetensors"):
        opened(index)


def test_verifying_an_index_looks_at_its_adapter_too(index: Path):
    assert len(verify_index(index)) == len(Index.load(index))
    weights = index / "adapter" / "adapter.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises((ArtifactError, MismatchError), match="adapter"):
        verify_index(index)
    shutil.rmtree(index / "adapter")
    with pytest.raises(ArtifactError, match="adapter"):
        verify_index(index)


def test_the_index_keeps_its_own_copy_of_the_adapter(index: Path, tmp_path: Path):
    (tmp_path / "adapter").rename(tmp_path / "gone")
    assert opened(index).search("blue", k=1)[0].id == "blue"


def test_without_an_adapter_the_text_tower_must_be_that_of_the_images(tmp_path: Path, vectors: EmbeddingSet):
    words = load_text_tower(TEXT, device="cpu", allow_module=True).info
    with pytest.raises(MismatchError, match="is not the text tower of"):
        build_index(vectors, tmp_path / "index", text_tower=words)
    same_weights = words.model_copy(update={"weights": vectors.tower.weights, "traits": vectors.tower.traits})
    with pytest.raises(MismatchError, match="is not the text tower of"):  # six dimensions, the pictures have three
        build_index(vectors, tmp_path / "index", text_tower=same_weights)
    build_index(vectors, tmp_path / "index")
    retriever = opened(tmp_path / "index")
    with pytest.raises(MismatchError, match="answers pictures only"):
        retriever.search("red")
    assert retriever.search_image(Image.new("RGB", (4, 4), (20, 20, 250)), k=1)[0].id == "blue"


def test_old_vectors_without_any_image_file_answer_in_a_new_language(tmp_path: Path):
    prepared = [Colours().prepare(Image.new("RGB", (4, 4), colour)) for colour in COLOURS.values()]
    old = np.stack([pixels.mean(dim=(0, 1)).numpy() for pixels in prepared])
    folder = tmp_path / "old"
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    np.save(folder / "img_emb" / "img_emb_0.npy", old.astype(np.float16))
    table = pa.table({"image_path": [f"/lost/{name}.jpg" for name in COLOURS], "caption": list(COLOURS)})
    pq.write_table(table, folder / "metadata" / "metadata_0.parquet")
    vectors = import_clip_retrieval(folder, tmp_path / "vectors", "open_clip:ViT-B-32/openai")
    trained_with = TowerInfo(spec="open_clip:ViT-B-32/openai", modality="image", dim=3, weights="d" * 64)
    build_index(vectors, tmp_path / "index", adapter=make_adapter(tmp_path / "adapter", trained_with))
    hits = opened(tmp_path / "index", image_tower=None).search("piros", k=1)
    assert hits[0].id == "/lost/red.jpg" and hits[0].record["caption"] == "red"
