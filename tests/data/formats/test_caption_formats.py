"""What holds for all caption test sets: damage ends in a MellaError or a counted row, and no reader takes another's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_coco_captions_format as coco_captions
import test_coco_cn_format as coco_cn
import test_iglue_format as iglue
import test_karpathy_format as karpathy
import test_multi30k_format as multi30k
import test_nrccr_format as nrccr
import test_parallel_lines_format as parallel_lines
import test_uclip_format as uclip
import test_vatex_format as vatex
import test_xtd10_format as xtd10
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import read

from mella_retrieval.data.formats import READERS, detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import RawRecord, Rejected
from mella_retrieval.errors import MellaError

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def xflickrco(folder: Path) -> None:
    iglue.lines(folder / "annotations" / "de" / "test.jsonl", iglue.flickr("1.jpg", 1, "gut"), iglue.flickr("2.jpg", 2, "schön"))


def wit(folder: Path) -> None:
    iglue.lines(folder / "test_bg.jsonl", iglue.wit(1, "a"), iglue.wit(2, "b"))
    (folder / "images").mkdir()


# Format -> (makes a folder of it, options, a file of it).
SETS: dict[str, tuple[str, Callable[[Path], Any], dict[str, Any], str]] = {
    "uclip": (
        "uclip", lambda folder: uclip.captions(folder, "hu", uclip.entry("a.jpg", "A", "B")), {"english": True},
        "captions_hu.json",
    ),
    "xtd10": ("xtd10", xtd10.release, {}, "XTD10/test_1kcaptions_tr.txt"),
    "xtd10 names": ("xtd10", xtd10.release, {}, "XTD10/test_image_names.txt"),
    "multi30k": ("multi30k", multi30k.clone, {}, "data/task1/raw/test_2016_flickr.de.gz"),
    "multi30k names": ("multi30k", multi30k.clone, {"task": 2}, "data/task2/image_splits/test_2016_images.txt"),
    "karpathy": (
        "karpathy", lambda folder: karpathy.splits(folder / "dataset_coco.json", karpathy.image("a.jpg", "test", "A")), {},
        "dataset_coco.json",
    ),
    "coco-captions": (
        "coco-captions", lambda folder: coco_captions.annotations(folder / "captions_x.json", (42, "a")), {"lang": "ja"},
        "captions_x.json",
    ),
    "coco-cn": ("coco-cn", coco_cn.release, {}, "imageid.human-written-caption.txt"),
    "coco-cn names": ("coco-cn", coco_cn.release, {}, "coco-cn_test.txt"),
    "nrccr": ("nrccr", nrccr.multi30k, {}, "TextData/multi30ktest_de_2016_task1.caption.txt"),
    "xflickrco": ("iglue", xflickrco, {}, "annotations/de/test.jsonl"),
    "wit": ("iglue", wit, {}, "test_bg.jsonl"),
    "parallel-lines": ("parallel-lines", parallel_lines.flickr30k_200, {}, "hun_Latn.txt"),
    "parallel-lines names": ("parallel-lines", parallel_lines.flickr30k_200, {}, "filenames.txt"),
    "vatex": ("vatex", lambda folder: vatex.captions(folder / "vatex_x.json", vatex.clip("c", 2)), {}, "vatex_x.json"),
}  # fmt: skip
JSON_SETS = [name for name, made in SETS.items() if made[3].endswith((".json", ".jsonl"))]


def survives(name: str, folder: Path, content: bytes) -> None:
    """With `content` in the place of a file: a MellaError, or rows whose import adds up."""
    format, make, options, file = SETS[name]
    source = folder / "set"
    if not source.exists():
        make(source)
    (source / file).write_bytes(content)
    try:
        items = read(format, source, **options)
        detect(source)
        report = import_records(source, folder / "r", format=format, overwrite=True, **options)
    except MellaError:
        return
    assert all(isinstance(item.text_id, str) and item.text_id for item in items if isinstance(item, RawRecord))
    assert (
        report.read
        == sum(isinstance(item, RawRecord | Rejected) for item in items)
        == report.kept + sum(report.rejected.values())
    )


@pytest.mark.parametrize("name", SETS)
@SETTINGS
@given(data=st.data())
def test_caption_formats__any_damage_to_a_file(tmp_path: Path, name: str, data: st.DataObject) -> None:
    source = tmp_path / "whole"
    if not source.exists():
        SETS[name][1](source)
    content = (source / SETS[name][3]).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    survives(name, tmp_path, content[:cut] + data.draw(st.binary(max_size=12)) + content[cut + data.draw(st.integers(0, 9)) :])
    survives(name, tmp_path, data.draw(st.binary(max_size=40)))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", JSON_SETS)
@SETTINGS
@given(data=st.data())
def test_caption_formats__any_value_in_the_place_of_another(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """The JSON stays whole, one value anywhere in it changes to another of any type."""
    source = tmp_path / "whole"
    if not source.exists():
        SETS[name][1](source)
    rows = (
        [json.loads(line) for line in (source / SETS[name][3]).read_text().splitlines()] if SETS[name][3].endswith("l") else None
    )
    content: Any = [json.loads((source / SETS[name][3]).read_text())] if rows is None else rows
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(_values)
    survives(name, tmp_path, "\n".join(json.dumps(part) for part in content).encode())


@pytest.mark.parametrize("name", SETS)
def test_caption_formats__only_the_own_reader_is_found(tmp_path: Path, name: str) -> None:
    format, make, _, _ = SETS[name]
    source = tmp_path / "set"
    make(source)
    found = [other for other, reader in READERS.items() if reader.recognises(source)]
    assert [other for other in found if other not in ("folder", "table")] == [format] and detect(source) == format
    assert READERS[format].test_set


@pytest.mark.parametrize("format", sorted({made[0] for made in SETS.values()}))
def test_caption_formats__a_folder_without_the_files_is_refused_by_name(tmp_path: Path, format: str) -> None:
    options = {"lang": "ja"} if format == "coco-captions" else {}
    assert not READERS[format].recognises(tmp_path)
    with pytest.raises(MellaError, match=str(tmp_path)):
        import_records(tmp_path, tmp_path.with_name("r"), format=format, **options)
