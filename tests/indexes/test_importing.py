"""Indexes of other programs: taken over as they are, and refused where ids would name wrong pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exchange_material import COUNT, DIM, KINDS, SPEC, captions, faiss_index, found_rows, pictures, unit, write_folder
from index_material import TOWER, vector_set

from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, MellaError, MismatchError
from mella_retrieval.indexes.build import Projection, build_index
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.exporting import export_index
from mella_retrieval.indexes.importing import import_index
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.sources import Source
from mella_retrieval.indexes.update import add_to_index, delete_from_index


@pytest.mark.parametrize("kind", KINDS)
def test_a_faiss_index_answers_as_before_and_can_be_changed(tmp_path: Path, kind: str):
    vectors = pictures()
    made = faiss_index(vectors, kind)
    write_folder(tmp_path / "old", vectors, made)
    index = import_index(tmp_path / "old", tmp_path / "index", SPEC)
    scores, rows = made.search(vectors[:40], 5)
    found = index.search(vectors[:40], 5)
    assert np.array_equal(found.scores, scores)
    assert sum(set(ours) == set(theirs) for ours, theirs in zip(found.rows.tolist(), rows.tolist(), strict=True)) >= 36  # ties
    assert index.segments[0].records(np.array([7]))[0]["caption"] == "number 7" and next(index.ids()) == "p/0000.jpg"
    assert (tmp_path / "index" / "segment-000001" / "vectors.faiss").read_bytes() == (tmp_path / "old/image.index").read_bytes()
    assert np.abs(index.segments[0].vectors(np.arange(COUNT)) - vectors).max() < 2e-3

    delete_from_index(tmp_path / "index", ["p/0003.jpg"])
    new = pictures(5, seed=5)
    tower = TOWER.model_copy(update={"dim": DIM, "weights": None})
    index = add_to_index(tmp_path / "index", vector_set(tmp_path / "new", new, list("abcde"), tower))
    assert len(index.segments) == 2
    for changed in (index, compact_index(tmp_path / "index")):
        old, added = changed.search(np.stack([vectors[0], new[0]]), 40).ids
        assert len(changed) == COUNT + 4 and "p/0000.jpg" in old and "a" in added and not changed.find(["p/0003.jpg"])
    assert len(changed.segments) == 1


@pytest.mark.parametrize("kind", ["Flat", "IVF8,Flat", "IVF8,PQ8x4", "PQ8x4fs", "IVF8,RaBitQ"])
@pytest.mark.parametrize("wrong", ["shifted", "end shifted", "shuffled", "captions", "long", "shards in another order"])
def test_vectors_out_of_step_with_the_index_are_refused(tmp_path: Path, kind: str, wrong: str):
    vectors = pictures()
    others = {
        "shifted": np.roll(vectors, 1, axis=0),
        "end shifted": np.concatenate([vectors[: COUNT - 100], np.roll(vectors[COUNT - 100 :], 1, axis=0)]),
        "shuffled": np.random.default_rng(1).permutation(vectors),
        "captions": captions(vectors),
        "long": 3 * vectors,
        "shards in another order": np.concatenate([vectors[:400], vectors[800:], vectors[400:800]]),
    }
    write_folder(tmp_path / "old", vectors, faiss_index(np.ascontiguousarray(others[wrong]), kind))
    with pytest.raises(DataError, match=r"(row|vector) \d+"):
        import_index(tmp_path / "old", tmp_path / "index", SPEC)
    assert not (tmp_path / "index").exists()


def test_both_layouts_and_a_swapped_text_index(tmp_path: Path):
    vectors = pictures(300)
    write_folder(tmp_path / "old" / "embeddings", vectors, None)
    write_folder(tmp_path / "old" / "index", vectors, faiss_index(vectors, "Flat"), plain=False)
    index = import_index(tmp_path / "old", tmp_path / "index", SPEC)
    assert found_rows(index, vectors[:9], 1) == [[row] for row in range(9)]
    faiss().write_index(faiss_index(captions(vectors), "Flat"), str(tmp_path / "old" / "index" / "image.index"))
    with pytest.raises(DataError, match="row 0 "):
        import_index(tmp_path / "old", tmp_path / "second", SPEC)
    shutil.rmtree(tmp_path / "old" / "index" / "metadata")
    write_folder(tmp_path / "other", vectors[::-1], None, plain=False)
    table = pq.read_table(tmp_path / "other" / "metadata" / "metadata_0.parquet")
    (tmp_path / "old" / "index" / "metadata").mkdir()
    whole = pa.concat_tables([table.slice(1), table.slice(0, 1), table.slice(0, 0)])
    pq.write_table(whole, tmp_path / "old" / "index" / "metadata" / "metadata_0.parquet")
    with pytest.raises(DataError, match=r"row 0 is 'p/0000.jpg' .* 'p/0001.jpg'"):
        import_index(tmp_path / "old", tmp_path / "second", SPEC)


def test_an_index_without_vectors_is_searched_but_not_compacted_where_it_keeps_codes_only(tmp_path: Path):
    vectors = pictures()
    write_folder(tmp_path / "codes", vectors, faiss_index(vectors, "IVF8,PQ8x4"), plain=False)
    index = import_index(tmp_path / "codes", tmp_path / "index", SPEC)
    assert index.manifest.recipe.store == "none" and len(index.search(vectors[:1], 3, where='caption == "number 5"')[0]) == 1
    delete_from_index(tmp_path / "index", ["p/0000.jpg"])
    for refused in (lambda: compact_index(tmp_path / "index"), lambda: export_index(tmp_path / "index", tmp_path / "out")):
        with pytest.raises(ConfigError, match="keeps only the codes"):
            refused()
    with pytest.raises(ConfigError, match="no vectors to store"):
        import_index(tmp_path / "codes", tmp_path / "second", SPEC, store="float16")
    write_folder(tmp_path / "blocks", vectors, faiss_index(vectors, "IVF8,PQ8x4fs"), plain=False)
    with pytest.raises(DataError, match="cannot give its vectors back"):
        import_index(tmp_path / "blocks", tmp_path / "second", SPEC)
    write_folder(tmp_path / "whole", vectors, faiss_index(vectors, "HNSW16"), plain=False)
    import_index(tmp_path / "whole", tmp_path / "third", SPEC, store="float32")
    delete_from_index(tmp_path / "third", ["p/0000.jpg"])
    assert len(compact_index(tmp_path / "third")) == COUNT - 1


def test_reranking_with_the_stored_vectors_repairs_what_codes_confuse(tmp_path: Path):
    vectors = pictures()
    write_folder(tmp_path / "old", vectors, faiss_index(vectors, "PQ8x4"))
    index = import_index(tmp_path / "old", tmp_path / "index", SPEC, rerank=40)
    plain = index.search(vectors[:100], 1, parameters={"rerank": 0}).rows[:, 0]
    assert (plain == np.arange(100)).mean() < 0.9 < (index.search(vectors[:100], 1).rows[:, 0] == np.arange(100)).mean()


def test_search_parameters_that_autofaiss_chose(tmp_path: Path):
    vectors = pictures()
    write_folder(tmp_path / "old", vectors, faiss_index(vectors, "L2norm,IVF8,PQ8x4"))
    infos = {"index_key": "L2norm,IVF8,PQ8x4", "index_param": "nprobe=5,ht=2048,efSearch=7"}
    (tmp_path / "old" / "image.json").write_text(json.dumps(infos))
    recipe = import_index(tmp_path / "old", tmp_path / "index", SPEC).manifest.recipe
    assert recipe.factory == "L2norm,IVF8,PQ8x4"
    assert recipe.search == {"nprobe": 5, "ht": 2048}  # efSearch is none of this kind's


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_plain_files(tmp_path: Path, suffix: str):
    vectors = pictures(300)
    faiss().write_index(faiss_index(vectors, "Flat"), str(tmp_path / "old.faiss"))
    np.save(tmp_path / "vectors.npy", vectors)
    rows = [{"name": f"n{row}", "year": 1900 + row} for row in range(300)]
    path = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        path.write_text("name,year\n" + "".join(f"{row['name']},{row['year']}\n" for row in rows))
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    source = Source.find(tmp_path / "old.faiss", path, tmp_path / "vectors.npy", "name")
    index = import_index(source, tmp_path / "index", TOWER.model_copy(update={"dim": DIM}))
    assert index.search(vectors[[7]], 1).ids == [["n7"]] and str(index.search(vectors[[7]], 1).records(0)[0]["year"]) == "1907"
    np.save(tmp_path / "vectors.npy", vectors[:-1])
    with pytest.raises(DataError, match=r"299 vectors, but .* 300 rows"):
        Source.find(tmp_path / "old.faiss", path, tmp_path / "vectors.npy", "name")
    with pytest.raises(DataError, match="no column 'id'"):
        Source.find(tmp_path / "old.faiss", path)
    with pytest.raises(ConfigError, match="--rows"):
        Source.find(tmp_path / "old.faiss")


def test_numbered_indexes(tmp_path: Path):
    library, vectors = faiss(), pictures(300)

    def numbered(inner: Any, ids: np.ndarray) -> Any:
        inner.add_with_ids(vectors, ids)
        return inner

    asked = np.arange(300)
    write_folder(tmp_path / "old", vectors, numbered(library.IndexIDMap(library.IndexFlatIP(DIM)), asked))
    assert found_rows(import_index(tmp_path / "old", tmp_path / "index", SPEC), vectors[:5], 1) == [[row] for row in range(5)]
    quantiser = library.IndexFlatIP(DIM)
    lists = library.IndexIVFFlat(quantiser, DIM, 4, library.METRIC_INNER_PRODUCT)
    lists.train(vectors)
    for number, inner in enumerate((library.IndexIDMap(library.IndexFlatIP(DIM)), lists)):
        write_folder(tmp_path / f"odd{number}", vectors, numbered(inner, asked + 1000))
        with pytest.raises(DataError, match=r"numbered|numbers its vectors"):
            import_index(tmp_path / f"odd{number}", tmp_path / "second", SPEC)


def test_kinds_that_will_not_do(tmp_path: Path):
    library, vectors = faiss(), pictures(300)
    nan = vectors.copy()
    nan[4, 2] = np.nan
    cases = {
        "metric L2": faiss_index(vectors, "Flat", library.METRIC_L2),
        "takes no further vectors": faiss_index(vectors, "NSG16"),
        "holds no vectors": library.IndexFlatIP(DIM),
        "299 vectors, but .* 300 rows": faiss_index(vectors[:-1], "Flat"),
        "16 dimensions, but .* have 32": faiss_index(unit(vectors[:, :16]), "Flat"),
        "vector 4 has the length nan": faiss_index(nan, "Flat"),
    }
    for number, (message, index) in enumerate(cases.items()):
        write_folder(tmp_path / str(number), vectors, index)
        with pytest.raises(DataError, match=message):
            import_index(tmp_path / str(number), tmp_path / "index", SPEC)
    library.write_index_binary(library.IndexBinaryFlat(32), str(tmp_path / "0" / "image.index"))
    with pytest.raises(DataError, match="no FAISS index"):
        import_index(tmp_path / "0", tmp_path / "index", SPEC)
    (tmp_path / "0" / "image.index").unlink()
    with pytest.raises(DataError, match=r"has no image.index"):
        import_index(tmp_path / "0", tmp_path / "index", SPEC)


def test_lists_in_another_file(tmp_path: Path):
    library, vectors = faiss(), pictures(300)
    index = faiss_index(vectors, "IVF4,Flat")
    outside = library.OnDiskInvertedLists(4, index.code_size, str(tmp_path / "lists.ivfdata"))
    outside.merge_from_1(index.invlists)
    index.replace_invlists(outside, False)
    write_folder(tmp_path / "old", vectors, index)
    with pytest.raises(DataError, match=r"another file .lists.ivfdata."):
        import_index(tmp_path / "old", tmp_path / "index", SPEC)


@pytest.mark.parametrize("kind", ["Flat", "HNSW8", "IVF4,PQ8x4", "PQ8x4"])
def test_files_cut_short_anywhere(tmp_path: Path, kind: str):
    vectors = pictures(300)
    write_folder(tmp_path / "old", vectors, faiss_index(vectors, kind))
    path = tmp_path / "old" / "image.index"
    whole = path.read_bytes()
    cuts = {0, *range(20, 190, 2), *(1 << power for power in range(20)), *(len(whole) - missing for missing in (1, 7, 8, 400))}
    for cut in sorted(cut for cut in cuts if cut < len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="cut short or damaged"):
            import_index(tmp_path / "old", tmp_path / "index", SPEC)
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(DataError, match="no FAISS index"):
        import_index(tmp_path / "old", tmp_path / "index", SPEC)
    assert not (tmp_path / "index").exists()


def test_rows_and_vectors_that_will_not_do(tmp_path: Path):
    vectors = pictures(300)
    write_folder(tmp_path / "old", vectors, faiss_index(vectors, "SQ8"), shards=1)
    metadata, plain = tmp_path / "old/metadata/metadata_0.parquet", tmp_path / "old/img_emb/img_emb_0.npy"
    table = pq.read_table(metadata)
    pq.write_table(pa.concat_tables([table.slice(0, 299), table.slice(0, 1)]), metadata)
    with pytest.raises(DataError, match=r"'p/0000.jpg' is there twice"):
        import_index(tmp_path / "old", tmp_path / "index", SPEC)
    pq.write_table(table.slice(0, 299), metadata)
    with pytest.raises(DataError, match=r"300 rows.* 299"):
        import_index(tmp_path / "old", tmp_path / "index", SPEC)
    pq.write_table(table, metadata)
    bad = vectors.astype(np.float16)
    bad[17, 3] = np.nan
    np.save(plain, bad)
    with pytest.raises(DataError, match="row 17 is a vector with NaN"):
        import_index(tmp_path / "old", tmp_path / "index", SPEC)
    shutil.rmtree(plain.parent)
    pq.write_table(table.slice(0, 299), metadata)
    with pytest.raises(DataError, match=r"300 vectors, but .* 299 rows"):
        import_index(tmp_path / "old", tmp_path / "index", SPEC)
    assert not (tmp_path / "index").exists()


def test_towers_and_adapters(tmp_path: Path):
    vectors = pictures(300)
    old = write_folder(tmp_path / "old", vectors, faiss_index(vectors, "Flat"))
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "weights").write_bytes(b"w")

    def adapter(matrix: np.ndarray) -> Projection:
        return Projection(lambda images: images @ matrix.astype(np.float32), matrix.shape[1], tmp_path / "adapter", "f" * 64)

    reflected = np.diag([1.0] * (DIM - 1) + [-1.0])
    for matrix in (reflected, np.eye(DIM)[:, :16]):
        with pytest.raises(ConfigError, match="mella index build --adapter"):
            import_index(old, tmp_path / "index", SPEC, projection=adapter(matrix))
    text = TowerInfo(spec="labse", modality="text", dim=768)
    index = import_index(old, tmp_path / "index", SPEC, projection=adapter(np.eye(DIM)), text_tower=text)
    assert index.manifest.adapter == "f" * 64 and (tmp_path / "index/adapter/weights").read_bytes() == b"w"
    assert index.manifest.text_tower == text and index.manifest.image_tower.weights is None
    with pytest.raises(MismatchError, match="not the text tower"):
        import_index(old, tmp_path / "second", SPEC, text_tower=text)
    with pytest.raises(MismatchError, match="32 dimensions"):
        import_index(old, tmp_path / "second", TOWER)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ArtifactError):
        import_index(old, tmp_path / "mine", SPEC, overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_an_imported_set_and_an_imported_index_have_the_same_records(tmp_path: Path):
    from mella_retrieval.embeddings.clip_retrieval import import_clip_retrieval

    vectors = pictures(300)
    old = write_folder(tmp_path / "old", vectors, faiss_index(vectors, "Flat"))
    import_clip_retrieval(old, tmp_path / "set", SPEC)
    built = build_index(EmbeddingSet.load(tmp_path / "set"), tmp_path / "built")
    taken = import_index(old, tmp_path / "taken", SPEC)
    assert taken.segments[0].table.to_pylist() == built.segments[0].table.to_pylist()


@pytest.mark.real
def test_real_output_of_clip_retrieval(shared_data: Path, tmp_path: Path):
    real = shared_data / "clip-retrieval-output"
    index = import_index(real, tmp_path / "index", SPEC)
    queries = unit(np.load(real / "embeddings" / "text_emb" / "text_emb_0.npy").astype(np.float32))
    scores, rows = faiss().read_index(str(real / "index" / "image.index")).search(queries, 5)
    found = index.search(queries, 5)
    assert found.rows.tolist() == rows.tolist() and np.array_equal(found.scores, scores)
    swapped = tmp_path / "swapped"
    shutil.copytree(real, swapped, copy_function=shutil.copyfile)
    (swapped / "index").chmod(0o755)
    shutil.copyfile(swapped / "index" / "text.index", swapped / "index" / "image.index")
    with pytest.raises(MellaError, match="row 0 "):
        import_index(swapped, tmp_path / "second", SPEC)
