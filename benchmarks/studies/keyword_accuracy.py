"""Keyword accuracy: what people reach against one another, what chance reaches, what references in a wrong language do to scores.

Captions of people stand for answers of models, and are scored as `mella score` does: means over pictures with intervals, and the
chance of the same answers handed to other pictures (three shuffles).

- Flickr8k: one caption of each photo, drawn, is the answer, those of the other people are the references. Drawn, since many of
  the English captions are stored by alphabet: neighbours begin alike.
- XM3600: each caption is reference and answer, so that chance is that of two captions of different pictures.
- XM3600's Hungarian captions as answers, scored as Hungarian against the Czech captions of the same pictures.

    python benchmarks/studies/keyword_accuracy.py
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
from common import DATA, REPOSITORY, RESULTS, hashes, markdown, require, save_json, write_table

from mella_retrieval.mllm.score.answers import ArmAnswers, Given
from mella_retrieval.mllm.score.metrics import METRICS, Tools
from mella_retrieval.mllm.score.questions import Pictured, Questions, QuestionSet
from mella_retrieval.mllm.score.recipe import ScoreRecipe
from mella_retrieval.mllm.score.results import Cell, ScoreReport
from mella_retrieval.mllm.score.scoring import score_answers
from mella_retrieval.recipes import load_recipe

FLICKR = DATA / "flickr8k-clip" / "captions.parquet"
XM3600 = DATA / "xm3600" / "captions_first.jsonl.gz"
RECIPES = ("mella_retrieval/mllm/recipes/score.yaml", "mella_retrieval/mllm/score/stop_words.yaml")
COMMAND = "python benchmarks/studies/keyword_accuracy.py"

SEVERAL = ("en", "ar", "zh")  # languages in which Flickr8k has several captions of a photo
AMONG, PICTURES = ("ar", "cs", "en", "hu", "ko", "ru", "th", "vi", "zh"), 1_500
SAID, AGAINST = "hu", "cs"
ACCURACY = ("keywords", "keywords_lenient")
KIND, ARM, SEED = "know", "people", 0


@dataclass(frozen=True)
class Pair:
    """A caption taken for an answer, and what it is scored against."""

    answer: str
    references: tuple[str, ...]


Pairs = Mapping[str, Mapping[str, Pair]]
"""Language -> image_id -> pair."""


def main() -> None:
    """Score the captions; renew the result and the tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    require(FLICKR, XM3600)
    rows = list(captions())
    among = {lang: {name: Pair(row[lang], (row[lang],)) for name, row in rows[:PICTURES]} for lang in AMONG}
    wrong = {SAID: {name: Pair(row[SAID], (row[AGAINST],)) for name, row in rows}}
    found = {
        "flickr8k": scored(other_people(), ACCURACY),
        "xm3600": scored(among, ACCURACY),
        "wrong_language": scored(wrong, [name for name, metric in METRICS.items() if metric.against]),
    }
    save_json(
        RESULTS / "keyword-accuracy" / "result.json",
        {
            "command": COMMAND,
            "hashes": hashes(Path(__file__), [FLICKR, XM3600], RECIPES),
            "versions": found["flickr8k"].versions,
            **{part: as_json(report) for part, report in found.items()},
        },
    )
    lines = [*flickr_table(found["flickr8k"]), "", *chance_table(found["xm3600"]), "", *wrong_table(found["wrong_language"])]
    write_table(REPOSITORY / "benchmarks" / "README.md", "keyword accuracy", lines)


def other_people() -> Pairs:
    """One caption of each photo, drawn, against those of the other people; photos with a single caption are left out."""
    texts: dict[str, dict[str, list[str]]] = {lang: defaultdict(list) for lang in SEVERAL}
    for row in pq.read_table(FLICKR, columns=["image_id", "lang", "text"], filters=[("lang", "in", SEVERAL)]).to_pylist():
        texts[row["lang"]][row["image_id"]].append(row["text"])
    return {
        lang: {name: _drawn(own, Random(f"{SEED} {name}")) for name, own in of_photo.items() if len(own) > 1}
        for lang, of_photo in texts.items()
    }


