"""`mella index import|export`, from a clip-retrieval folder to answers and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from program import TOWER, Mella

faiss = pytest.importorskip("faiss")


@pytest.fixture
def folder(tmp_path: Path, old_vectors: Path) -> Path:
    """The folder with an index, as `clip-retrieval index` adds it."""
    shutil.copytree(old_vectors, tmp_path / "old")
    vectors = np.load(tmp_path / "old" / "img_emb" / "img_emb_0.npy").astype(np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "old" / "image.index"))
    return tmp_path / "old"


def test_a_foreign_index_answers_through_an_adapter_and_goes_back(mella: Mella, trained: Path, folder: Path):
    ran = mella("train", "procrustes", trained / "still", "--pairs", trained / "texts", "--image-vectors", trained / "images")
    assert ran.code == 0, ran.err
    ran = mella("index", "import", folder, trained / "index", "--adapter", trained / "still")
    assert ran.code == 0, ran.err
    assert "60 items" in ran.out and TOWER in ran.out
    ran = mella("search", trained / "index", "piros kutya", "--json")
    assert ran.code == 0 and ran.json, ran.err
    ran = mella("index", "export", trained / "index", trained / "out", "--faiss")
    assert ran.code == 0 and "60 items" in ran.out, ran.err
    assert faiss.read_index(str(trained / "out" / "image.index")).ntotal == 60
    again = mella("index", "import", trained / "out", trained / "again", "--tower", TOWER)
    assert again.code == 0 and "answers pictures only" in again.out, again.err


def test_what_is_refused(mella: Mella, tmp_path: Path, folder: Path):
    ran = mella("index", "import", folder, tmp_path / "index")
    assert ran.code == 1 and "--tower" in ran.err
    ran = mella("index", "import", folder / "image.index", tmp_path / "index", "--tower", TOWER)
    assert ran.code == 1 and "--rows" in ran.err
    (folder / "image.index").write_bytes((folder / "image.index").read_bytes()[:100])
    ran = mella("index", "import", folder, tmp_path / "index", "--tower", TOWER)
    assert ran.code == 1 and "cut short" in ran.err
    assert not (tmp_path / "index").exists()


def test_a_clip_retrieval_folder_is_added_and_nothing_is_left_beside_it(mella: Mella, tmp_path: Path, folder: Path):
    assert mella("index", "build", folder, tmp_path / "index", "--tower", TOWER).code == 0
    assert mella("index", "delete", tmp_path / "index", "--where", "id != None").code == 0
    (tmp_path / "index.adding.partial").mkdir()  # of an interrupted `add` of pictures, which is to continue
    (tmp_path / "index.adding").mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    ran = mella("index", "add", tmp_path / "index", folder)
    assert ran.code == 0 and "60 added" in ran.out, ran.err
    ran = mella("index", "add", tmp_path / "index", folder)  # they have no content hash, so nobody knows that they are the same
    assert ran.code == 1 and "one of 60 such: delete or replace them" in ran.err
    assert {path.name for path in tmp_path.iterdir()} - before <= {".index.importing.lock", ".index.importing.partial.lock"}
