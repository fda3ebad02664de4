"""Training-free scoring on the test bed: language centring and hubness corrections on top of fitted Procrustes adapters.

English only: the adapter saw 1,896 English texts; corrections have their published settings, since no picture may choose them.
Paired: settings are chosen on the 80 validation pictures, each direction by itself, by mean reciprocal rank. The test split
chooses nothing; where it serves as bank of reference queries (transductive), the row says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from common import MODELS, REPOSITORY, RESULTS, hashes, markdown, percent, require, save_result, write_table
from rescored import Array, ByLanguage, Side, rescored
from test_bed import BED, WORK, material

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.comparison import ComparisonRow, compare
from mella_retrieval.benchmarks.evaluation import EvaluationSet, rank_system
from mella_retrieval.benchmarks.material import caption_vectors, gallery_vectors, load_evaluation
from mella_retrieval.benchmarks.metrics import DIRECTIONS, MRR, summarise
from mella_retrieval.benchmarks.protocols import get_protocol
from mella_retrieval.benchmarks.results import Result, SystemInfo
from mella_retrieval.benchmarks.run import Setup, System, run_task
from mella_retrieval.benchmarks.statistics import holm
from mella_retrieval.benchmarks.tasks import load_task
from mella_retrieval.embeddings.centring import LanguageMeans, language_means
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.scoring.methods import fit_scoring

RECIPES = ("adapters/procrustes.yaml", "benchmarks/studies/test-bed.yaml", "benchmarks/studies/rescored.py")
METRICS = ("R@1", "R@10")
GRID: dict[str, dict[str, tuple[float, ...]]] = {
    "nnn": {"weight": (0.25, 0.5, 0.75, 1.0), "neighbours": (16, 32, 64, 128, 256)},
    "csls": {"neighbours": (5, 10, 20, 50)},
    "inverted-softmax": {"sharpness": (5.0, 10.0, 20.0, 40.0, 80.0)},
    "qb-norm": {"sharpness": (5.0, 10.0, 20.0, 40.0, 80.0)},
}
ENGLISH, PAIRED = "English only", "paired"
PLAIN, CENTRING, TOGETHER = "plain", "language centring", "language centring and nnn"
Options = Mapping[str, Any]
Sets = Mapping[str, EmbeddingSet]


@dataclass(frozen=True)
class Base:
    """An adapter to be corrected, with everything that may be looked at in its setting.

    Attributes:
        setting: `ENGLISH` or `PAIRED`.
        name: of the adapter.
        adapter: fitted.
        sets: the test bed's embedding sets.
        means: of the training captions of each language.
        shifted: whether texts are centred by language first.
    """

    setting: str
    name: str
    adapter: Adapter
    sets: Sets
    means: LanguageMeans
    shifted: bool = False

    def texts(self, vectors: Array, langs: list[str]) -> Array:
        """Text vectors in the shared space, centred by language before the adapter where that is asked for."""
        if self.shifted:
            to = "en" if self.setting == ENGLISH else self.means.languages
            vectors = self.means.apply(vectors, langs, self.sets["captions"].tower, to).vectors
        return self.adapter.map_text(vectors)

    def side(self, evaluation: EvaluationSet) -> Side:
        """The vectors of a test set."""
        found = caption_vectors(self.sets["captions"], evaluation)
        texts = {code: self.texts(np.asarray(rows), [code] * len(rows)) for code, rows in found.items()}
        return Side(texts, self.adapter.map_image(gallery_vectors(self.sets["images"], evaluation)))

    @cached_property
    def text_banks(self) -> dict[str, Mapping[str, Array]]:
        """Reference queries of text -> image by language: English sentences, or training captions of one or all languages."""
        if self.setting == ENGLISH:
            chosen = self.sets["anchors"].select({"kind": "sentence"})
            bank = self.texts(chosen.vectors, ["en"] * len(chosen))
            return {"English sentences": dict.fromkeys(self.means.languages, bank)}
        own = {}
        for code in self.means.languages:
            chosen = self.sets["captions"].select({"split": "train", "lang": code})
            own[code] = self.texts(chosen.vectors, [code] * len(chosen))
        return {"train captions of the language": own, "train captions": dict.fromkeys(own, np.concatenate(list(own.values())))}

    @cached_property
    def image_bank(self) -> Array:
        """Reference queries of image -> text: training pictures, or CLIP's text vectors of the English sentences as stand-in."""
        if self.setting == PAIRED:
            return self.adapter.map_image(self.sets["images"].select({"split": "train"}).vectors)
        clip = self.sets["clip"].select({"kind": "sentence"}).vectors
        return clip - clip.mean(0) if self.adapter.projects_images else clip  # each side centred by its own mean


