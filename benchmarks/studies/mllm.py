"""MLLMs fine-tuned on the pocket world: what training does to the pictures it saw, to others, and without sight.

A test of the mechanism, not of any model: a Qwen2-VL and an InternVL of random weights and less than two million parameters are
fine-tuned on texts in Hungarian and Thai of 150 drawn pictures (`mella sft`), fully (language model only, vision tower and
connector frozen as they were drawn), by LoRA, and fully without seeing the pictures. Each is then asked (`mella score`) about
pictures of the training and about 50 others. What a model says about its training pictures may be learnt by heart; the run
without sight shows how much can be guessed from the question alone, chance what the same answers score when they are handed to
other pictures.

    python benchmarks/studies/mllm.py            # about ten minutes on two cores
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import REPOSITORY, RESULTS, RUNS, hashes, markdown, save_json, write_table

from mella_retrieval.artifacts import Json, sha256_file
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.ling.captioners import load_captioner
from mella_retrieval.data.records import Records
from mella_retrieval.mllm.captioners import captioners
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.score.recipe import ScoreRecipe
from mella_retrieval.mllm.score.results import ALL, ScoreReport
from mella_retrieval.mllm.score.scoring import Arm, score
from mella_retrieval.mllm.sft.recipe import SftRecipe
from mella_retrieval.mllm.sft.report import SftReport
from mella_retrieval.mllm.sft.tuning import fine_tune
from mella_retrieval.pocket.models import tiny_internvl, tiny_qwen2_vl
from mella_retrieval.pocket.world import generate_world
from mella_retrieval.recipes import load_recipe

WORK = RUNS / "mllm"
LANGUAGES = ("hu", "th")
SCENES, SEED = 210, 7
RECIPES = tuple(f"mella_retrieval/mllm/recipes/{name}.yaml" for name in ("small", "score", "prompts"))
COMMAND = "python benchmarks/studies/mllm.py"

MODELS = {"Qwen2-VL": tiny_qwen2_vl, "InternVL": tiny_internvl}
SIZE = {"width": 128, "layers": 2}

# Chosen by how much is learnt of the training texts of another pocket world (seed 5); nothing was chosen by what is reported.
TRAINING = ("epochs=45", "batch=8", "per_device=8", "learning_rate=2e-3", "warmup=0.05", "precision=fp32", "log_every=10")
ARMS: Mapping[str, tuple[str, ...]] = {
    "full": ("method=full",),
    "lora": ("method=lora", "save=merged", "lora.dropout=0"),
    "without sight": ("method=full", "images=false"),
}
BASE = "untrained"
SEEN, UNSEEN = "train", "test"

# Keyword accuracy is defined for alt-texts; here it is taken of descriptions, too.
SCORING = ("metrics.ling=[keywords, keywords_lenient, chrf, language, repetition]", "signs=null", "batch=64")
COLUMNS = (("ling", "keywords"), ("know", "keywords"), ("ling", "chrf"), ("ling", "language"))


@dataclass(frozen=True)
class Trained:
    """A fine-tuned model. Attributes: folder: of it. losses: the first and the last that the log has. report: of the run."""

    folder: Path
    losses: tuple[float, float]
    report: SftReport


def main() -> None:
    """Train, ask, score; renew the results and the tables in benchmarks/README.md."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    records = material(WORK)
    found = {name: measure(name, records) for name in MODELS}
    made_of = hashes(Path(__file__), [], RECIPES)
    save_json(RESULTS / "mllm" / "result.json", {"command": COMMAND, "hashes": made_of, "models": dict(found)})
    write_table(REPOSITORY / "benchmarks" / "README.md", "mllm", list(tables(found)))


def material(work: Path, scenes: int = SCENES) -> Records:
    """Drawn pictures with descriptions and alt-texts; the splits are the pocket world's."""
    generate_world(work / "world", SEED, scenes, overwrite=True)
    import_records(work / "world", work / "records", "pocket", overwrite=True)
    return Records.load(work / "records")


def untrained(name: str, records: Records, folder: Path, langs: Sequence[str] = LANGUAGES) -> Path:
    """The random model; its tokenizer is made of the training texts and the questions."""
    texts = records.texts(["text"], {"lang": list(langs), "split": SEEN})["text"].to_pylist()
    prompts = Prompts.load()
    asked = [template for lang in langs for source in ("know", "ling") for template in prompts.of(lang, source)]
    return MODELS[name](folder, [*texts, *asked], **SIZE)


