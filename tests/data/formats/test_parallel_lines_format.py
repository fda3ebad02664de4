from __future__ import annotations

from pathlib import Path

import pytest
from reading import column, imported, read, write

from mella_retrieval import languages
from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import RawRecord
from mella_retrieval.errors import DataError


def flickr30k_200(folder: Path) -> Path:
    write(folder / "filenames.txt", "1007129816.jpg", "1009434119.jpg")
    write(folder / "eng_captions.txt", "A man.", "A dog.")
    write(folder / "hun_Latn.txt", "Egy férfi.", "Egy kutya.")
    write(folder / "zho_Hant.txt", "男人", "狗")
    return folder


def test_parallel_lines__flickr30k_200_with_its_english_original(tmp_path: Path) -> None:
    source = flickr30k_200(tmp_path / "flickr30k-200")
    write(source / "notes.txt", "nothing")
    assert detect(source) == "parallel-lines"
    rows, report = imported(source, tmp_path / "r", source="translated")
    assert rows == [
        ("1007129816", "en", "1007129816#en#0", "A man."),
        ("1009434119", "en", "1009434119#en#0", "A dog."),
        ("1007129816", "hu", "1007129816#hu#0", "Egy férfi."),
        ("1009434119", "hu", "1009434119#hu#0", "Egy kutya."),
        ("1007129816", "zh-Hant", "1007129816#zh-Hant#0", "男人"),
        ("1009434119", "zh-Hant", "1009434119#zh-Hant#0", "狗"),
    ]
    assert column(tmp_path / "r", "source") == ["", "", *["translated"] * 4]
    assert report.notes == ["text files named by no language were not read: notes.txt."] and not report.warnings


def test_parallel_lines__all_flores_codes_stay_apart(tmp_path: Path) -> None:
    codes = [language.flores for language in languages.known() if language.flores]
    write(tmp_path / "test_image_names.txt", "COCO_val2014_000000000042.jpg")
    for code in codes:
        write(tmp_path / f"{code}.txt", code)
    found = [item for item in read("parallel-lines", tmp_path) if isinstance(item, RawRecord)]
    assert len(codes) == 204 == len({item.lang for item in found}) and sorted(str(item.text) for item in found) == sorted(codes)


def test_parallel_lines__the_list_may_lie_elsewhere(tmp_path: Path) -> None:
    source = tmp_path / "xtd200"
    write(source / "hun_Latn.txt", "kutya")
    write(tmp_path / "XTD10" / "test_image_names.txt", "COCO_val2014_000000000042.jpg")
    rows, _ = imported(source, tmp_path / "r", format="parallel-lines", names="../XTD10/test_image_names.txt")
    assert [row[0] for row in rows] == ["COCO_val2014_000000000042"]
    with pytest.raises(DataError, match="holds 0 lists of pictures"):
        import_records(source, tmp_path / "r2", format="parallel-lines")
    with pytest.raises(DataError, match="there is no file"):
        import_records(source, tmp_path / "r2", format="parallel-lines", names="gone.txt")


def test_parallel_lines__out_of_step_and_twice_the_same_language(tmp_path: Path) -> None:
    source = flickr30k_200(tmp_path / "f")
    write(source / "hun_Latn.txt", "csak egy")
    with pytest.raises(DataError, match=r"hun_Latn\.txt has 1 lines, but filenames\.txt names 2"):
        import_records(source, tmp_path / "r")
    write(source / "hu.txt", "egy", "kettő")
    with pytest.raises(DataError, match=r"hu\.txt and hun_Latn\.txt are both in hu"):
        import_records(source, tmp_path / "r")
    write(source / "filenames.txt", "a.jpg", "", "b.jpg")
    (source / "hu.txt").unlink()
    with pytest.raises(DataError, match=r"filenames\.txt, line 2: no name"):
        import_records(source, tmp_path / "r")
