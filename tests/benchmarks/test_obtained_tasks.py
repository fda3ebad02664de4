"""Recipes from download to records: their files in the true layout, served from this machine and read as the recipe says."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from file_server import Files, serving

from mella_retrieval.benchmarks.obtain import obtain
from mella_retrieval.benchmarks.tasks import Task, load_task
from mella_retrieval.data.downloads import Patience
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records

FIRST = ("en", "ace-Arab", "ace", "acm", "acq", "aeb", "af", "ajp")  # of the two hundred languages of FLORES-200
COCO = ("COCO_val2014_000000000042", "COCO_val2014_000000000073")


def packed(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def karpathy(names: tuple[str, ...]) -> bytes:
    images = [
        {"filename": f"{name}.jpg", "filepath": "val2014", "split": "test", "imgid": number, "cocoid": number, "sentids": [0],
         "sentences": [{"raw": f"sentence {k} of {name}", "tokens": [], "imgid": number, "sentid": k} for k in range(5)]}
        for number, name in enumerate(names)
    ]  # fmt: skip
    return json.dumps({"dataset": "coco", "images": images}).encode()


PICTURES = {f"val2014/{name}.jpg": b"jpeg" for name in COCO}
DATASETS = packed(**{"dataset_coco.json": karpathy(COCO), "dataset_flickr8k.json": b"{}",
                     "dataset_flickr30k.json": karpathy(("1007129816", "1009434119"))})  # fmt: skip


def xm3600(path: str) -> bytes:
    rows = [{"image/key": key, "image/locale": "cs", "cs": {"caption": [f"{key} a", f"{key} b"]}} for key in ("k1", "k2")]
    if path.endswith("captions.zip"):
        return packed(**{"captions.jsonl": "\n".join(json.dumps(row) for row in rows).encode()})
    return tarred({"k1.jpg": b"jpeg", "k2.jpg": b"jpeg"})


def coco(path: str) -> bytes:
    if path.endswith("val2014.zip"):
        return packed(**PICTURES)
    if path.endswith("caption_datasets.zip"):
        return DATASETS
    if path.endswith("stair_captions_v1.2.tar.gz"):
        captions = {
            "images": [{"id": 42, "file_name": f"{COCO[0]}.jpg"}, {"id": 73, "file_name": f"{COCO[1]}.jpg"},
                       {"id": 9, "file_name": "COCO_val2014_000000000009.jpg"}],
            "annotations": [{"id": k, "image_id": image, "caption": f"文 {k}"} for k, image in enumerate((42, 73, 73, 9))],
        }  # fmt: skip
        data = json.dumps(captions).encode()
        return tarred({"stair_captions_v1.2_train.json": data, "stair_captions_v1.2_val.json": data})
    entry = [{"filename": f"{name}.jpg", "captions_en": "a", "captions_translated": f"{path} {name}"} for name in COCO]
    return json.dumps(entry).encode()


def lines(path: str) -> bytes:
    if path.endswith("images.tar.gz"):
        return tarred({f"images/{name}.jpg": b"jpeg" for name in COCO})
    names = path.endswith(("names.txt",))
    return "".join(f"{name}.jpg\n" if names else f"text of {name} in {path}\n" for name in COCO).encode()


def multi30k(path: str) -> bytes:
    import gzip

    if path.endswith(".txt"):
        return b"1007129816.jpg\n1009434119.jpg\n"
    return gzip.compress(b"one\ntwo\n")


def iglue(path: str) -> bytes:
    if path.endswith(".zip"):
        return packed(**PICTURES)
    rows = [{"sentences": [f"{path} {name}"], "id": name, "img_path": f"{name}.jpg"} for name in COCO]
    return "\n".join(json.dumps(row) for row in rows).encode()


def wit(path: str) -> bytes:
    lang = path.removesuffix(".jsonl")[-2:]
    row = {"wit_ix": "wit-test_3", "image_idx": 19, "image_url": "https://upload.wikimedia.org/6/61/A.jpg", "language": lang,
           "caption_reference_description": f"{lang} text", "page_url": "", "meta_url": ""}  # fmt: skip
    return json.dumps(row).encode()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.setenv("MELLA_CACHE", str(tmp_path / "cache"))
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with serving(Files()) as files:
        yield files


def moved(task: Task, server: Files, content: Callable[[str], bytes]) -> Task:
    """The task with its files served from here, under the paths of their addresses; of two hundred languages, the first."""
    sources = []
    for source in (*task.files[:9], *task.files[-1:]) if len(task.files) > 20 else task.files:
        path = urlsplit(source.url or "").path
        server.content[path] = content(path)
        sources.append(source.model_copy(update={"url": server.url(path), "sha256": "unverified", "bytes": "unverified"}))
    return task.model_copy(update={"files": tuple(sources)})


@pytest.mark.parametrize(
    ("name", "content", "images", "pictures", "captions"),
    [
        ("xm3600", xm3600, {"k1", "k2"}, 2, {"cs": 4}),
        ("mscoco", coco, set(COCO), 2, {"en": 10}),
        ("mscoco-ja", coco, set(COCO), 2, {"ja": 3}),
        ("mscoco-uclip", coco, set(COCO), 2, dict.fromkeys(("cs", "fi", "hr", "hu", "ro"), 2)),
        ("flickr30k", coco, {"1007129816", "1009434119"}, 0, {"en": 10}),
        ("xtd10", lines, set(COCO), 2, dict.fromkeys(load_task("xtd10").languages, 2)),
        ("xtd200", lines, set(COCO), 2, dict.fromkeys(FIRST, 2)),
        ("flickr30k-200", lines, set(COCO), 2, dict.fromkeys(FIRST, 2)),
        ("multi30k", multi30k, {"1007129816", "1009434119"}, 0, dict.fromkeys(("en", "de", "fr", "cs"), 2)),
        ("xflickrco", iglue, set(COCO), 2, dict.fromkeys(load_task("xflickrco").languages, 2)),
        ("wit", wit, {"wit-test_3"}, 0, dict.fromkeys(load_task("wit").languages, 1)),
    ],
)
def test_a_recipe_from_download_to_records(
    server: Files,
    tmp_path: Path,
    name: str,
    content: Callable[[str], bytes],
    images: set[str],
    pictures: int,
    captions: dict[str, int],
):
    task = moved(load_task(name), server, content)
    folder = obtain(task, patience=Patience(attempts=1, timeout=5))
    report = import_records(folder, tmp_path / "records", task.format, **task.options)
    table = Records.load(tmp_path / "records").table(["image_id", "image", "lang", "source"], where=task.where).to_pydict()
    assert set(table["image_id"]) == images
    assert {code: table["lang"].count(code) for code in dict.fromkeys(table["lang"])} == captions
    assert set(captions) <= set(task.languages)
    there = {path for path in table["image"] if path and not path.startswith("https:")}
    assert len(there) == pictures
    for path in there:
        assert (folder / path).is_file()
    if task.options.get("source") == "translated":
        assert {lang for lang, source in zip(table["lang"], table["source"], strict=True) if source != "translated"} <= {"en"}
    assert not report.rejected
    asked = len(server.requests)
    assert obtain(task, download=False) == folder
    assert len(server.requests) == asked == len(task.files)
