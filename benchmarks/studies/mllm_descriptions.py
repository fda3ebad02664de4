"""What an MLLM gives to retrieval before and after fine-tuning: as the source of LECCR's descriptions, and as an image tower.

    python benchmarks/studies/mllm_descriptions.py
    python benchmarks/studies/mllm_descriptions.py --records RECORDS --base FOLDER --tuned FOLDER --lang hu

RECORDS are pocket-world records with the column `split`; the models are an MLLM and the same after `mella sft` on the `train`
split. Without them a pocket world of 450 scenes is drawn, and a tiny Qwen2-VL of random weights is trained, vision tower and all,
on its training texts in the language of the descriptions. Both describe every picture in one language, asked with a prompt of
the fine-tuning, greedily. The same head is trained on each model's descriptions, on the generator's own (an upper bound: what a
perfect describer says), and on none. Captions of the test split are asked in all other languages, so that no text is description
and query. The checks of `mella describe` are off for all alike: a model's nonsense counts as its description. Beside it a ridge
joins the text tower to each model's pooled hidden state (`mllm:`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from common import REPOSITORY, RESULTS, RUNS, hashes, markdown, percent, save_result, write_table
from mllm import material, untrained

from mella_retrieval import languages
from mella_retrieval.adapters.leccr.enrich import enrich
from mella_retrieval.adapters.leccr.scenes import text_key
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.comparison import compare
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.material import load_evaluation
from mella_retrieval.benchmarks.metrics import DIRECTIONS
from mella_retrieval.benchmarks.own_task import own_task
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.run import Setup, System, absent_english, adapter_system, run_task
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.ling.captioners import load_captioner
from mella_retrieval.data.ling.checks import CHECKS
from mella_retrieval.data.ling.job import Models
from mella_retrieval.data.ling.making import make_ling, usual_tools
from mella_retrieval.data.ling.recipe import LingRecipe
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images, embed_texts
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.settings import EmbedSettings
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.errors import DataError
from mella_retrieval.mllm.captioners import captioners
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.sft.recipe import SftRecipe
from mella_retrieval.mllm.sft.tuning import fine_tune
from mella_retrieval.pocket.towers import IMAGE_TOWER, TEXT_TOWER
from mella_retrieval.recipes import load_recipe

BASE, TUNED, OWN, NONE = "base MLLM", "fine-tuned MLLM", "the generator's own", "none"
POOLED = "ridge, pictures by"
METRICS = ("R@1", "R@10")
RECIPES = (
    "adapters/leccr.yaml",
    "adapters/ridge.yaml",
    *(f"mella_retrieval/mllm/recipes/{name}.yaml" for name in ("small", "prompts")),
)
SCENES = 450
TRAINING = (
    *("method=full", "frozen=[]", "epochs=20", "batch=8", "per_device=8", "learning_rate=2e-3", "warmup=0.05"),
    *("precision=fp32", "evaluation.every=200"),
)


@dataclass(frozen=True)
class Study:
    """What is asked for, and the vectors that all rows share.

    Attributes:
        work: folder of everything that is made.
        lang: of descriptions.
        tokens: new tokens of a description.
        overrides: of the leccr recipe.
    """

    records: Records
    work: Path
    lang: str
    tokens: int
    overrides: tuple[str, ...]

    @property
    def task(self) -> Task:
        """The test split, asked in every language but that of the descriptions."""
        task = own_task(self.records, "pocket world, described by an MLLM")
        asked = tuple(code for code in task.languages if code != self.lang)
        groups = {name: members for name, members in task.groups.items() if set(members) <= set(asked)}
        return task.model_copy(update={"languages": asked, "groups": groups, "breakdown": ()})


def main() -> None:
    """Describe, embed, train, measure; keep the result and print, or renew, its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=Path, help="pocket-world records with the column split")
    parser.add_argument("--base", help="the model before fine-tuning")
    parser.add_argument("--tuned", help="the model after fine-tuning; FOLDER?base=FOLDER for an adapter of PEFT")
    parser.add_argument("--lang", default="hu", help="language of descriptions")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of a description")
    parser.add_argument("--work", type=Path, default=RUNS / "mllm-descriptions", help="folder of everything that is made")
    parser.add_argument("--out", type=Path, default=RESULTS / "mllm-descriptions", help="folder of the result")
    parser.add_argument("--page", type=Path, default=REPOSITORY / "benchmarks" / "README.md", help="page with the table's place")
    parser.add_argument("overrides", nargs="*", help="key=value of the leccr recipe")
    options = parser.parse_intermixed_args()
    torch.set_num_threads(2)
    lang = languages.normalise(options.lang)
    given = [options.records, options.base, options.tuned]
    if not all(given) and any(given):
        parser.error("--records, --base and --tuned go together")
    records, base, tuned = given if all(given) else made(options.work / "models", lang)
    study = Study(Records.load(records), options.work, lang, options.tokens, tuple(options.overrides))
    result = measure(study, {BASE: str(base), TUNED: str(tuned)})
    command = " ".join(["python", "benchmarks/studies/mllm_descriptions.py", *sys.argv[1:]])
    save_result(result, options.out, hashes(Path(__file__), [], RECIPES), [command])
    write_table(options.page, "mllm descriptions", table(result))


