"""Vectors that somebody else computed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import FakeImageTower, files_of, picture_records, write_pictures
from safetensors.numpy import save_file

from mella_retrieval.embeddings import imports
from mella_retrieval.embeddings.clip_retrieval import import_clip_retrieval
from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.embeddings.imports import Block, import_file, import_vectors, imported_tower
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import ArtifactError, DataError

SPEC = "open_clip:ViT-B-32/openai"
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)


def ids(count: int, start: str = "v") -> list[str]:
    return [f"{start}{row}" for row in range(count)]


def bring(folder: Path, vectors: np.ndarray, dim: int = 4, **columns: list[object]) -> EmbeddingSet:
    table = pa.table({"id": ids(len(vectors)), **columns})
    return import_vectors(folder / "set", imported_tower(SPEC, "image", dim), [(vectors, table)], "key")


def test_vectors_are_normalised_and_keep_their_ids_and_columns(tmp_path: Path):
    made = bring(tmp_path, 8 * VECTORS.astype(np.float16), caption=ids(6, "c"))
    np.testing.assert_allclose(made.vectors(), unit(VECTORS.astype(np.float16)), atol=1e-6)
    assert made.ids == ids(6) and made.column("caption") == ids(6, "c")
    assert made.tower.spec == SPEC and made.tower.weights is None
    with pytest.raises(DataError, match="no column 'colour'"):
        made.column("colour")


def test_large_blocks_are_cut_into_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(imports, "SHARD_ROWS", 4)
    made = bring(tmp_path, VECTORS)
    assert [shard["rows"] for shard in made.manifest["shards"]] == [4, 2] and made.ids == ids(6)
    np.testing.assert_allclose(made.vectors(np.array([5, 0])), unit(VECTORS)[[5, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "row 2 is a vector with NaN"), (np.inf, "row 2 is a vector with NaN or infinite"), (0, "row 2 is a zero")],
)
def test_vectors_without_direction_are_refused(tmp_path: Path, value: float, message: str):
    vectors = VECTORS.copy()
    vectors[2] = value
    with pytest.raises(DataError, match=message):
        bring(tmp_path, vectors)
    assert not (tmp_path / "set").exists()


def test_other_dimensions_lengths_and_ids_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"shape \(6, 4\), but 5 dimensions"):
        bring(tmp_path, VECTORS, dim=5)
    tower = imported_tower(SPEC, "image", 4)
    for table, message in (
        (pa.table({"id": ids(5)}), "6 vectors but 5 rows"),
        (pa.table({"id": ["a", "b", "c", "b", "d", "e"]}), "the id 'b' stands twice"),
        (pa.table({"id": ["a", "b", None, "c", "d", "e"]}), "row 2 has no id"),
    ):
        with pytest.raises(DataError, match=message):
            import_vectors(tmp_path / "set", tower, [(VECTORS, table)], "key")
    blocks = [(VECTORS, pa.table({"id": ids(6)})), (VECTORS, pa.table({"id": [*ids(5, "w"), "v3"]}))]
    with pytest.raises(DataError, match=r"block 1 .*'v3' stands twice"):
        import_vectors(tmp_path / "set", tower, blocks, "key")
    with pytest.raises(ArtifactError, match="nothing to embed"):
        import_vectors(tmp_path / "set", tower, [], "empty")


def test_a_killed_import_goes_on_and_ends_with_the_same_files(tmp_path: Path):
    def blocks(until: int) -> Iterator[Block]:
        for number in range(4):
            if number == until:
                raise KeyboardInterrupt
            yield VECTORS + number, pa.table({"id": ids(6, f"b{number}-")})

    tower = imported_tower(SPEC, "image", 4)
    with pytest.raises(KeyboardInterrupt):
        import_vectors(tmp_path / "killed" / "set", tower, blocks(2), "key")
    with pytest.raises(ArtifactError, match="is not finished"):
        EmbeddingSet.load(tmp_path / "killed" / "set")
    import_vectors(tmp_path / "killed" / "set", tower, blocks(9), "key")
    import_vectors(tmp_path / "whole" / "set", tower, blocks(9), "key")
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_an_embedding_job_in_the_place_of_an_import_embeds_everything(tmp_path: Path):
    """Imported rows have no content hashes, even where the tower and the precision are the same."""
    names = write_pictures(tmp_path / "photos", 3)
    records = picture_records(tmp_path / "records", tmp_path / "photos", names)
    tower = FakeImageTower()
    import_vectors(tmp_path / "set", tower.info, [(np.eye(6), pa.table({"id": ids(6), "content": ids(6)}))], "key")
    assert embed_images(records, tower, tmp_path / "set").ids == ["p000", "p001", "p002"] and tower.encoded == 3


def test_columns_change_their_type_from_block_to_block(tmp_path: Path):
    tower = imported_tower(SPEC, "image", 4)
    first = pa.table({"id": ids(6), "width": pa.array([1] * 6), "place": pa.nulls(6)})
    second = pa.table({"id": ids(6, "w"), "width": pa.array([1.5] * 6), "place": ids(6)})
    made = import_vectors(tmp_path / "set", tower, [(VECTORS, first), (VECTORS, second)], "key")
    assert made.column("width")[5:7] == [1.0, 1.5] and made.column("place")[5:7] == [None, "v0"]
    third = second.set_column(0, "id", pa.array(ids(6, "x"))).set_column(1, "width", pa.array(ids(6)))
    made = import_vectors(tmp_path / "other", tower, [(VECTORS, first), (VECTORS, third)], "key")
    with pytest.raises(ArtifactError, match="differ from shard to shard"):
        _ = made.table


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("name,id,caption\n" + "".join(f"n{row},{row},caption {row}\n" for row in range(6)))
    return path


def test_npy_and_safetensors_files_with_a_table_of_rows(tmp_path: Path, rows: Path):
    np.save(tmp_path / "v.npy", VECTORS)
    save_file({"image": VECTORS, "other": VECTORS[:2]}, tmp_path / "v.safetensors")
    made = import_file(tmp_path / "v.npy", rows, tmp_path / "a", SPEC, "image", id_column="name")
    assert made.ids == ids(6, "n") and made.column("record_id") == [str(row) for row in range(6)]
    np.testing.assert_allclose(made.vectors(), unit(VECTORS), atol=1e-6)
    other = import_file(tmp_path / "v.safetensors", rows, tmp_path / "b", SPEC, "text", key="image")
    np.testing.assert_array_equal(other.vectors(), made.vectors())
    assert other.ids == [str(row) for row in range(6)] and other.column("name") == ids(6, "n") and other.modality == "text"
    with pytest.raises(DataError, match=r"image, other; name one of them with --key"):
        import_file(tmp_path / "v.safetensors", rows, tmp_path / "c", SPEC, "image")


def test_json_lines_need_not_have_the_same_keys(tmp_path: Path):
    np.save(tmp_path / "v.npy", VECTORS[:3])
    (tmp_path / "rows.jsonl").write_text('{"id": "a"}\n{"id": "b", "caption": "late"}\n{"caption": "x", "id": "c"}\n')
    made = import_file(tmp_path / "v.npy", tmp_path / "rows.jsonl", tmp_path / "set", SPEC, "image")
    assert made.column("caption") == [None, "late", "x"]
    (tmp_path / "rows.jsonl").write_text('{"id": "a"}\n{"caption": "no id"}\n{"id": "c"}\n')
    with pytest.raises(DataError, match="row 1 has no id"):
        import_file(tmp_path / "v.npy", tmp_path / "rows.jsonl", tmp_path / "other", SPEC, "image")
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "n": 1}\n{"id": "b", "n": "one"}\n{"id": "c"}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl: a column holds values of different types"):
        import_file(tmp_path / "v.npy", tmp_path / "rows.jsonl", tmp_path / "other", SPEC, "image")


def test_files_that_are_no_vectors_are_refused(tmp_path: Path, rows: Path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 6, dtype=object), allow_pickle=True)
    np.save(tmp_path / "flat.npy", VECTORS.ravel())
    np.save(tmp_path / "words.npy", np.array(["a"] * 6))
    np.save(tmp_path / "none.npy", np.float32(1))
    np.save(tmp_path / "whole.npy", VECTORS)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-5])
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez(tmp_path / "many.npz", VECTORS)
    save_file({"image": np.ones(3, np.float32)}, tmp_path / "flat.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x09")
    names = ("objects.npy", "flat.npy", "words.npy", "none.npy", "cut.npy", "empty.npy", "many.npz", "absent.npy")
    for name in (*names, "flat.safetensors", "cut.safetensors"):
        with pytest.raises(DataError, match=name):
            import_file(tmp_path / name, rows, tmp_path / "set", SPEC, "image")
    assert not (tmp_path / "set").exists()


def test_tables_that_do_not_fit_are_refused(tmp_path: Path, rows: Path):
    np.save(tmp_path / "v.npy", VECTORS)
    with pytest.raises(DataError, match="no column 'key'; it has name, id, caption"):
        import_file(tmp_path / "v.npy", rows, tmp_path / "set", SPEC, "image", id_column="key")
    (tmp_path / "short.csv").write_text("id\na\n")
    with pytest.raises(DataError, match="6 vectors but 1 rows"):
        import_file(tmp_path / "v.npy", tmp_path / "short.csv", tmp_path / "set", SPEC, "image")
    (tmp_path / "ragged.csv").write_text("id,caption\na,b\nc\n")
    with pytest.raises(DataError, match="line 3: wrong number of fields"):
        import_file(tmp_path / "v.npy", tmp_path / "ragged.csv", tmp_path / "set", SPEC, "image")
    (tmp_path / "none.csv").write_text("id,caption\n")
    with pytest.raises(DataError, match=r"none\.csv"):
        import_file(tmp_path / "v.npy", tmp_path / "none.csv", tmp_path / "set", SPEC, "image")


# clip-retrieval -------------------------------------------------------------------------------------------------------


def clip_folder(folder: Path) -> Path:
    """Two shards, as clip-retrieval writes them."""
    for number in range(2):
        for name in ("img", "text"):
            (folder / f"{name}_emb").mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{name}_emb" / f"{name}_emb_{number}.npy", (VECTORS + number).astype(np.float16))
        (folder / "metadata").mkdir(exist_ok=True)
        paths = [f"/old/photos/{number}-{row}.jpg" for row in range(6)]
        table = pa.table({"image_path": paths, "caption": ids(6, "c"), "id": [7] * 6, "content": ids(6, "x")})
        pq.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def test_a_clip_retrieval_folder_becomes_a_set_of_images_or_texts(tmp_path: Path):
    source = clip_folder(tmp_path / "old")
    images = import_clip_retrieval(source, tmp_path / "images", SPEC)
    expected = unit(np.concatenate([VECTORS.astype(np.float16), (VECTORS + 1).astype(np.float16)]))
    np.testing.assert_allclose(images.vectors(), expected, atol=1e-6)
    assert images.ids[6] == "/old/photos/1-0.jpg" and images.column("caption") == ids(6, "c") * 2
    assert images.column("record_id") == [7] * 12 and images.column("record_content") == ids(6, "x") * 2
    texts = import_clip_retrieval(source, tmp_path / "texts", SPEC, "text")
    assert texts.ids[7] == "/old/photos/1-1.jpg#7" and texts.column("image_id")[7] == "/old/photos/1-1.jpg"
    before = files_of(tmp_path / "images")
    import_clip_retrieval(source, tmp_path / "images", SPEC)
    assert files_of(tmp_path / "images") == before


def test_a_kind_of_vectors_that_is_not_there_is_named_and_nothing_is_left_behind(tmp_path: Path):
    source = clip_folder(tmp_path / "old")
    for path in (source / "text_emb").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="has no text vectors"):
        import_clip_retrieval(source, tmp_path / "out" / "set", SPEC, "text")
    assert not (tmp_path / "out").exists()


@pytest.mark.real
def test_the_real_clip_retrieval_output(tmp_path: Path, shared_data: Path):
    source = shared_data / "clip-retrieval-output"
    made = import_clip_retrieval(source, tmp_path / "images", SPEC)
    stored = np.load(source / "embeddings" / "img_emb" / "img_emb_0.npy")
    np.testing.assert_allclose(made.vectors(), unit(stored.astype(np.float64)), atol=1e-6)
    metadata = pq.read_table(source / "embeddings" / "metadata" / "metadata_0.parquet")
    assert made.ids == metadata["image_path"].to_pylist() and len(made) == 9
    with pytest.raises(DataError, match="has no image vectors"):  # only FAISS files stand there
        import_clip_retrieval(source / "index", tmp_path / "index", SPEC)
    assert json.loads((tmp_path / "images" / "manifest.json").read_text())["tower"]["weights"] is None