def _drawn(texts: Sequence[str], random: Random) -> Pair:
    place = random.randrange(len(texts))
    return Pair(texts[place], (*texts[:place], *texts[place + 1 :]))


def captions() -> Iterator[tuple[str, dict[str, str]]]:
    """image_id and language -> caption, of one picture of XM3600 after the other."""
    with gzip.open(XM3600, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row["image/key"], {lang: row[lang]["caption"][0] for lang in AMONG}


def scored(pairs: Pairs, metrics: Sequence[str]) -> ScoreReport:
    """What `mella score` says of the answers; languages are not checked, since one of them is wrong on purpose."""
    recipe = load_recipe(ScoreRecipe, "mllm", "score", (f"metrics.{KIND}=[{', '.join(metrics)}]", "identify=false", "signs=null"))
    asked = [
        QuestionSet(KIND, lang, tuple(Pictured(name, "", pair.references, "") for name, pair in of_picture.items()))
        for lang, of_picture in pairs.items()
    ]
    given = {(KIND, lang, name): Given("", pair.answer) for lang, own in pairs.items() for name, pair in own.items()}
    arms = {ARM: ArmAnswers(ARM, "", None, None, "", given)}
    return score_answers("", Questions(asked), recipe, arms, Tools(repetition=recipe.repetition))


def as_json(report: ScoreReport) -> dict[str, object]:
    """The rows of a report; what all answers score at once; metrics that a language lacks."""
    return {
        "rows": [
            {"metric": row.metric, "lang": row.lang, "pictures": row.pictures, **asdict(row.cells[ARM])} for row in report.rows
        ],
        "corpus": {one.lang: one.corpus[ARM] for one in report.sets if one.corpus},
        "missing": {one.lang: one.missing for one in report.sets if one.missing},
    }


def cell(report: ScoreReport, metric: str, lang: str) -> Cell:
    """A mean with its interval and its chance."""
    return report.row(KIND, metric, lang).cells[ARM]


def shown(found: Cell) -> list[str]:
    """The mean with its interval, and chance."""
    score = found.score
    return [f"{score.value:.1f} [{score.low:.1f}, {score.high:.1f}]", chance(found)]


def chance(found: Cell) -> str:
    """One decimal."""
    return f"{found.chance:.1f}"


def flickr_table(report: ScoreReport) -> list[str]:
    """One row per language: another person's caption of the same photo, and of another."""
    places = ("same photo", "another photo")
    head = ["Flickr8k", "photos", *(f"{kind}: {place}" for kind in ("strict", "lenient") for place in places)]
    rows = [
        [
            lang,
            f"{report.row(KIND, ACCURACY[0], lang).pictures:,}",
            *(text for metric in ACCURACY for text in shown(cell(report, metric, lang))),
        ]
        for lang in SEVERAL
    ]
    return markdown(head, rows)


def chance_table(report: ScoreReport) -> list[str]:
    """One column per language."""
    head = [f"XM3600, {PICTURES:,} pictures: chance", *AMONG]
    rows = [
        [kind, *(chance(cell(report, metric, lang)) for lang in AMONG)]
        for kind, metric in zip(("strict", "lenient"), ACCURACY, strict=True)
    ]
    return markdown(head, rows)


def wrong_table(report: ScoreReport) -> list[str]:
    """One row per metric: Hungarian answers, Czech references."""
    rows = [[METRICS[row.metric].title, f"{row.pictures:,}", *shown(row.cells[ARM])] for row in report.rows]
    missing = [[METRICS[name].title, "-", why, "-"] for one in report.sets for name, why in one.missing.items()]
    return markdown(["XM3600, Hungarian against Czech", "pictures", "same picture", "another picture"], [*rows, *missing])


if __name__ == "__main__":
    main()
