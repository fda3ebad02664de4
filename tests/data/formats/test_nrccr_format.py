from __future__ import annotations

from pathlib import Path

import pytest
from reading import column, imported, write

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import DataError

CLIP = "Ptf_2VRj-V0_000122_000132"


def multi30k(folder: Path) -> Path:
    text = folder / "TextData"
    write(text / "multi30ktest_de_2016_task1.caption.txt", "1007129816.jpg#de#0 Ein Mann.", "1009434119.jpg#de#0 Ein Hund.")
    write(text / "multi30ktest_google_de2enc_2016_task1.caption.txt", "1007129816.jpg#de2enc#0 A man.")
    write(text / "multi30ktrain.caption.txt", "1000092795.jpg#enc#0 Two men.")
    return folder


def test_nrccr__test_captions_without_translations(tmp_path: Path) -> None:
    source = multi30k(tmp_path / "multi30k")
    (source / "images").mkdir()
    assert detect(source) == detect(source / "TextData") == detect(source / "TextData" / "multi30ktrain.caption.txt") == "nrccr"
    rows, report = imported(source, tmp_path / "r")
    assert rows == [
        ("1007129816", "de", "1007129816#de#0", "Ein Mann."),
        ("1009434119", "de", "1009434119#de#0", "Ein Hund."),
    ]
    assert column(tmp_path / "r", "image")[0] == "images/1007129816.jpg"
    assert report.notes == ["machine translations were left out: de2enc (1). translations=true reads them."]


def test_nrccr__translations_tell_their_source(tmp_path: Path) -> None:
    source = multi30k(tmp_path / "multi30k")
    write(source / "TextData" / "multi30ktest_back.caption.txt", "1007129816.jpg#enc2de2enc#0 One man.")
    rows, report = imported(source, tmp_path / "r", translations=True)
    found = zip((row[1:] for row in rows), column(tmp_path / "r", "source"), strict=True)
    assert sorted(found) == [
        (("de", "1007129816#de#0", "Ein Mann."), ""),
        (("de", "1009434119#de#0", "Ein Hund."), ""),
        (("en", "1007129816#de2enc#0", "A man."), "translated"),
        (("en", "1007129816#enc2de2enc#0", "One man."), "back-translated"),
    ]
    assert not report.notes


def test_nrccr__clips_of_vatex_have_no_picture(tmp_path: Path) -> None:
    source = tmp_path / "vatex"
    write(source / "TextData" / "vatextest_zh.caption.txt", f"{CLIP}#zh#0 一个 人", f"{CLIP}#zh#1 跳舞")
    write(source / "TextData" / "vatextest.caption.txt", f"{CLIP}#enc#0 A man dances.")
    (source / "images").mkdir()
    rows, _ = imported(source, tmp_path / "r")
    assert [row[:3] for row in rows] == [
        (CLIP, "en", f"{CLIP}#enc#0"),
        (CLIP, "zh", f"{CLIP}#zh#0"),
        (CLIP, "zh", f"{CLIP}#zh#1"),
    ]
    assert rows[1][3] == "一个 人" and set(column(tmp_path / "r", "image")) == {""}
    assert len(imported(source, tmp_path / "r2", captions="vatextest_zh.caption.txt")[0]) == 2


def test_nrccr__two_test_sets_are_not_mixed(tmp_path: Path) -> None:
    source = multi30k(tmp_path / "multi30k")
    write(source / "TextData" / "multi30ktest_de_2016.caption.txt", "1007129816.jpg#de#0 Jemand steht.")
    with pytest.raises(DataError, match=r"both hold captions with the tag de: .*captions=\"multi30ktest_de_2016\.caption\.txt\""):
        import_records(source, tmp_path / "r")


def test_nrccr__lines_of_another_form_and_no_file(tmp_path: Path) -> None:
    source = multi30k(tmp_path / "multi30k")
    write(
        source / "TextData" / "test_x.caption.txt",
        "a.jpg#fr#0 bon",
        "no tag at all",
        "a.jpg#fr#x y",
        "",
        "a.jpg#fr#1",
        "b#q9#0 text",
    )
    report = import_records(source, tmp_path / "r", captions="test_x.caption.txt")
    assert report.kept == 1
    assert report.rejected == {"not of the form id#tag#number, space, caption": 3, "unknown language code": 1}
    with pytest.raises(DataError, match=r"no captions \*val\*.*it has: multi30ktest_de_2016_task1\.caption\.txt"):
        import_records(source, tmp_path / "r2", captions="*val*")
    with pytest.raises(DataError, match="is no file name or pattern"):
        import_records(source, tmp_path / "r2", captions="/etc/*")
