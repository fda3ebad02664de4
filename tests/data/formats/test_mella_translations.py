from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mella_retrieval.data.formats import json_list
from mella_retrieval.data.formats.mella_translations import Translations
from mella_retrieval.data.records import Rejected
from mella_retrieval.errors import DataError, MellaError


def found(path: Path, *asked: tuple[str, str]) -> tuple[list[list[str]], list[Rejected], int]:
    """The captions for each (img_id, text_id), what was rejected, and the number of captions not asked for."""
    with Translations(path) as translations:
        rejected = list(translations.scan())
        captions = [[caption for caption, _ in translations.find(*names)] for names in asked]
        return captions, rejected, translations.unused


def test_translations__are_found_whatever_their_form_and_order(tmp_path: Path) -> None:
    path = tmp_path / "trans_hu.json"
    odd = '{"caption": "fordítva", "extra": {"a": [1, "}"]}, "img_id": "odd"}'
    escaped = '{"img_id": "escaped", "caption": "idézet: \\"\\u0151\\\\\\" vége"}'
    broken = '{"img_id": "broken", "caption": "caf\udce9"}'
    plain = '{"img_id":"plain","caption":"ő, \u2028 [,] }","text_id":"t"}'
    other = '{ "img_id" : "ékezet" , "caption" : "így" }'
    path.write_bytes(f"\ufeff [ {odd},\n{escaped} ,{broken},{plain}\r\n,{other}]\n".encode("utf-8", "surrogateescape"))
    asked = [("odd", ""), ("escaped", "x"), ("broken", ""), ("plain", "t"), ("plain", ""), ("ékezet", ""), ("none", "")]
    captions, rejected, unused = found(path, *asked)
    assert captions == [["fordítva"], ['idézet: "ő\\" vége'], ["caf\udce9"], ["ő, \u2028 [,] }"], [], ["így"], []]
    assert not rejected and unused == 0


def test_translations__several_of_one_picture_keep_their_order_or_are_told_apart_by_text_id(tmp_path: Path) -> None:
    entries = [{"img_id": f"p{number % 3}", "caption": f"c{number}"} for number in range(9)]
    entries += [{"img_id": "p0", "caption": "named", "text_id": "t"}]
    path = tmp_path / "trans_x.json"
    path.write_text(json.dumps(entries))
    assert found(path, ("p0", ""), ("p0", "t"), ("p1", "t"))[0] == [["c0", "c3", "c6"], ["named"], ["c1", "c4", "c7"]]


def test_translations__entries_that_are_none_are_rejected_alone(tmp_path: Path) -> None:
    path = tmp_path / "trans_x.json"
    good = {"img_id": "a", "caption": "A"}
    bad: list[Any] = [None, 5, "text", [], {"img_id": "a"}, {"img_id": 5, "caption": "x"}, {"img_id": "b", "caption": None}]
    path.write_text(json.dumps([bad[0], good, *bad[1:]]))
    captions, rejected, unused = found(path, ("a", ""))
    assert captions == [["A"]] and unused == 0
    assert [row.where for row in rejected] == [f"trans_x.json, entry {number}" for number in (1, 3, 4, 5, 6, 7, 8)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "begin with a bracket"),
        ('{"img_id": "a"}', "begin with a bracket"),
        ('[{"img_id": "a", "caption": "A"}', "neither a comma nor the closing bracket"),
        ('[{"img_id": "a", "caption": "A"} {}]', "at byte 33: neither a comma"),
        ('[{"img_id": "a", "capt', "not valid JSON at byte 1"),
        ("[{},]", "not valid JSON at byte 4"),
        ("[] x", "something follows the list"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_translations__a_damaged_file_is_an_error_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "trans_x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        found(path)


def test_translations__empty_lists_and_entries_larger_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trans_x.json"
    path.write_text(" [ ] ")
    assert found(path, ("a", "")) == ([[]], [], 0)
    entries = [{"img_id": f"p{number}", "caption": "ő" * number} for number in range(0, 400, 7)]
    for block in (1, 7, 64, 1000):  # entries lie across the ends of blocks in every way
        monkeypatch.setattr(json_list, "_BLOCK", block)
        for text in (json.dumps(entries), json.dumps(entries, ensure_ascii=False), json.dumps(entries, indent=2)):
            path.write_text(text, encoding="utf-8")
            captions, rejected, unused = found(path, *((str(entry["img_id"]), "") for entry in entries))
            assert captions == [[entry["caption"]] for entry in entries] and not rejected and unused == 0


_texts = st.text(max_size=12)
_entries = st.lists(st.fixed_dictionaries({"img_id": st.text(min_size=1, max_size=4), "caption": _texts}), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_entries, st.booleans(), st.integers(1, 40))
def test_translations__every_list_is_read_as_json_reads_it(tmp_path: Path, entries: Any, ascii_only: bool, block: int) -> None:
    path = tmp_path / "trans_x.json"
    path.write_bytes(json.dumps(entries, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    names = list(dict.fromkeys(entry["img_id"] for entry in entries))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_BLOCK", block)
        captions, rejected, unused = found(path, *((name, "") for name in names))
    assert not rejected and unused == 0
    assert captions == [[entry["caption"] for entry in entries if entry["img_id"] == name] for name in names]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.integers(1, 20))
def test_translations__any_bytes(tmp_path: Path, content: bytes, block: int) -> None:
    path = tmp_path / "trans_x.json"
    path.write_bytes(b'[{"img_id": "a", "caption": "A"},' + content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list, "_BLOCK", block)
        try:
            captions, _, _ = found(path, ("a", ""))
        except MellaError:
            return
    assert captions[0][0] == "A"
