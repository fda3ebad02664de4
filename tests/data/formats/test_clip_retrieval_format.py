from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mella_retrieval.data.formats import detect
from mella_retrieval.data.formats.clip_retrieval import ClipRetrievalFolder
from mella_retrieval.data.formats.clip_retrieval_writing import write_clip_retrieval
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.errors import ArtifactError, DataError, MellaError


def _vectors(rows: int, dim: int = 4) -> Any:
    return np.random.default_rng(rows).standard_normal((rows, dim)).astype(np.float32)


def _metadata(rows: int) -> pa.Table:
    return pa.table(
        {"image_path": [f"/old/{n}.jpg" for n in range(rows)], "caption": [f"caption {n}" if n else "" for n in range(rows)]}
    )


def _write(folder: Path, rows: int = 10, **options: Any) -> Path:
    return write_clip_retrieval(folder, _metadata(rows), [_vectors(rows)], [_vectors(rows, 3)], **options)


@pytest.mark.parametrize("heights", [[10], [1] * 10, [3, 0, 7], [4, 4, 2]])
@pytest.mark.parametrize("shard_rows", [1, 4, 10, 100])
def test_clip_retrieval__written_shards_are_read_back(tmp_path: Path, heights: list[int], shard_rows: int) -> None:
    vectors = _vectors(10)
    blocks = np.split(vectors, np.cumsum(heights)[:-1])
    write_clip_retrieval(tmp_path / "c", _metadata(10), blocks, shard_rows=shard_rows, dtype="float32")
    folder = ClipRetrievalFolder.open(tmp_path / "c")
    assert len(folder) == 10 and len(folder.shards) == -(-10 // shard_rows) and folder.dims == {"image": 4}
    np.testing.assert_array_equal(np.concatenate(list(folder.read_vectors())), vectors)
    assert pa.concat_tables(folder.read_metadata()).to_pylist() == _metadata(10).to_pylist()
    assert list(folder.image_ids()) == [f"/old/{n}.jpg" for n in range(10)]


def test_clip_retrieval__layout_and_names(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    assert sorted(str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*.*")) == [
        "img_emb/img_emb_0.npy", "metadata/metadata_0.parquet", "text_emb/text_emb_0.npy"
    ]  # fmt: skip
    assert np.load(tmp_path / "one" / "img_emb" / "img_emb_0.npy").dtype == np.float16
    _write(tmp_path / "many", 11, shard_rows=1)
    assert (tmp_path / "many" / "img_emb" / "img_emb_03.npy").is_file()


@pytest.mark.parametrize("inside", ["", "embeddings", "index"])
def test_clip_retrieval__records_from_either_layout(tmp_path: Path, inside: str) -> None:
    _write(tmp_path / "c" / inside)
    if inside == "index":
        (tmp_path / "c" / "index" / "image.index").write_bytes(b"faiss")
        assert ClipRetrievalFolder.open(tmp_path / "c").image_index == tmp_path / "c" / "index" / "image.index"
    assert detect(tmp_path / "c") == "clip-retrieval"
    report = import_records(tmp_path / "c", tmp_path / "r", lang="en")
    rows = Records.load(tmp_path / "r").table().to_pylist()
    assert [row["image_id"] for row in rows] == [row["image"] for row in rows] == [f"/old/{n}.jpg" for n in range(10)]
    assert rows[0]["text"] == "" and rows[1]["text"] == "caption 1" and report.counts["languages"] == {"en": 9}


def test_clip_retrieval__language_is_needed_for_captions_only(tmp_path: Path) -> None:
    _write(tmp_path / "c")
    assert any(reason.startswith("no language") for reason in import_records(tmp_path / "c", tmp_path / "r").rejected)
    report = import_records(tmp_path / "c", tmp_path / "images", texts=False)
    assert report.kept == 10 and report.counts["without_text"] == 10


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _pickle(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("img_emb/img_emb_1.npy", _cut, "cannot be read as a NumPy array"),
        ("img_emb/img_emb_1.npy", _pickle, "cannot be read as a NumPy array"),
        ("img_emb/img_emb_1.npy", lambda path: path.write_bytes(b""), "cannot be read as a NumPy array"),
        ("img_emb/img_emb_1.npy", lambda path: np.save(path, _vectors(3)), "has 3 rows, .*metadata_1.parquet has 5"),
        ("img_emb/img_emb_1.npy", lambda path: np.save(path, _vectors(5, 9)), "vectors of 9 numbers, the shards before it 4"),
        ("img_emb/img_emb_1.npy", lambda path: np.save(path, np.zeros(5)), "must hold floating-point vectors of shape"),
        ("img_emb/img_emb_1.npy", lambda path: np.save(path, np.zeros((5, 4), int)), "must hold floating-point vectors"),
        ("img_emb/img_emb_1.npy", Path.unlink, "image vectors and the metadata do not have the same shards; unpaired numbers: 1"),
        ("metadata/metadata_0.parquet", Path.unlink, "unpaired numbers: 0"),
        ("metadata/metadata_1.parquet", _cut, "cannot be read as Parquet"),
    ],
)
def test_clip_retrieval__damage_is_named(tmp_path: Path, name: str, damage: Any, message: str) -> None:
    _write(tmp_path / "c", shard_rows=5)
    damage(tmp_path / "c" / name)
    with pytest.raises(DataError, match=message):
        ClipRetrievalFolder.open(tmp_path / "c")


def test_clip_retrieval__missing_folder_kind_or_id_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        ClipRetrievalFolder.open(tmp_path / "gone")
    with pytest.raises(DataError, match="not an output folder of clip-retrieval"):
        ClipRetrievalFolder.open(tmp_path)
    write_clip_retrieval(tmp_path / "c", _metadata(3), [_vectors(3)])
    with pytest.raises(DataError, match="no text vectors"):
        list(ClipRetrievalFolder.open(tmp_path / "c").read_vectors("text"))
    pq.write_table(pa.table({"caption": ["a", "b", "c"]}), tmp_path / "c" / "metadata" / "metadata_0.parquet")
    with pytest.raises(DataError, match="none of the columns"):
        import_records(tmp_path / "c", tmp_path / "r", lang="en")


@pytest.mark.parametrize(
    ("rows", "vectors", "message"),
    [
        (5, [_vectors(4)], "there are 4 image vectors for 5 rows"),
        (5, [_vectors(4), _vectors(2)], "more image vectors than the 5 rows"),
        (5, [_vectors(3), _vectors(2, 7)], "vectors of 7 numbers follow vectors of 4"),
        (5, [_vectors(5) * np.float32(1e9)], "image vector 1 is not finite as float16"),
        (2, [np.array([[1, 2], [np.nan, 0]], np.float32)], "image vector 2 is not finite"),
        (2, [np.zeros(2, np.float32)], "blocks of shape"),
        (2, [], "no image vectors"),
    ],
)
def test_write_clip_retrieval__unfit_vectors_leave_nothing(tmp_path: Path, rows: int, vectors: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_clip_retrieval(tmp_path / "c", _metadata(rows), vectors)
    assert list(tmp_path.iterdir()) == []


def test_write_clip_retrieval__does_not_overwrite_unasked(tmp_path: Path) -> None:
    _write(tmp_path / "c")
    with pytest.raises(ArtifactError, match="already exists"):
        _write(tmp_path / "c")
    assert len(ClipRetrievalFolder.open(_write(tmp_path / "c", 3, overwrite=True))) == 3


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2), st.integers(0, 400))
@example(b"\x80", 1, 256)
def test_clip_retrieval__damaged_folders_raise_only_known_errors(junk: bytes, which: int, place: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = _write(Path(temporary) / "c", 4)
        path = sorted(folder.rglob("*.*"))[which]
        content = path.read_bytes()
        path.write_bytes(content[:place] + junk + content[place + len(junk) :])
        try:
            for vectors in ClipRetrievalFolder.open(folder).read_vectors():
                assert vectors.shape == (4, 4)
            report = import_records(folder, Path(temporary) / "r", lang="en")
        except MellaError:
            return
        assert report.read == report.kept + sum(report.rejected.values())
