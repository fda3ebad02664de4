"""Imports of the real material beside the repository, with the counts that its README states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mella_retrieval import languages
from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.formats.clip_retrieval import ClipRetrievalFolder
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.data.stats import describe_records

pytestmark = pytest.mark.real


def test_emoji__names_in_98_languages_with_their_pictures(shared: Path, tmp_path: Path) -> None:
    report = import_records(shared / "emoji" / "names.parquet", tmp_path / "r", columns={"text": "name"}, images="images.parquet")
    assert (report.read, report.kept, report.rejected) == (147_294, 147_294, {})
    records = Records.load(tmp_path / "r")
    assert len(records.languages) == 98 and set(report.counts["languages"].values()) == {1503}
    assert records.images().num_rows == len(list((tmp_path / "r" / "images").iterdir())) == 1503
    assert records.images(where={"split": "test"}).num_rows == 600
    assert records.images(where={"split": "test", "tower_saw_name": False}).num_rows == 400


def test_xm3600__first_captions_in_36_languages(shared: Path, tmp_path: Path) -> None:
    report = import_records(shared / "xm3600" / "captions_first.jsonl.gz", tmp_path / "r")
    assert (report.read, report.kept) == (129_600, 129_600)
    assert report.warnings == {"control characters kept": 2}  # two Vietnamese captions hold a backspace
    assert set(report.counts["languages"]) == set(languages.XM3600) and set(report.counts["languages"].values()) == {3600}
    assert "the first captions only" in report.notes[0]


def test_flickr8k_photos__folder_with_captions(shared: Path, tmp_path: Path) -> None:
    report = import_records(shared / "flickr8k-photos", tmp_path / "r", duplicates="keep", check_images=True)
    assert (report.read, report.kept, report.counts["images"]) == (12_889, 12_889, 878)
    assert list(report.counts["languages"]) == ["ar", "cs", "de", "en", "fr", "zh"]
    assert import_records(shared / "flickr8k-photos", tmp_path / "r2").rejected == {"duplicate record": 110}
    records = Records.load(tmp_path / "r")
    images = {split: records.images(where={"split": split}).num_rows for split in ("train", "validation", "test")}
    assert images == {"train": 648, "validation": 80, "test": 150}
    stats = describe_records(records)
    assert stats["by_language"]["zh"]["scripts"]["Hani"] > 0.99
    report_of_check = check_folder(tmp_path / "r")
    assert report_of_check.ok and report_of_check.images == 878


def test_clip_retrieval__output_folder(shared: Path, tmp_path: Path) -> None:
    for part in ("", "embeddings", "index"):
        report = import_records(shared / "clip-retrieval-output" / part, tmp_path / f"r{part}", lang="en")
        assert (report.read, report.kept, report.counts["images"]) == (9, 9, 9)
    folder = ClipRetrievalFolder.open(shared / "clip-retrieval-output")
    vectors = np.concatenate(list(folder.read_vectors("image")))
    assert vectors.shape == (9, 512) and folder.dims == {"image": 512, "text": 512}
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=2e-3)
    index = ClipRetrievalFolder.open(shared / "clip-retrieval-output" / "index")
    assert index.dims == {} and index.image_index is not None and index.text_index is not None


def test_multi30k__one_column_per_language(shared: Path, tmp_path: Path) -> None:
    options = {lang: lang for lang in ("en", "de", "fr", "cs")}
    report = import_records(shared / "multi30k" / "parallel.parquet", tmp_path / "r", text_columns=options)
    assert report.read == 4 * 29_290 == report.kept + sum(report.rejected.values())
