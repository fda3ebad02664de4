"""The card as others read it: `datasets`, `huggingface_hub` and `mlcroissant`, all offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from card_material import TEXTS, make_records

from mella_retrieval.data.card.croissant import CONTEXT
from mella_retrieval.data.card.options import CardOptions
from mella_retrieval.data.card.writing import write_card
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    told = {"name": 'Our "data"', "licence": "cc0-1.0", "citation": "Ours", "url": "https://example.org/x"}
    options = CardOptions(**told, published="2024-01-02", version="1.0.0")  # type: ignore[arg-type]
    return write_card(make_records(tmp_path / "r"), options).readme.parent


def test_load_dataset__the_folder_and_its_splits(folder: Path, tmp_path: Path) -> None:
    import datasets

    def load(*names: str, **options: Any) -> Any:
        return datasets.load_dataset(str(folder), *names, cache_dir=str(tmp_path / "cache"), **options)

    whole = load()
    assert list(whole) == ["records"] and whole["records"].to_list() == Records.load(folder).table().to_pylist()
    for split in ("train", "test", "validation"):
        expected = Records.load(folder).table(where={"split": split}).to_pylist()
        assert load(split, split=split).to_list() == expected and expected
        assert list(load(split, split=split, streaming=True)) == expected
    assert sorted(datasets.get_dataset_config_names(str(folder))) == ["default", "test", "train", "validation"]


def test_dataset_card__the_hub_reads_its_head(folder: Path) -> None:
    from huggingface_hub import DatasetCard

    data = DatasetCard.load(folder / "README.md", ignore_metadata_errors=False).data
    assert data.language == ["en", "hu", "sr", "th"] and data.license == "cc0-1.0" and data.pretty_name == 'Our "data"'
    assert [config["config_name"] for config in data.to_dict()["configs"]] == ["default", "test", "train", "validation"]


def test_croissant__is_valid_and_reads_the_records(folder: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    assert dataset.metadata.in_language == ["en", "hu", "sr", "sr-Latn", "th"]
    assert dataset.metadata.license == ["https://creativecommons.org/publicdomain/zero/1.0/"]
    rows = list(dataset.records("records"))
    expected = Records.load(folder).table().to_pylist()
    for row, own in zip(rows, expected, strict=True):
        values = [value.decode() if isinstance(value, bytes) else value for value in row.values()]
        assert values == list(own.values())
    assert [row["records/text"].decode() for row in rows] == [text or "" for text, *_ in TEXTS]
    pictures = {row["pictures/path"].decode(): row["pictures/content"] for row in dataset.records("pictures")}
    assert pictures.keys() == {own["image"] for own in expected}
    assert [pictures[own["image"]].getpixel((0, 0)) for own in expected] == [(n, 0, 0) for n in range(6)]


def test_croissant__files_by_hash_and_size(folder: Path) -> None:
    parts = Records.load(folder).manifest["parts"]
    document = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    files = {entry["contentUrl"]: entry for entry in document["distribution"] if entry["@type"] == "cr:FileObject"}
    assert {name: (entry["sha256"], entry["contentSize"]) for name, entry in files.items()} == {
        name: (described["sha256"], f"{described['bytes']} B") for name, described in parts.items()
    }


def test_croissant__without_what_nobody_told_there_are_only_recommendations(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    write_records(tmp_path / "r", [RawRecord("a", "https://example.org/a.jpg", "dog", "en")])
    made = write_card(Records.load(tmp_path / "r"))
    dataset = mlcroissant.Dataset(jsonld=str(made.croissant))
    assert not dataset.metadata.ctx.issues.errors
    assert all("recommended" in str(warning) for warning in dataset.metadata.ctx.issues.warnings)
    (image,) = (field for field in dataset.metadata.record_sets[0].fields if field.name == "image")
    assert [str(kind) for kind in image.data_types] == ["https://schema.org/URL"]
    assert [record_set.name for record_set in dataset.metadata.record_sets] == ["records"]


def test_context__is_the_one_of_the_specification() -> None:
    rdf = pytest.importorskip("mlcroissant._src.core.rdf")
    standard = rdf.make_context()
    assert {name: CONTEXT[name] for name in standard} == standard