def made(work: Path, lang: str) -> tuple[Path, Path, Path]:
    """Records, a tiny MLLM of random weights, and the same after fine-tuning."""
    shutil.rmtree(work, ignore_errors=True)  # an unfinished training with other settings would be refused
    records = material(work, SCENES)
    base = untrained("Qwen2-VL", records, work / "base", (lang,))
    recipe = load_recipe(SftRecipe, "mllm", "small", TRAINING)
    fine_tune(str(base), records, work / "tuned", recipe, where={"lang": lang}, device="cpu", overwrite=True)
    return records.folder, base, work / "tuned"


def measure(study: Study, models: dict[str, str]) -> Result:
    """Every row of the table."""
    records, evaluation = study.records, load_evaluation(study.task, study.records)
    reader = load_text_tower(TEXT_TOWER, device="cpu")
    texts = embed_texts(records, reader, study.work / "texts")
    with_tokens = EmbedSettings(tokens=True, dtype="float16")
    pictures = embed_images(records, load_image_tower(IMAGE_TOWER, device="cpu"), study.work / "images", with_tokens)
    sources = {OWN: f"records:{records.folder}?source=ling"} | {name: f"transformers:{model}" for name, model in models.items()}
    said = {name: describe(study, name, spec) for name, spec in sources.items()}
    vectors = {
        name: embed_texts(written, reader, study.work / folder(name) / "described", EmbedSettings(tokens=True))
        for name, written in said.items()
        if written is not None
    }
    systems = [leccr(study, NONE, pictures, texts, vectors[OWN], evaluation, "all hidden", hide=True)]
    for name, written in said.items():
        silent = written is None  # nothing to read: the same head with everything hidden
        found = "no answer has a letter" if written is None else quality(study, written)
        shown = vectors[OWN if silent else name]
        systems.append(leccr(study, name, pictures, texts, shown, evaluation, found, hide=silent))
    for name, spec in {"the pocket tower": IMAGE_TOWER, **{name: f"mllm:{model}" for name, model in models.items()}}.items():
        systems.append(pooled(study, f"{POOLED} {name}", spec, texts, evaluation))
    systems.sort(key=lambda system: system.info.name != TUNED)  # the system first, the others in their order
    systems.append(absent_english(evaluation, "the question is where descriptions come from"))
    (result,) = run_task(Setup(study.task, evaluation, checksum=records.fingerprint), systems, ["all-hit"])
    return result


def describe(study: Study, name: str, spec: str) -> Records | None:
    """Every picture described by a source, in the study's language, as by `mella describe`; None where no answer has words."""
    out = study.work / folder(name) / "descriptions"
    if not (out / "manifest.json").is_file():
        asked = f"{spec}{'&' if '?' in spec else '?'}max_new_tokens={study.tokens}" if name in (BASE, TUNED) else spec
        prompt = Prompts.load().of(study.lang, "ling")[0]
        unchecked = [f"checks.{check}=null" for check in CHECKS if check != "empty"]
        recipe = load_recipe(LingRecipe, "mllm", "describe", [f"describe.lang={study.lang}", *unchecked])
        prompts = {**recipe.describe.prompts, study.lang: (prompt,)}
        recipe = recipe.model_copy(update={"describe": recipe.describe.model_copy(update={"prompts": prompts})})
        model = load_captioner(asked, captioners())
        try:
            make_ling(study.records, out, recipe, Models(model, None, usual_tools(recipe)))
        except DataError as error:
            print(f"{name}: {error}")
            return None
    return Records.load(out)


