from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import column, read

from mella_retrieval.data.formats import READERS, detect, tar_samples
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Note, RawRecord, Records, Rejected
from mella_retrieval.errors import ConfigError, DataError, MellaError

webdataset = pytest.importorskip("webdataset")


def shard(path: Path, *samples: dict[str, Any]) -> Path:
    """A shard by webdataset's own writer (gzip by the name's ending)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path), encoder=False, compress=path.name.endswith("gz")) as writer:
        for sample in samples:
            encoded = {
                name: value.encode() if isinstance(value, str) and name != "__key__" else value for name, value in sample.items()
            }
            writer.write(encoded)
    return path


def sample(key: str, picture: bytes, text: str, **more: Any) -> dict[str, Any]:
    return {"__key__": key, "jpg": picture, "txt": text, **more}


def kept(items: list[Any]) -> list[RawRecord]:
    return [item for item in items if isinstance(item, RawRecord)]


def rejected(items: list[Any]) -> list[Rejected]:
    return [item for item in items if isinstance(item, Rejected)]


def test_webdataset__a_folder_of_shards_as_img2dataset_writes_it(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    source = tmp_path / "laion"
    about = json.dumps({"caption": "kutya", "url": "http://e.org/1.jpg", "key": "000000001", "width": 4, "sha256": "x"})
    shard(source / "00001.tar", sample("000010000", blue_png, "második\n"))
    shard(source / "00000.tar", sample("000000000", red_png, "első"), sample("000000001", blue_png, "kutya", json=about))
    (source / "00000.parquet").write_bytes(b"what img2dataset writes beside a shard")
    assert detect(source) == detect(source / "00000.tar") == "webdataset"
    report = import_records(source, tmp_path / "r", lang="hu", source="know")
    assert (report.kept, report.read, report.notes) == (3, 3, [])
    records = Records.load(tmp_path / "r")
    rows = records.table().to_pylist()
    assert [(row["image_id"], row["text"], row["lang"], row["source"]) for row in rows] == [
        ("000000000", "első", "hu", "know"), ("000000001", "kutya", "hu", "know"), ("000010000", "második", "hu", "know")
    ]  # fmt: skip
    assert [records.image_path(row["image"]).read_bytes() for row in rows] == [red_png, blue_png, blue_png]
    assert (rows[1]["caption"], rows[1]["url"], rows[1]["width"], rows[0]["width"]) == ("kutya", "http://e.org/1.jpg", 4, None)


def test_webdataset__json_is_a_row_of_a_table(tmp_path: Path, red_png: bytes) -> None:
    about = {"id": "p7", "words": ["one", "two"], "lang": "en", "image": "page.html", "nested": {"a": 1}}
    path = shard(tmp_path / "x.tar", {"__key__": "d/a.b", "png": red_png, "json": json.dumps(about), "cls": "3"})
    columns = {"image_id": "id", "text": "words"}
    items = read("webdataset", path, columns=columns)
    assert [(row.image_id, row.text, row.lang, row.image) for row in kept(items)] == [
        ("p7", "one", "en", red_png), ("p7", "two", "en", red_png)
    ]  # fmt: skip
    assert kept(items)[0].extras == {"__key__": "d/a", "b.cls": "3", "json.image": "page.html", "nested": {"a": 1}}
    assert rejected(read("webdataset", path, columns={"text": "wrods"}))[0].reason == (
        "no column 'wrods' for text. Did you mean 'words'?"
    )
    with pytest.raises(ConfigError, match="has no option 'images'"):
        import_records(path, tmp_path / "r", images="x.parquet")


def test_webdataset__texts_of_several_languages_and_a_json_of_texts(tmp_path: Path, red_png: bytes) -> None:
    first = {"__key__": "a", "jpg": red_png, "hu.txt": "kutya", "cs.txt": "pes"}
    second = {"__key__": "b", "jpg": red_png, "json": json.dumps(["dog", "hound"])}
    path = shard(tmp_path / "x.tar", first, second)
    wide = kept(read("webdataset", path, text_columns={"hu": "hu.txt", "cs": "cs.txt"}))
    assert [(row.image_id, row.text, row.lang) for row in wide] == [("a", "kutya", "hu"), ("a", "pes", "cs")]
    plain = kept(read("webdataset", path, lang="en"))
    assert [(row.image_id, row.text) for row in plain] == [("a", None), ("b", "dog"), ("b", "hound")]


def test_webdataset__pictures_alone_several_pictures_and_members_that_are_not_read(
    tmp_path: Path, red_png: bytes, blue_png: bytes
) -> None:
    path = shard(
        tmp_path / "x.tar",
        {"__key__": "a", "left.png": red_png, "right.png": blue_png, "npy": b"\x93NUMPY", "pyd": b"\x80\x04."},
        {"__key__": "b", "json": json.dumps({"url": "https://e.org/b.jpg", "caption": "B"})},
    )
    items = read("webdataset", path, lang="en")
    assert [(row.image_id, row.image, row.text) for row in kept(items)] == [
        ("a", red_png, None),
        ("b", "https://e.org/b.jpg", "B"),
    ]
    assert [item.text for item in items if isinstance(item, Note)] == [
        "members that are not read: .npy (1), .pyd (1).",
        "samples with several pictures, of which the first was taken (option image names its ending): 1.",
    ]
    items = read("webdataset", path, lang="en", image="right.png")
    assert kept(items)[0].image == blue_png and len(items) == 3
    assert rejected(read("webdataset", path, image="top.png"))[0].reason == "no picture of the ending top.png"
    assert import_records(path, tmp_path / "r", lang="en").counts["without_text"] == 1


def test_webdataset__bad_samples_are_rejected_alone(tmp_path: Path, red_png: bytes) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "a.jpg", red_png)
        add(tar, "a.json", b"{broken")
        add(tar, "b.jpg", red_png)
        add(tar, "b.txt", b"caf\xe9")
        add(tar, "c.jpg", red_png)
        add(tar, "c.jpg", red_png)
        add(tar, "README", b"no ending")
        add(tar, "__index__/x.txt", b"webdataset's own")
        add(tar, "._d.jpg", b"a Mac's own")
        add(tar, "d.json", b"5")
        add(tar, "e.json", b"[" * 100_000)
        add(tar, "f.jpg", red_png)
        add(tar, "f.TXT", b"good")
    report = import_records(path, tmp_path / "r", lang="en")
    assert (report.read, report.kept) == (7, 1) and column(tmp_path / "r", "text") == ["good"]
    assert report.rejected == {
        "member without an ending": 1, "not valid JSON": 2, "text is not UTF-8": 1, "the JSON is no object": 1,
        "two members of one ending": 1,
    }  # fmt: skip


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz"])
def test_webdataset__a_cut_shard_gives_what_stands_before(tmp_path: Path, red_png: bytes, name: str) -> None:
    source = tmp_path / "s"
    samples = [sample(f"{number:03}", red_png, f"text {number * 7919**9}") for number in range(60)]
    whole = shard(source / name, *samples).read_bytes()
    shard(source / "y.tar", sample("last", red_png, "whole"))
    assert len(kept(read("webdataset", source))) == 61
    texts = {str(one["txt"]) for one in samples} | {"whole"}
    for cut in (len(whole) // 2, len(whole) // 3 // 512 * 512, whole.rindex(b"text ") + 3 if name == "x.tar" else len(whole) - 6):
        (source / name).write_bytes(whole[:cut])
        items = read("webdataset", source, lang="en")
        (problem,) = rejected(items)
        assert problem.reason.startswith("damaged shard: ") and problem.where == name
        assert 5 < len(kept(items)) <= 60 and {str(row.text) for row in kept(items)} <= texts
        assert kept(items)[-1].text == "whole"
        report = import_records(source, tmp_path / "r", lang="en", overwrite=True)
        assert report.read == len(items) and report.rejected == {"damaged shard": 1}


def test_webdataset__what_is_no_shard(tmp_path: Path, red_png: bytes) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with tarfile.open(pictures / "images.tar", "w") as tar:
        add(tar, "1.jpg", red_png)
        add(tar, "2.jpg", red_png)
    assert not READERS["webdataset"].recognises(pictures)  # an archive of pictures beside their captions, say
    assert [row.image_id for row in kept(read("webdataset", pictures))] == ["1", "2"]
    (pictures / "images.tar").write_bytes(b"no tar at all")
    assert not READERS["webdataset"].recognises(pictures)
    with pytest.raises(DataError, match="damaged shard"):
        import_records(pictures, tmp_path / "r", format="webdataset")
    with pytest.raises(DataError, match="holds no shards"):
        read("webdataset", tmp_path)


def test_webdataset__memory_does_not_grow_with_the_shard(tmp_path: Path) -> None:
    peaks = []
    for count in (50, 400):
        path = shard(tmp_path / f"{count}.tar", *(sample(f"{number}", bytes(20_000), "text") for number in range(count)))
        tracemalloc.start()
        for _ in tar_samples.read_samples(path, lambda ending: True):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2


_SETTINGS = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
@_SETTINGS
@given(data=st.data())
def test_webdataset__any_damage(tmp_path: Path, red_png: bytes, name: str, data: st.DataObject) -> None:
    path = tmp_path / "s" / name
    if not (tmp_path / name).exists():  # once: gzip files hold the time
        shard(tmp_path / name, sample("a", red_png, "first"), sample("b", red_png, "second", json='{"n": 1}'))
        path.parent.mkdir()
    content = (tmp_path / name).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut] + data.draw(st.binary(max_size=12)) + content[cut + data.draw(st.integers(0, 9)) :])
    READERS["webdataset"].recognises(path)
    items = read("webdataset", path, lang="en")
    try:
        report = import_records(path, tmp_path / "r", format="webdataset", lang="en", overwrite=True)
    except MellaError:
        return
    assert report.read == len(kept(items)) + len(rejected(items)) == report.kept + sum(report.rejected.values())


@_SETTINGS
@given(st.binary(max_size=1200), st.booleans())
def test_webdataset__any_bytes(tmp_path: Path, content: bytes, packed: bool) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(gzip.compress(content) if packed else content)
    READERS["webdataset"].recognises(path)
    assert all(isinstance(item, RawRecord | Rejected | Note) for item in read("webdataset", path))
    assert rejected(read("webdataset", path)) or b"\0" * 512 in content


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "image", "img_id", "lang", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@_SETTINGS
@given(_json, st.booleans())
def test_webdataset__any_json(tmp_path: Path, red_png: bytes, value: Any, with_text: bool) -> None:
    one = {"__key__": "a", "jpg": red_png, "json": json.dumps(value)} | ({"txt": "text"} if with_text else {})
    path = shard(tmp_path / "x.tar", one, sample("b", red_png, "good"))
    report = import_records(path, tmp_path / "r", lang="en", overwrite=True)
    assert report.read == report.kept + sum(report.rejected.values()) >= 2
