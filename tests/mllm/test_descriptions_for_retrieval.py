"""From pictures to a benchmark through what a multimodal model says of them: the commands of docs/leccr.md, nothing between."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mella_retrieval.benchmarks import reporting
from mella_retrieval.benchmarks.metrics import TEXT_TO_IMAGE
from mella_retrieval.benchmarks.results import Result as Measured
from mella_retrieval.cli.app import app
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.pocket import generate_world
from mella_retrieval.pocket.towers import IMAGE_TOWER, TEXT_TOWER

PAGE = Path(__file__).parents[2] / "docs" / "leccr.md"
SCENES = 36
CHECKS = ("empty", "encoding", "refusal", "echo", "repetition", "script", "ending", "language")
UNCHECKED = [f"checks.{name}=null" for name in CHECKS]  # what a random model says passes none


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def succeed(*arguments: object) -> str:
    ran = run(*arguments)
    assert ran.exit_code == 0, f"{arguments}\n{ran.output}\n{ran.exception}"
    return ran.output


def commands(heading: str) -> list[list[str]]:
    """The commands below a heading of the page, in words, without the program's name."""
    part = PAGE.read_text(encoding="utf-8").split(heading)[1]
    return [shlex.split(line)[1:] for line in part.split("```sh\n")[1].split("```")[0].replace(" \\\n", " ").splitlines()]


@pytest.fixture
def small_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of a small pocket world, in the working folder; benchmarks draw no figures, which have tests of their own."""
    monkeypatch.setattr(reporting, "write_report", lambda *given, **more: None)
    generate_world(tmp_path / "world", seed=3, scenes=SCENES)
    monkeypatch.chdir(tmp_path)
    succeed("data", "import", "world", "records")


@pytest.mark.usefixtures("small_world")
def test_the_commands_of_the_page_from_a_models_descriptions_to_the_benchmark(qwen: Path):
    own = {
        "transformers:Qwen/Qwen2-VL-7B-Instruct?max_new_tokens=128": f"transformers:{qwen}?max_new_tokens=6&temperature=1",
        "open_clip:ViT-B-32/datacomp_xl_s13b_b90k": IMAGE_TOWER,
        "sentence-transformers:sentence-transformers/LaBSE": TEXT_TOWER,
    }
    more = {"describe": UNCHECKED, "train": ["epochs=1", "width=16"], "benchmark": ["-l", "th"]}
    for words in commands("## Descriptions written by a model"):
        succeed(*(own.get(word, word) for word in words), *more.get(words[0], ()))
    measured = Measured.load(Path("results"))
    assert measured.record.systems[0].name == "leccr" and measured.record.data.languages == ("th",)
    assert measured.score("leccr", "th", TEXT_TO_IMAGE, "R@1").value is not None
    written = Records.load("described").table(["image_id", "captioner", "view", "split"])
    assert set(written["captioner"].to_pylist()) == {f"transformers:{qwen.name}?max_new_tokens=6&temperature=1"}
    assert len(set(written["image_id"].to_pylist())) > SCENES / 2  # views that say the same are one description
    used = EmbeddingSet.load(Path("results.work/enriched"))
    assert set(used.column("split")) == {"test"} and sum(used.column("descriptions")) > 0

    # A model that repeats a caption of the test set: its descriptions would be the queries.
    succeed("describe", "records", "captions", "--lang", "hu", "-c", "records:records?source=ling", *UNCHECKED)
    succeed("embed", "texts", "captions", "repeated", "--tokens", "-t", TEXT_TOWER)
    measure = ("benchmark", "records", "--texts", "texts", "--adapter", "adapter", "--descriptions", "repeated")
    refused = run(*measure, "-l", "hu", "-o", "refused")
    assert refused.exit_code == 1 and "every description of these pictures" in str(refused.exception)
    missing = run(*measure[:-2], "-l", "th", "-o", "missing")
    assert missing.exit_code == 1 and "give the descriptions' vectors with --descriptions" in str(missing.exception)


@pytest.mark.usefixtures("small_world")
def test_a_multimodal_model_as_both_towers_is_measured_as_it_is(internvl: Path):
    spec = f"mllm:{internvl}?max_patches=1&pool=mean"
    where = ["--where", "split=test", "--where", "lang=hu"]
    succeed("embed", "images", "records", "images", "-t", spec, "--where", "split=test")
    succeed("embed", "texts", "records", "texts", "-t", spec, *where)
    succeed("benchmark", "records", "--images", "images", "--texts", "texts", "-l", "hu", "-m", spec)
    assert Measured.load(Path("results")).record.systems[0].name.startswith("mllm:")
    assert EmbeddingSet.load(Path("images")).tower.preparation["max_patches"] == 1