def quality(study: Study, described: Records) -> str:
    """Of the test pictures: how many are described, how many descriptions differ, how many say what the generator says."""
    wanted = {"split": "test", "lang": study.lang, "source": "ling"}
    own: dict[str, set[str]] = {}
    for image_id, text in _pairs(study.records, wanted):
        own.setdefault(image_id, set()).add(text_key(text))
    said = [(image_id, text_key(text)) for image_id, text in _pairs(described, {"split": "test"})]
    right = sum(key in own.get(image_id, ()) for image_id, key in said)
    pictures = len({image_id for image_id, _ in said})
    return f"{pictures} of {len(own)} described, {len({key for _, key in said})} differ, {right} are right to the letter"


def _pairs(records: Records, where: dict[str, str]) -> list[tuple[str, str]]:
    found = records.table(["image_id", "text"], where)
    return list(zip(found["image_id"].to_pylist(), found["text"].to_pylist(), strict=True))


def leccr(
    study: Study,
    name: str,
    pictures: EmbeddingSet,
    texts: EmbeddingSet,
    said: EmbeddingSet,
    evaluation: EvaluationSet,
    description: str,
    *,
    hide: bool = False,
) -> System:
    """The head trained with some descriptions, or with all of them hidden, and its gallery."""
    place = study.work / folder(name)
    method, config = load_method("leccr", [*study.overrides, *(["hidden=1"] if hide else [])])
    sources = Sources(pairs=str(texts.folder), image_vectors=str(pictures.folder), descriptions=str(said.folder))
    adapter = train(method, config, sources, place / "adapter", overwrite=True)
    gallery = enrich(adapter, pictures, said, place / "gallery", hide=hide)
    role = "system" if name == TUNED else "baseline"
    return adapter_system(name, adapter, gallery, texts, evaluation, role=role, description=description)


def pooled(study: Study, name: str, spec: str, texts: EmbeddingSet, evaluation: EvaluationSet) -> System:
    """A ridge into the pooled vectors of an image tower, without descriptions."""
    place = study.work / folder(name)
    images = embed_images(study.records, load_image_tower(spec, device="cpu"), place / "images")
    method, config = load_method("ridge", ["gallery=centred"])
    adapter = train(
        method, config, Sources(pairs=str(texts.folder), image_vectors=str(images.folder)), place / "adapter", overwrite=True
    )
    return adapter_system(name, adapter, images, texts, evaluation, role="baseline", description="no description")


def folder(name: str) -> str:
    """A row's name as a folder name."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def table(result: Result) -> list[str]:
    """Mean R@1 and R@10 of every row in both directions, and how far each is from the fine-tuned model's, paired."""
    rows = []
    for system in result.record.systems:
        if system.role == "english":
            continue
        cells = [percent(result, system.name, "mean", way, metric, interval=True) for metric in METRICS for way in DIRECTIONS]
        rows.append(
            [
                system.name,
                system.description if system.role in ("system", "baseline") else "",
                *cells,
                _behind(result, system.name),
            ]
        )
    head = ["descriptions by", "on test pictures", *(f"{way} {metric} [95 %]" for metric in METRICS for way in ("T->I", "I->T"))]
    return markdown([*head, "fine-tuned minus this, T->I R@1"], rows)


def _behind(result: Result, other: str) -> str:
    roles = {system.name: system.role for system in result.record.systems}
    if roles[other] != "baseline":
        return ""
    found = compare(result, result, first_system=other, second_system=TUNED, metrics=["R@1"]).rows
    (cell,) = (row for row in found if (row.language, row.direction) == ("mean", DIRECTIONS[0]))
    return f"{100 * cell.difference:+.1f} [{100 * cell.low:+.1f}, {100 * cell.high:+.1f}]"


if __name__ == "__main__":
    main()
