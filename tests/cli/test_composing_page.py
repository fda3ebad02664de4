"""The commands of docs/composing.md: know and ling of a pocket world, composed, trained on with both sources, and measured."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from program import Mella

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.pocket import IMAGE_TOWER, TEXT_TOWER, generate_world

PAGE = Path(__file__).parents[2] / "docs" / "composing.md"
LANGS = ["en", "hu", "th"]
TOWERS = {"images": IMAGE_TOWER, "texts": TEXT_TOWER}


def commands() -> list[list[str]]:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    return [shlex.split(line, comments=True)[1:] for line in blocks.splitlines() if line.startswith("mella ")]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mella: Mella) -> None:
    """know-records and ling-records of one small world, and a benchmark that has nothing to do with them."""
    monkeypatch.chdir(tmp_path)
    generate_world("world", seed=5, scenes=160)
    assert mella("data", "import", "world", "world-records").code == 0
    world = Records.load("world-records")
    for kind in ("know", "ling"):
        rows = world.table(["image_id", "image", "text", "lang"], {"source": kind, "lang": LANGS}).to_pylist()
        write_records(f"{kind}-records", [RawRecord(**row) for row in rows], image_root=world.image_root)
    write_records("xm3600-records", [RawRecord("far", "far.jpg", "Gulls above an oil platform in fog.", "en")])


@pytest.mark.usefixtures("sources")
def test_both_sources_are_composed_trained_on_and_measured_without_hand_work(mella: Mella):
    for command in commands():
        if command[0] == "embed":
            command[command.index("--tower") + 1] = TOWERS[command[1]]
        if command[0] == "train":
            command += ["epochs=2", "batch_size=128"]
        if command[0] in ("embed", "train", "benchmark"):
            command += ["--device", "cpu"]
        ran = mella(*command)
        assert ran.code == 0, (command, ran.out, ran.err)
    composed = Records.load("mixed")
    assert {row["split"] for row in composed.table(["split"]).to_pylist()} == {"train", "validation", "test"}
    assert set(composed.table(["source"])["source"].to_pylist()) == {"know", "ling"}
    result = json.loads(Path("results/results.json").read_text(encoding="utf-8"))
    test = len(set(composed.table(["image_id"], {"split": "test"})["image_id"].to_pylist()))
    assert result["data"]["images"] == test < composed.counts["images"] / 3

    def recall(system: str) -> float:
        wanted = {"system": system, "language": "mean", "metric": "R@1", "direction": "t2i", "subset": ""}
        (found,) = (score for score in result["scores"] if wanted.items() <= score.items())
        return found["value"]

    assert recall("contrastive") > 8 * recall("chance")
    report = composed.manifest["made_by"]["report"]
    assert report["sources"]["ling"]["languages"]["hu"]["got"] == report["sources"]["ling"]["languages"]["th"]["got"] > 80
    assert report["splits"]["test"]["asked"] == round(0.1 * report["records"])


@pytest.mark.usefixtures("sources")
def test_what_composing_says(mella: Mella):
    sources = ["sources.know={path: know-records, weight: 1}", "sources.ling={path: ling-records, weight: 1}"]
    ran = mella("data", "compose", "out", *sources, "size=200", "disjoint_from=[other-records]")
    assert ran.code == 1
    assert "there is no folder other-records" in ran.err
    known = Records.load("ling-records").table(["image_id", "text", "lang"]).to_pylist()[:3]
    write_records("seen-records", [RawRecord(image="", **{**row, "image_id": "other"}) for row in known])
    ran = mella("data", "compose", "out", *sources, "size=200", "disjoint_from=[seen-records]")
    assert ran.code == 0, ran.err
    assert re.search(r"removed \d+: benchmark text", ran.out)
    assert "seen-records has no picture files here" in ran.out
    assert "out: 200 of " in ran.out
    assert "available, asked and taken count records" in ran.out
    assert "not drawn" in ran.out
    assert re.search(r"know: 100 records were asked for, \d\d could be taken\.", ran.out)
    assert "every removed record is listed in out/skipped.csv" in ran.out
    assert mella("data", "check", "out", "--disjoint-from", "seen-records").code == 0
    assert mella("data", "check", "ling-records", "--disjoint-from", "seen-records").code == 1
    again = mella("data", "compose", "out", *sources, "size=200", "--overwrite", "--json").json
    assert again["records"] == 200
    refused = mella("data", "compose", "more", *sources, "sizes=200")
    assert refused.code == 1
    assert "unknown key 'sizes'. Did you mean 'size'?" in refused.err