def main() -> None:
    """Measure everything and renew the table in adapters/README.md."""
    require(BED, MODELS / "minimulti")
    captions, sets = material()
    task = load_task(str(REPOSITORY / "benchmarks" / "studies" / "test-bed.yaml"))
    validation = task.model_copy(update={"where": {"split": "validation"}, "images": 80})
    chosen_on, evaluation = load_evaluation(validation, captions), load_evaluation(task, captions)
    systems = [system for base in bases(sets) for system in variants(base, evaluation, chosen_on)]
    systems[0] = replace(systems[0], info=systems[0].info.model_copy(update={"role": "system"}))
    made_of = hashes(Path(__file__), sorted(path for path in BED.iterdir() if path.is_file()), RECIPES)
    (result,) = run_task(Setup(task, evaluation, checksum=captions.fingerprint), systems, ["all-hit"])
    save_result(result, RESULTS / "scoring", made_of, ["python benchmarks/studies/scoring.py"])
    write_table(REPOSITORY / "adapters" / "README.md", "scoring", table(result))


def bases(sets: Sets) -> Iterator[Base]:
    """The adapters that corrections are put on."""
    means = language_means(sets["captions"].select({"split": "train"}))
    text, images = str(sets["captions"].folder), str(sets["images"].folder)
    english = {"english_text": str(sets["anchors"].folder), "clip_text": str(sets["clip"].folder)}
    for setting, name, sources in (
        (ENGLISH, "index untouched", Sources(**english)),
        (ENGLISH, "gallery centred", Sources(**english, image_vectors=images)),
        (PAIRED, "gallery centred", Sources(pairs=text, image_vectors=images)),
    ):
        method, config = load_method("procrustes", ["gallery=centred"] if name == "gallery centred" else [])
        folder = WORK / "adapters" / f"scoring-{setting}-{name}".replace(" ", "-")
        yield Base(setting, name, train(method, config, sources, folder, overwrite=True), sets, means)


def variants(base: Base, evaluation: EvaluationSet, chosen_on: EvaluationSet) -> Iterator[System]:
    """All rows of one adapter."""
    shifted = replace(base, shifted=True)
    yield _plain(base, PLAIN, evaluation, "")
    yield _plain(shifted, CENTRING, evaluation, "means of the training captions of each language")
    for name in GRID:
        yield _corrected(base, name, name, False, evaluation, chosen_on)
    yield _corrected(shifted, TOGETHER, "nnn", False, evaluation, chosen_on)
    for name in GRID:
        yield _corrected(base, f"{name}, transductive", name, True, evaluation, chosen_on)


def _plain(base: Base, label: str, evaluation: EvaluationSet, description: str) -> System:
    side = base.side(evaluation)
    info = SystemInfo(
        name=f"{base.setting}, {base.name}: {label}",
        role="baseline",
        description=description,
        adapter={"method": base.adapter.config.method, "fingerprint": base.adapter.fingerprint},
    )
    return System(info, side.texts, side.images)


def _corrected(
    base: Base, label: str, name: str, transductive: bool, evaluation: EvaluationSet, chosen_on: EvaluationSet
) -> System:
    """One correction, with published options (English only) or those chosen on the validation pictures (paired)."""
    if base.setting == ENGLISH:
        best: tuple[Choice, Choice] = (Choice(next(iter(base.text_banks)), {}), Choice("CLIP texts", {}))
    else:
        best = _choose(base, name, transductive, chosen_on)
    if transductive:
        best = (replace(best[0], bank="test captions"), replace(best[1], bank="test pictures"))
    elif base.setting == PAIRED:
        best = (best[0], replace(best[1], bank="train pictures"))
    plain = _plain(base, label, evaluation, f"T->I {best[0]}; I->T {best[1]}")
    return rescored(
        plain, Side(plain.texts, plain.images), *_fits(base, name, Side(plain.texts, plain.images), best, transductive)
    )


