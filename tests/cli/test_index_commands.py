"""`mella index add|delete|compact|merge|verify|info` and `mella search --where`, as a user calls them."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fakes import write_pictures
from PIL import Image
from program import TOWER, Mella

from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.encoders.towers import TowerInfo

IMAGE = "module:fakes:Colours"
MODULE = ("--image-tower", IMAGE, "--allow-module", "--device", "cpu")


def vector_set(folder: Path, ids: list[str], spec: str = TOWER, seed: int = 0, **columns: list[object]) -> Path:
    vectors = np.random.default_rng(seed).normal(size=(len(ids), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = pa.table({"id": ids, **columns})
    import_vectors(folder, TowerInfo(spec=spec, modality="image", dim=16), [(vectors, table)], folder.name)
    return folder


@pytest.fixture
def index(tmp_path: Path, mella: Mella) -> Path:
    """Ten items of two languages."""
    ids = [f"a{row}" for row in range(10)]
    vector_set(tmp_path / "set", ids, lang=["hu", "en"] * 5, year=list(range(2000, 2010)))
    ran = mella("index", "build", tmp_path / "set", tmp_path / "index")
    assert ran.code == 0, ran.err
    return tmp_path / "index"


def items(mella: Mella, index: Path) -> int:
    return int(mella("index", "info", index, "--json").json["items"])


def test_an_index_from_its_first_to_its_last_item(mella: Mella, index: Path, tmp_path: Path):
    more = vector_set(tmp_path / "more", ["b0", "b1", "b2"], seed=1, lang=["cs"] * 3)
    ran = mella("index", "add", index, more)
    assert ran.code == 0 and ran.out.strip() == f"{index}: 3 added, 0 replaced, 0 were there already; 13 items now"
    ran = mella("index", "delete", index, "a0", "b1")
    assert ran.code == 0 and ran.out.strip() == f"{index}: 2 deleted; 11 items now"
    ran = mella("index", "info", index)
    assert ["segments", "2"] in [line.split() for line in ran.out.splitlines()]
    assert ["deleted", "2"] in [line.split() for line in ran.out.splitlines()]
    ran = mella("index", "compact", index)
    assert ran.code == 0 and ran.out.strip() == f"{index}: 11 items in 1 of formerly 2 segments, 2 deleted ones dropped"
    ran = mella("index", "compact", index)
    assert ran.code == 0 and "nothing to gain" in ran.out
    ran = mella("index", "verify", index)
    assert ran.code == 0 and ran.out.strip() == f"{index}: 11 items; every file has the content that the manifest lists"
    other = vector_set(tmp_path / "third", ["c0", "c1"], seed=2)
    assert mella("index", "build", other, tmp_path / "other").code == 0
    ran = mella("index", "merge", index, tmp_path / "other")
    assert ran.code == 0 and ran.out.strip() == f"{index}: 2 items taken over; 13 items in 2 segments now"
    ran = mella("index", "delete", index, "--where", "lang == None or year >= 0 or lang == 'cs'")
    assert ran.code == 0 and ran.out.strip() == f"{index}: 13 deleted; 0 items now"
    assert mella("index", "compact", index).code == 0 and items(mella, index) == 0


def test_what_is_deleted_can_come_from_a_file_or_a_pipe_or_a_condition(
    mella: Mella, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "gone.txt").write_text("﻿a1\r\na2\n\n", encoding="utf-8")  # as Windows writes it
    assert mella("index", "delete", index, "--from", tmp_path / "gone.txt").code == 0 and items(mella, index) == 8
    odd = "x\u2028a5\x85a6\x0b"
    assert mella("index", "add", index, vector_set(tmp_path / "odd", [odd], seed=3)).code == 0
    (tmp_path / "odd.txt").write_text(odd, encoding="utf-8")  # other separators of lines belong to the id
    assert mella("index", "delete", index, "--from", tmp_path / "odd.txt").code == 0 and items(mella, index) == 8
    ran = mella("index", "delete", index, "a5", "--where", "year > 0")
    assert ran.code == 2 and items(mella, index) == 8
    monkeypatch.setattr("sys.stdin", io.StringIO("a3\na4\n"))
    assert mella("index", "delete", index, "--from", "-").code == 0 and items(mella, index) == 6
    ran = mella("index", "delete", index, "--where", 'lang == "hu" and year > 2005')
    assert ran.code == 0 and "2 deleted; 4 items now" in ran.out
    ran = mella("index", "delete", index, "--where", 'lang == "fr"')
    assert ran.code == 0 and "0 deleted; 4 items now" in ran.out
    ran = mella("index", "delete", index, "a1", "a9")
    assert ran.code == 1 and "1 ids are not in" in ran.err and "'a1'" in ran.err and items(mella, index) == 4
    ran = mella("index", "delete", index, "a1", "a9", "--missing-ok")
    assert ran.code == 0 and "1 deleted; 3 items now" in ran.out
    ran = mella("index", "delete", index)
    assert ran.code == 2 and "--where" in ran.err


def test_the_folder_one_stands_in_can_be_named(mella: Mella, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(vector_set(tmp_path / "more", ["b0"], seed=1))
    assert mella("index", "add", index, ".").code == 0
    monkeypatch.chdir(index)
    assert mella("index", "verify", ".").code == 0 and items(mella, Path()) == 11
    assert mella("index", "compact", ".").code == 0 and sorted(path.name for path in tmp_path.glob("*.adding")) == []


def test_changed_vectors_need_replace(mella: Mella, index: Path, tmp_path: Path):
    changed = vector_set(tmp_path / "changed", ["a0", "z"], seed=3)
    ran = mella("index", "add", index, changed)
    assert ran.code == 1 and "'a0'" in ran.err and "delete or replace" in ran.err and items(mella, index) == 10
    ran = mella("index", "add", index, changed, "--replace", "--json")
    assert ran.code == 0 and ran.json["items"] == 11 and (ran.json["added"], ran.json["replaced"]) == (1, 1)


def test_pictures_are_added_by_content_and_found_with_a_condition(mella: Mella, tmp_path: Path):
    names = write_pictures(tmp_path / "photos", 4)

    def records(folder: str, chosen: list[str], album: str) -> Path:
        found = [RawRecord(name[:4], name, name, "en", extras={"album": album}) for name in chosen]
        write_records(tmp_path / folder, found, image_root=tmp_path / "photos")
        return tmp_path / folder

    first, second = records("first", names[:2], "old"), records("second", names, "new")
    ran = mella("embed", "images", first, tmp_path / "vectors", "-t", IMAGE, "--allow-module", "--device", "cpu")
    assert ran.code == 0, ran.err
    index = tmp_path / "index"
    assert mella("index", "build", tmp_path / "vectors", index).code == 0
    ran = mella("index", "add", index, second, *MODULE)
    assert ran.code == 0 and "2 added, 0 replaced, 2 were there already; 4 items now" in ran.out, ran.err
    shutil.copy(tmp_path / "photos" / names[0], tmp_path / "photos" / "copy.jpg")
    Image.new("RGB", (8, 8), (250, 10, 10)).save(tmp_path / "photos" / names[1])
    third = records("third", ["copy.jpg", names[1]], "new")
    ran = mella("index", "add", index, third, *MODULE)
    assert ran.code == 1 and "'p001' has changed" in ran.err and "--replace" in ran.err
    ran = mella("index", "add", index, third, "--replace", "--json", *MODULE)
    assert ran.code == 0 and ran.json == {
        "items": 5, "added": 1, "replaced": 1, "unchanged": 0, "copied": 1, "skipped": 0
    }, ran.err  # fmt: skip
    ran = mella("search", index, "--image", tmp_path / "photos" / names[0], "--where", "album == 'new'", "--json", *MODULE)
    assert ran.code == 0 and sorted(hit["id"] for hit in ran.json) == ["copy", "p001", "p002", "p003"], ran.err
    assert ran.json[0]["id"] == "copy" and {hit["record"]["album"] for hit in ran.json} == {"new"}
    ran = mella("search", index, "--image", tmp_path / "photos" / names[0], "--where", "albun == 'new'", *MODULE)
    assert ran.code == 1 and "asks for the column 'albun', but there is none" in ran.err and "album" in ran.err


def test_errors_are_one_sentence_and_change_nothing(mella: Mella, index: Path, tmp_path: Path):
    more = vector_set(tmp_path / "more", ["b0"], seed=1)
    other_tower = vector_set(tmp_path / "tower", ["t0"], "open_clip:another/clip", seed=1)
    assert mella("index", "build", more, tmp_path / "hnsw", "factory=HNSW8").code == 0
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfa")
    for arguments, told in (
        (("add", index, tmp_path / "absent"), "absent"),
        (("add", tmp_path / "absent", more), "absent"),
        (("add", index, other_tower), "open_clip:another/clip"),
        (("add", index, more, "--memory", "0"), "do not suffice"),
        (("add", index, more, "--memory", "much"), "'much' is not a size"),
        (("add", index, more, "--index-device", "tpu"), "'tpu'"),
        (("delete", index, "nobody"), "'nobody'"),
        (("delete", index, "--where", "lang ="), "is not valid"),
        (("delete", index, "--where", "colour == 1"), "'colour'"),
        (("delete", index, "--from", tmp_path / "absent.txt"), "absent.txt cannot be read as text"),
        (("delete", index, "--from", tmp_path / "bytes.txt"), "bytes.txt cannot be read as text"),
        (("compact", index, "--memory", "10KB"), "do not suffice"),
        (("compact", tmp_path / "set"), "kind 'index' is needed"),
        (("merge", index, tmp_path / "hnsw"), "HNSW8"),
        (("merge", index, index), "cannot be merged with itself"),
        (("verify", tmp_path / "absent"), "absent"),
        (("info", tmp_path / "set"), "kind 'index' is needed"),
    ):
        ran = mella("index", *arguments)
        lines = ran.err.strip().splitlines()
        assert ran.code == 1 and len(lines) == 1 and lines[0].startswith("error: ") and told in lines[0], (arguments, ran)
        assert not ran.out and "Traceback" not in ran.err, arguments
    assert items(mella, index) == 10 and mella("index", "verify", index).code == 0


def test_a_changed_file_is_found_by_verify(mella: Mella, index: Path):
    path = index / "segment-000001" / "vectors.faiss"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for command in (("verify", index), ("info", index), ("compact", index)):
        ran = mella("index", *command)
        assert ran.code == 1 and "vectors.faiss does not have the content" in ran.err


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("add", ("source", "--replace", "--image-tower", "--memory", "--index-device", "--json", "my-index photos")),
        ("delete", ("--from", "--where", "--missing-ok", "until `mella index compact`")),
        ("compact", ("--memory", "readers that are open keep what they see")),
        ("merge", ("others", "nothing is embedded or trained")),
        ("verify", ("compare it with its stored hash",)),
        ("info", ("--curve", "--json")),
        ("build", ("--recipe", "--adapter", "--queries", "--memory", "--index-device")),
    ],
)
def test_help_says_what_there_is(mella: Mella, command: str, told: tuple[str, ...]):
    ran = mella("index", command, "--help")
    text = " ".join(ran.out.replace("│", " ").split())
    assert ran.code == 0 and all(part in text for part in told), text
    assert command in mella("index", "--help").out