def measure(name: str, records: Records) -> Json:
    """Everything about one model."""
    work = WORK / name
    shutil.rmtree(work, ignore_errors=True)  # an unfinished training with other settings would be refused
    base = untrained(name, records, work / "untrained")
    trained = {arm: train(base, records, work / arm.replace(" ", "-"), overrides) for arm, overrides in ARMS.items()}
    folders = {BASE: base, **{arm: one.folder for arm, one in trained.items()}}
    scores = {split: ask(folders, records, work / f"scores-{split}", split) for split in (SEEN, UNSEEN)}
    return {
        "parameters": next(iter(trained.values())).report.parameters,
        "training": {arm: _training(one) for arm, one in trained.items()},
        "weights": {arm: sha256_file(folder / "model.safetensors") for arm, folder in folders.items()},
        "scores": {split: _scores(report) for split, report in scores.items()},
    }


def train(base: Path, records: Records, out: Path, overrides: tuple[str, ...]) -> Trained:
    """Fine-tune; the pocket world's validation split is looked at meanwhile."""
    recipe = load_recipe(SftRecipe, "mllm", "small", (*TRAINING, *overrides))
    report = fine_tune(str(base), records, out, recipe, where={"lang": list(LANGUAGES)}, device="cpu", overwrite=True)
    losses = report.losses()
    return Trained(out, (losses[0], losses[-1]), report)


def ask(folders: Mapping[str, Path], records: Records, out: Path, split: str) -> ScoreReport:
    """Ask every model the same about the pictures of a split; who was trained without sight is asked without."""
    recipe = load_recipe(ScoreRecipe, "mllm", "score", SCORING)
    arms: dict[str, Arm] = {}
    for arm, folder in folders.items():
        options = "?max_new_tokens=100" + ("&images=false" if arm == "without sight" else "")
        arms[arm.replace(" ", "-")] = load_captioner(f"transformers:{folder}{options}", captioners("cpu", "fp32"))
    return score(records, out, recipe, arms, where={"lang": list(LANGUAGES), "split": split}, overwrite=True)


def _training(one: Trained) -> Json:
    report = one.report
    return {
        "records": report.prepared.trained_on,
        "steps": report.steps,
        "trained_parameters": report.trained_parameters,
        "loss": {"first": one.losses[0], "last": one.losses[1], "fall": 1 - one.losses[1] / one.losses[0]},
        "held_out_loss": report.losses("eval_loss"),
    }


def _scores(report: ScoreReport) -> list[Json]:
    return [
        {
            "text": row.kind,
            "metric": row.metric,
            "lang": row.lang,
            "pictures": row.pictures,
            "models": {arm: {**vars(cell.score), "chance": cell.chance} for arm, cell in row.cells.items()},
        }
        for row in report.rows
    ]


def tables(found: Mapping[str, Json]) -> Iterator[str]:
    """Losses, then scores on pictures of the training and on others."""
    head = ["model", "trained", "trained parameters", "steps", "loss, first and last", "fall", "held out, first and last"]
    rows = []
    for name, one in found.items():
        for arm, run in one["training"].items():
            loss, held_out = run["loss"], run["held_out_loss"]
            rows.append(
                [
                    *(f"{name}, {one['parameters']:,}", arm, f"{run['trained_parameters']:,}", f"{run['steps']:,}"),
                    *(f"{loss['first']:.2f} {loss['last']:.3f}", f"{loss['fall']:.1%}", f"{held_out[0]:.2f} {held_out[-1]:.2f}"),
                ]
            )
    yield from markdown(head, rows)
    for split, title in ((SEEN, "pictures of the training"), (UNSEEN, "other pictures")):
        yield from ("", *markdown([title, "trained", *(f"{metric}, {kind}" for kind, metric in COLUMNS)], _lines(found, split)))


def _lines(found: Mapping[str, Json], split: str) -> Iterator[list[str]]:
    for name, one in found.items():
        for arm in (BASE, *ARMS):
            yield [name, arm, *(_cell(one["scores"][split], kind, metric, arm.replace(" ", "-")) for kind, metric in COLUMNS)]


def _cell(rows: list[Json], kind: str, metric: str, arm: str) -> str:
    row = next((row for row in rows if (row["text"], row["metric"], row["lang"]) == (kind, metric, ALL)), None)
    if row is None:
        return "-"
    cell: Any = row["models"][arm]
    text = f"{cell['value']:.1f}"
    if cell["low"] is not None:
        text += f" [{cell['low']:.1f}, {cell['high']:.1f}]"
    return text + (f" (chance {cell['chance']:.1f})" if cell["chance"] is not None else "")


if __name__ == "__main__":
    main()