@dataclass(frozen=True)
class Choice:
    """A bank by name and the options of the method."""

    bank: str
    options: Options

    def __str__(self) -> str:
        options = ", ".join(f"{key} {value:g}" for key, value in self.options.items())
        return f"{self.bank}, {options or 'published settings'}"


def _fits(base: Base, name: str, side: Side, best: tuple[Choice, Choice], transductive: bool) -> tuple[ByLanguage, ByLanguage]:
    """The corrections of both directions, by language."""
    to_images, to_texts = {}, {}
    for code, texts in side.texts.items():
        bank = texts if transductive else base.text_banks[best[0].bank][code]
        to_images[code] = fit_scoring(name, side.images, Bank(bank, transductive=transductive), **best[0].options)
        bank = side.images if transductive else base.image_bank
        to_texts[code] = fit_scoring(name, texts, Bank(bank, transductive=transductive), **best[1].options)
    return to_images, to_texts


def _choose(base: Base, name: str, transductive: bool, chosen_on: EvaluationSet) -> tuple[Choice, Choice]:
    """Bank and options with the best mean reciprocal rank on the validation pictures, each direction by itself."""
    side = base.side(chosen_on)
    plain = _plain(base, "", chosen_on, "")
    least = [len(rows) for rows in side.texts.values()], [len(side.images)]
    if not transductive:
        least = [len(bank) for banks in base.text_banks.values() for bank in banks.values()], [len(base.image_bank)]
    found: tuple[dict[float, Choice], dict[float, Choice]] = ({}, {})
    for bank in ["test captions"] if transductive else base.text_banks:
        for values in product(*GRID[name].values()):
            options = dict(zip(GRID[name], values, strict=True))
            if options.get("neighbours", 1) > min(*least[0], *least[1]):
                continue
            choice = Choice(bank, options)
            system = rescored(plain, side, *_fits(base, name, side, (choice, choice), transductive))
            for place, value in enumerate(_reciprocal_ranks(system, chosen_on)):
                found[place].setdefault(value, choice)
    return found[0][max(found[0])], found[1][max(found[1])]


def _reciprocal_ranks(system: System, evaluation: EvaluationSet) -> tuple[float, float]:
    cells = rank_system("", system.texts, system.images, evaluation, get_protocol("all-hit"), reverse=system.reverse)
    found = [np.mean([summarise(cell.rank)[MRR] for cell in cells if cell.direction == way]) for way in DIRECTIONS]
    return float(found[0]), float(found[1])


Found = dict[tuple[str, str, str], ComparisonRow]


def table(result: Result) -> list[str]:
    """One row per correction: mean recalls with intervals, and the difference to the plain row of the same adapter."""
    infos = [system for system in result.record.systems if system.role not in ("shuffled", "chance")]
    found: Found = {}
    for info in infos:
        base = info.name.partition(": ")[0]
        if info.name != f"{base}: {PLAIN}":
            compared = compare(result, result, first_system=f"{base}: {PLAIN}", second_system=info.name, metrics=METRICS)
            found |= {(info.name, row.direction, row.metric): row for row in compared.rows if row.language == "mean"}
    significant = _significant(found)
    rows = []
    for info in infos:
        base, _, label = info.name.partition(": ")
        cells = []
        for way, metric in product(DIRECTIONS, METRICS):
            text = percent(result, info.name, "mean", way, metric, interval=True)
            if (key := (info.name, way, metric)) in found:
                row = found[key]
                text += f"; {100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]{significant(key)}"
            cells.append(text)
        rows.append([base, label, *cells, info.description or "-"])
    head = ["adapter", "scoring", *(f"{way} {metric}" for way in ("T->I", "I->T") for metric in METRICS), "bank and settings"]
    return markdown(head, rows)


def _significant(found: Found) -> Callable[[tuple[str, str, str]], str]:
    """An asterisk where the difference stands after Holm's correction over the whole table."""
    adjusted = dict(zip(found, holm([row.p for row in found.values()]), strict=True))
    return lambda key: " *" if adjusted[key] < 0.05 else ""


if __name__ == "__main__":
    main()
