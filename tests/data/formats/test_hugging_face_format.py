from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from hub_stand_in import Hub, Repository, running
from huggingface_hub import constants
from PIL import Image
from reading import read

from mella_retrieval.data.formats import READERS, detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.errors import ConfigError, DataError, HubError


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No progress bars, and a cache of the library's own for every test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def pictures(red_png: bytes, blue_png: bytes) -> datasets.Dataset:
    features = datasets.Features(
        {
            "img_id": datasets.Value("string"),
            "image": datasets.Image(),
            "caption": datasets.List(datasets.Value("string")),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )
    columns = {
        "img_id": ["a", "b", "c"],
        "image": [{"bytes": red_png, "path": None}, {"bytes": blue_png, "path": "b.png"}, {"bytes": red_png, "path": None}],
        "caption": [["egy", "kettő"], ["három"], ["négy"]],
        "label": [0, 1, -1],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def rows(items: list[Any]) -> list[tuple[str, str | None]]:
    return [(item.image_id, item.text) for item in items if isinstance(item, RawRecord)]


ALL = [("a", "egy"), ("a", "kettő"), ("b", "három"), ("c", "négy")]


def test_datasets__a_folder_of_save_to_disk(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    pictures(red_png, blue_png).save_to_disk(tmp_path / "saved")
    assert detect(tmp_path / "saved") == "hugging-face"
    report = import_records(tmp_path / "saved", tmp_path / "r", lang="hu", source="know")
    records = Records.load(tmp_path / "r")
    found = records.table().to_pylist()
    assert [(row["image_id"], row["text"]) for row in found] == ALL and report.kept == 4
    # The files themselves, not what a decoder made of them; classes by name.
    assert [records.image_path(row["image"]).read_bytes() for row in found] == [red_png, red_png, blue_png, red_png]
    assert [row["label"] for row in found] == ["cat", "cat", "dog", None]


def test_datasets__splits_of_a_saved_folder(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    data = pictures(red_png, blue_png)
    datasets.DatasetDict({"train": data.select([0]), "test": data.select([1, 2])}).save_to_disk(tmp_path / "saved")
    assert detect(tmp_path / "saved") == "hugging-face"
    items = read("hugging-face", tmp_path / "saved", lang="hu")
    assert rows(items) == ALL and [item.extras["split"] for item in items] == ["train", "train", "test", "test"]
    assert items[2].where == "split test, row 1, text 1"
    assert rows(read("hugging-face", tmp_path / "saved", split="test")) == ALL[2:]
    with pytest.raises(DataError, match="has no split 'dev'; it has train, test"):
        read("hugging-face", tmp_path / "saved", split="dev")
    with pytest.raises(DataError, match=r"no column 'words' for text.*The columns are: img_id, image, caption, label, split"):
        read("hugging-face", tmp_path / "saved", columns={"text": "words"})


def test_datasets__a_damaged_folder(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    pictures(red_png, blue_png).save_to_disk(tmp_path / "saved")
    arrow = next((tmp_path / "saved").glob("*.arrow"))
    content = arrow.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"x" * 100):
        arrow.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read"):
            import_records(tmp_path / "saved", tmp_path / "r", lang="hu")
    arrow.write_bytes(content)
    (tmp_path / "saved" / "state.json").write_text("{broken")
    with pytest.raises(DataError, match="cannot be read"):
        import_records(tmp_path / "saved", tmp_path / "r", lang="hu")


def folder_of_parquet(tmp_path: Path, red_png: bytes, blue_png: bytes) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    data = pictures(red_png, blue_png)
    data.select([0]).to_parquet(folder / "train-00000.parquet")
    data.select([1, 2]).to_parquet(folder / "test-00000.parquet")
    return folder


@pytest.mark.parametrize("streaming", [True, False])
def test_datasets__what_load_dataset_finds_in_a_folder(tmp_path: Path, red_png: bytes, blue_png: bytes, streaming: bool) -> None:
    source = f"hf:{folder_of_parquet(tmp_path, red_png, blue_png)}"
    assert detect(Path(source)) == "hugging-face"
    report = import_records(source, tmp_path / "r", lang="hu", streaming=streaming)
    records = Records.load(tmp_path / "r")
    found = records.table().to_pylist()
    assert [(row["image_id"], row["text"]) for row in found] == ALL and report.kept == 4
    assert [row["split"] for row in found] == ["train", "train", "test", "test"] and found[2]["label"] == "dog"
    assert [records.image_path(row["image"]).read_bytes() for row in found] == [red_png, red_png, blue_png, red_png]
    assert rows(read("hugging-face", Path(source), split="test", streaming=streaming)) == ALL[2:]
    assert any((tmp_path / "cache").rglob("*.arrow")) != streaming  # streaming stores no rows
    with pytest.raises(DataError, match="would replace its own source"):
        import_records(source, source.removeprefix("hf:"), overwrite=True)
    with pytest.raises(DataError, match=r"cannot be read by the library datasets: .*dev"):
        read("hugging-face", Path(source), split="dev", streaming=streaming)


def test_datasets__pictures_named_by_a_path_and_json_without_features(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (4, 3), "red").save(folder / "a.png")
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "piros"}\n')
    report = import_records(f"hf:{folder}", tmp_path / "r", lang="hu")
    (row,) = Records.load(tmp_path / "r").table().to_pylist()
    assert row["text"] == "piros" and Path(row["image"]).read_bytes() == (folder / "a.png").read_bytes() and report.kept == 1
    (tmp_path / "lines").mkdir()
    lines = [json.dumps({"img_id": "a", "image": "https://e.org/a.jpg", "caption": text}) for text in ("egy", "kettő")]
    (tmp_path / "lines" / "train.jsonl").write_text("\n".join(lines))
    items = read("hugging-face", Path(f"hf:{tmp_path / 'lines'}"), lang="hu")
    assert [item.image for item in items] == ["https://e.org/a.jpg"] * 2 and rows(items) == [("a", "egy"), ("a", "kettő")]


def test_datasets__pictures_inside_an_archive_are_read(tmp_path: Path, red_png: bytes) -> None:
    import zipfile

    (tmp_path / "zipped").mkdir()
    with zipfile.ZipFile(tmp_path / "zipped" / "train.zip", "w") as packed:
        packed.writestr("a.png", red_png)
        packed.writestr("metadata.jsonl", '{"file_name": "a.png", "text": "piros"}\n')
    import_records(f"hf:{tmp_path / 'zipped'}", tmp_path / "r", lang="hu")
    records = Records.load(tmp_path / "r")
    (row,) = records.table().to_pylist()
    assert records.image_path(row["image"]).read_bytes() == red_png


ASK = """
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import HubError
print(import_records("hf:owner/name/pairs", "records", revision="v1", lang="hu", split="train").kept)
try:
    import_records("hf:owner/none", "nothing")
except HubError as error:
    print(error)
"""


def test_datasets__streamed_from_a_hub(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    parts = folder_of_parquet(tmp_path, red_png, blue_png)
    names = {"train": "pairs/train-00000.parquet", "test": "pairs/test-00000.parquet"}
    splits = "".join(f"    - {{split: {split}, path: {name}}}\n" for split, name in names.items())
    card = f"---\nconfigs:\n- config_name: pairs\n  data_files:\n{splits}---\n"
    files = {name: (parts / f"{split}-00000.parquet").read_bytes() for split, name in names.items()}
    with running(Hub()) as hub:
        repository = hub.repositories["datasets/owner/name"] = Repository()
        repository.branches["v1"] = repository.commit("main", {"README.md": card.encode(), **files})
        repository.commit("main", {names["train"]: b"a later version"})
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
        }  # read when datasets is imported
        ran = subprocess.run(
            [sys.executable, "-c", ASK], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
    assert ran.stdout.startswith("2\nhf:owner/none cannot be loaded: "), ran.stderr
    assert "Check the name, or log in" in ran.stdout
    records = Records.load(tmp_path / "records")
    assert records.table(["image_id", "text"]).to_pylist() == [{"image_id": "a", "text": text} for text in ("egy", "kettő")]
    assert records.image_path(records.table()["image"][0].as_py()).read_bytes() == red_png
    assert not any(names["test"] in request and "GET" in request for request in hub.requests)  # nothing that was not asked for
    assert not any((tmp_path / "home").rglob("*.parquet"))


def test_datasets__names_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not READERS["hugging-face"].recognises(tmp_path)
    with pytest.raises(DataError, match="no file or folder"):
        import_records(tmp_path / "gone", tmp_path / "r", format="hugging-face")
    with pytest.raises(DataError, match="cannot be read by the library datasets"):
        import_records(f"hf:{tmp_path}/gone", tmp_path / "r")
    with pytest.raises(ConfigError, match=r"no option 'splt'\. Did you mean 'split'"):
        import_records("hf:owner/name", tmp_path / "r", splt="train")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"hub cannot be reached\. Without a network, run `hf download owner/name"):
        import_records("hf:owner/name/config", tmp_path / "r")
