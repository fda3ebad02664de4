from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mella_retrieval.data.card.facts import gather
from mella_retrieval.data.card.head import loadable, size_category, write_head
from mella_retrieval.data.card.licences import hub_licence, licence_address
from mella_retrieval.data.card.options import CardOptions
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import build_config


def head(folder: Path, items: list[RawRecord], options: CardOptions | None = None, **importing: object) -> dict[str, object]:
    write_records(folder, items, options=ImportOptions(**importing))  # type: ignore[arg-type]
    text = write_head(gather(Records.load(folder)), options or CardOptions())
    assert text.startswith("---\n") and text.endswith("\n---\n")
    found: dict[str, object] = yaml.safe_load(text.strip("-\n"))
    return found


def test_head__languages_as_the_hub_wants_them(tmp_path: Path) -> None:
    codes = ["no", "sr", "sr-Latn", "zh", "fil", "quz"]
    found = head(tmp_path / "r", [RawRecord(f"{n}", "a.jpg", "text", code) for n, code in enumerate(codes)])
    assert found["language"] == ["fil", "no", "quz", "sr", "zh"]  # `no` stays a text in YAML 1.1, too
    assert found["language_bcp47"] == ["sr-Latn"] and found["multilinguality"] == ["multilingual"]
    assert found["pretty_name"] == "r" and found["license"] == "unknown"
    assert found["size_categories"] == ["n<1K"] and found["task_categories"] == ["image-to-text"]


def test_head__a_corpus_without_pictures_has_no_task(tmp_path: Path) -> None:
    found = head(tmp_path / "r", [RawRecord("", "", "text", "en")], text_only=True)
    assert "task_categories" not in found and found["multilinguality"] == ["monolingual"]


def test_head__splits_that_cannot_be_loaded_have_no_configuration(tmp_path: Path) -> None:
    splits = ["train", "my split", "all", "default", "", None, "a/b"]
    items = [RawRecord(f"{n}", "a.jpg", "text", "en", extras={"split": split}) for n, split in enumerate(splits)]
    configs = head(tmp_path / "r", items)["configs"]
    assert [config["config_name"] for config in configs] == ["default", "train"]  # type: ignore[attr-defined]


def test_head__splits_that_are_numbers_are_not_filtered_as_texts(tmp_path: Path) -> None:
    items = [RawRecord(f"{n}", "a.jpg", "text", "en", extras={"split": n}) for n in range(3)]
    configs = head(tmp_path / "r", items)["configs"]
    assert [config["config_name"] for config in configs] == ["default"]  # type: ignore[attr-defined]


def test_head__one_split_alone_is_the_default(tmp_path: Path) -> None:
    configs = head(tmp_path / "r", [RawRecord("a", "a.jpg", "text", "en", extras={"split": "test"})])["configs"]
    assert configs == [{"config_name": "default", "data_files": [{"split": "test", "path": "part-*.parquet"}]}]


@pytest.mark.parametrize(
    ("records", "category"),
    [
        (1, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (6_800_000, "1M<n<10M"),
        (10**9, "1B<n<10B"),
        (10**12, "n>1T"),
        (10**15, "n>1T"),
    ],
)
def test_size_category(records: int, category: str) -> None:
    assert size_category(records) == category


def test_loadable() -> None:
    assert loadable("train") and loadable("test_2016") and not loadable("") and not loadable("train\n")


def test_licences__by_name_and_by_address() -> None:
    address = "https://creativecommons.org/licenses/by-sa/4.0/"
    assert (
        hub_licence("CC-BY-SA-4.0") == {"license": "cc-by-sa-4.0"} == hub_licence("http://creativecommons.org/licenses/by-sa/4.0")
    )
    assert licence_address("cc-by-sa-4.0") == address == licence_address(address + "deed.en")
    assert hub_licence("") == {"license": "unknown"}
    assert hub_licence("our own terms") == {"license": "other", "license_name": "our own terms"}
    own = "https://example.org/terms"
    assert hub_licence(own) == {"license": "other", "license_name": "see license_link", "license_link": own}
    assert licence_address(own) == own


@pytest.mark.parametrize(
    "wrong", [{"url": "example.org"}, {"url": "https://e.org/a b"}, {"version": "one"}, {"published": "soon"}, {"licens": "mit"}]
)
def test_options__wrong_values_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        build_config(CardOptions, wrong, "the options of the card")
