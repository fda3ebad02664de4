"""What counts as the same picture or text: it stays in one split, and apart from benchmarks."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from photos import cropped, encoded, photo, recompressed
from PIL import Image, ImageOps
from sets import composed, folder, numbered, removed, row

from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.compose.compose import compose
from mella_retrieval.data.compose.leakage import check_leakage
from mella_retrieval.data.compose.recipe import ComposeRecipe
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.recipes import build_config

LONG = "two men are repairing the roof of an old house in the village on a warm evening"


def pictured(image_id: str, text: str, image: Image.Image, format: str = "PNG", lang: str = "hu", **more: Any) -> RawRecord:
    return row(image_id, text, lang, encoded(image, format), **more)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """know: 24 photos of their own, and five versions of one more."""
    original = photo(900)
    versions = {
        "original": original,
        "small": original.resize((160, 120)),
        "squeezed": recompressed(original, 30),
        "cropped": cropped(original, 0.02),
        "mirrored": ImageOps.mirror(original),
    }
    rows = [pictured(f"p{seed}", f"{(seed + 1) * 7919} Places", photo(seed)) for seed in range(24)]
    rows += [pictured(name, f"{place * 104729} {name}", image) for place, (name, image) in enumerate(versions.items())]
    return folder(tmp_path_factory.mktemp("base") / "know", rows)


def splits_of(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {r["image_id"]: r["split"] for r in rows}


@pytest.mark.parametrize("seed", range(3))
def test_versions_of_a_picture_stay_together_and_its_mirror_image_is_another(tmp_path: Path, base: Path, seed: int):
    rows, result = composed(tmp_path / "out", {"know": str(base)}, splits={"validation": 0.3, "test": 0.3}, seed=seed)
    found = splits_of(rows)
    assert len({found[name] for name in ("original", "small", "squeezed", "cropped")}) == 1
    assert result.report["groups"] == {"number": 26, "of_several_records": 1, "largest": 4}
    assert result.report["pictures"] == {"hashed": 29}


def test_only_equal_files_count_without_a_perceptual_hash(tmp_path: Path, base: Path):
    _, result = composed(tmp_path / "out", {"know": str(base)}, duplicates={"images": None})
    assert result.report["groups"]["of_several_records"] == 0


def test_groups_are_transitive_over_texts_pictures_and_ids(tmp_path: Path):
    same = photo(1)
    know = [row("a", LONG), row("b", LONG + "."), pictured("b2", "something quite different", same), row("z", "zzz")]
    ling = [row("b", "of b", image=encoded(same)), pictured("c", "of c, and of nothing else", same.resize((200, 150)))]
    sources = {"know": str(folder(tmp_path / "know", know)), "ling": str(folder(tmp_path / "ling", ling))}
    _, result = composed(tmp_path / "out", sources, splits={"validation": 0, "test": 0})
    assert result.report["groups"] == {"number": 2, "of_several_records": 1, "largest": 5}


def test_a_stock_phrase_does_not_glue_the_set_together(tmp_path: Path):
    rows = [row(f"s{n}", f"Image {n % 2 or ''}".strip()) for n in range(20)] + [row(f"t{n}", "Twice said.") for n in range(2)]
    source = {"know": str(folder(tmp_path / "know", rows + numbered(8)))}
    _, glued = composed(tmp_path / "glued", source, duplicates={"stock": 20})
    _, loose = composed(tmp_path / "loose", source, duplicates={"stock": 9})
    assert glued.report["groups"]["largest"] == 10
    assert loose.report["groups"]["largest"] == 2
    assert loose.report["stock_phrases"] == {"records": 20}
    assert any("20 records have a stock phrase" in note for note in loose.report["notes"])


def test_pictures_with_little_in_them_are_the_same_only_if_their_files_are(tmp_path: Path):
    rows = [
        pictured("red", "r", Image.new("RGB", (90, 60), "red")),
        pictured("blue", "b", Image.new("RGB", (90, 60), "blue")),
        pictured("red2", "d", Image.new("RGB", (90, 60), "red")),
    ]
    source = {"know": str(folder(tmp_path / "know", rows + numbered(3)))}
    _, result = composed(tmp_path / "out", source, splits={"validation": 0, "test": 0})
    assert result.report["groups"]["of_several_records"] == 1
    assert result.report["pictures"] == {"flat": 3, "hashed": 3, "missing": 3}
    assert any("3 pictures have too little in them" in note for note in result.report["notes"])


def test_one_id_for_two_pictures_becomes_two_and_for_one_picture_stays_one(tmp_path: Path):
    first = [pictured("1", "egy", photo(1), text_id="1"), pictured("2", "kettő", photo(2), text_id="2"), row("3", "három")]
    other = [
        pictured("1", "หนึ่ง", photo(11), lang="th", text_id="1"),
        pictured("2", "สอง", recompressed(photo(2), 60), "JPEG", lang="th", text_id="b"),
        row("3", "สาม", "th", image=""),
    ]
    sources = {"know": str(folder(tmp_path / "know", first)), "ling": str(folder(tmp_path / "ling", other))}
    rows, result = composed(tmp_path / "out", sources, splits={"validation": 0, "test": 0})
    by_text = {r["text"]: r for r in rows}
    assert by_text["หนึ่ง"]["image_id"] == "ling:1"
    assert by_text["หนึ่ง"]["text_id"] == "ling:1"
    assert by_text["สอง"]["image_id"] == "2"
    assert by_text["สอง"]["image"] == by_text["kettő"]["image"]
    assert by_text["สาม"]["image"] == by_text["három"]["image"] != ""
    assert "1 images were given new ids: theirs mean another one in an earlier source." in result.report["notes"]
    problems = check_folder(tmp_path / "out").problems
    assert [problem.where for problem in problems] == ["3"]  # the picture that never was


def test_equal_records_are_kept_once_from_the_first_source(tmp_path: Path):
    rows = numbered(5)
    sources = {name: str(folder(tmp_path / name, rows)) for name in ("know", "ling")}
    found, result = composed(tmp_path / "out", sources, splits={"validation": 0, "test": 0})
    assert Counter(r["source"] for r in found) == {"know": 5}
    assert result.report["removed"] == {"duplicate record": 5}


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    rows = [
        pictured("t0", "a benchmark text about nothing else", photo(0)),
        pictured("t900", "another of its texts", photo(900).resize((200, 150)), "JPEG"),
        pictured("t77", LONG, photo(77)),
        pictured("t78", "47514  pLACES", photo(78)),
    ]
    return folder(tmp_path / "bench", rows)


@pytest.fixture
def met(tmp_path: Path, base: Path) -> dict[str, str]:
    extra = folder(tmp_path / "ling", [row("far", LONG.replace("warm", "warn")), *numbered(20, kind="ling")])
    return {"know": str(base), "ling": str(extra)}


def test_what_meets_a_benchmark_is_removed_and_listed_with_what_it_met(tmp_path: Path, benchmark: Path, met: dict[str, str]):
    out = tmp_path / "out"
    rows, result = composed(out, met, disjoint_from=[str(benchmark)])
    assert result.report["removed"] == {
        "benchmark picture": 1,
        "picture like a benchmark's": 4,
        "benchmark text": 1,
        "text like a benchmark's": 1,
    }
    listed = {entry["where"].partition("#")[0]: entry["reason"] for entry in removed(out)}
    assert listed["know: p0"] == f"benchmark picture: t0 of {benchmark}"
    assert listed["know: cropped"] == f"picture like a benchmark's: t900 of {benchmark}"
    assert listed["know: p5"].startswith("benchmark text: t78#hu#")
    assert listed["ling: far"].startswith("text like a benchmark's: t77#hu#")
    assert "mirrored" in splits_of(rows)
    assert check_leakage(Records.load(out), [Records.load(benchmark)], workers=1).ok


def test_the_check_finds_the_same_and_can_look_at_one_split(benchmark: Path, base: Path):
    report = check_leakage(Records.load(base), [Records.load(benchmark)], workers=1)
    assert not report.ok
    assert report.found == {"benchmark picture": 1, "picture like a benchmark's": 4, "benchmark text": 1}
    assert report.as_dict()["examples"][0]["met"] == f"t0 of {benchmark}"
    clean = {"image_id": ["p1", "p2", "mirrored"]}
    assert check_leakage(Records.load(base), [Records.load(benchmark)], where=clean).as_dict()["found"] == {}
    with pytest.raises(DataError, match="passes the filters"):
        check_leakage(Records.load(base), [Records.load(benchmark)], where={"image_id": "none"})


def test_a_benchmark_without_pictures_is_compared_by_its_texts_and_says_so(tmp_path: Path, base: Path):
    texts = folder(tmp_path / "texts", [row("p1", "unheard of", image=""), row("q", "15838 places", image="")])
    report = check_leakage(Records.load(base), [Records.load(texts)], workers=1)
    assert report.found == {"benchmark text": 1}
    assert "has no picture files" in report.notes[0]


def test_equal_urls_are_equal_pictures(tmp_path: Path):
    def rows(kind: str, count: int) -> list[RawRecord]:
        return [row(f"{kind}{n}", f"{kind} {n * 7919}", image=f"https://example.org/{n}.jpg") for n in range(count)]

    know, bench = folder(tmp_path / "know", rows("know", 5)), folder(tmp_path / "bench", rows("bench", 2))
    found, result = composed(tmp_path / "out", {"know": str(know)}, disjoint_from=[str(bench)])
    assert {r["image"] for r in found} == {f"https://example.org/{n}.jpg" for n in (2, 3, 4)}
    assert result.report["removed"] == {"benchmark picture": 2}


def test_a_set_that_lies_wholly_in_a_benchmark_leaves_nothing(tmp_path: Path, base: Path):
    with pytest.raises(DataError, match="nothing is left"):
        composed(tmp_path / "out", {"know": str(base)}, disjoint_from=[str(base)])
    assert not (tmp_path / "out").exists()


def test_columns_sources_and_pictures_are_carried_over(tmp_path: Path):
    rows = [pictured(f"p{n}", f"kép {n}", photo(n), category="zoo", source="alt", split="old") for n in range(3)]
    rows += [pictured("p9", None, photo(9)), row("", "a text alone")]
    know = folder(tmp_path / "deep" / "know", rows)
    found, result = composed(tmp_path / "out", {"know": str(know)}, copy_images=True, splits={"validation": 0, "test": 0})
    shutil.rmtree(know)
    assert {r["source"] for r in found} == {"know"}
    assert [r["category"] for r in found] == ["zoo"] * 3 + [None] * 2
    assert {r["split"] for r in found} == {"train"}
    assert "3 records of know said source 'alt'; the column says 'know' now." in result.report["notes"]
    assert result.report["sources"]["know"]["pictures_alone"] == 1
    assert check_folder(tmp_path / "out").ok


def test_wrong_folders_and_recipes_are_refused(tmp_path: Path, base: Path):
    with pytest.raises(DataError, match="replace its own source"):
        compose(base, build_config(ComposeRecipe, {"sources": {"know": str(base)}}, "the test"), overwrite=True)
    with pytest.raises(ArtifactError, match="there is no folder"):
        composed(tmp_path / "out", {"know": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigError, match="ling has none"):
        composed(tmp_path / "out", {"know": {"path": str(base), "weight": 1}, "ling": str(base)})
    with pytest.raises(ConfigError, match="sources is empty"):
        composed(tmp_path / "out", {})
    with pytest.raises(ConfigError, match=r"unknown key 'sources.know.weigth'"):
        composed(tmp_path / "out", {"know": {"path": str(base), "weigth": 1}})
