"""The checks of `mella data ling`: what they find of damage that was planted, and how many right translations they reject.

Right texts: the pocket world's captions (12 languages, translations to the word), Multi30K's sentences and paragraphs made of
them (German, French, Czech, by people), and XM3600's captions (36 languages) for the checks of a single text. One text in five is
damaged, in one way at a time (`ling_damage.py`); the others are what `agreement` compares with. Thresholds were chosen on the
development halves alone. After a first run, which showed the test halves too, `length` got its bounds for long texts and
`agreement` took the means away, both by the development halves. The text tower is `minimulti`, which never read a pocket caption;
it was trained on Multi30K, so that `agreement` on its sentences says little: the photos' captions, which it never read, stand
beside.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import MODELS, REPOSITORY, RESULTS, hashes, markdown, require, save_json, write_table
from ling_damage import (
    DAMAGES,
    MULTI30K,
    PHOTOS,
    PROMPTS,
    XM3600,
    Material,
    damaged,
    native,
    paragraphs,
    photos,
    pocket,
    sentences,
)

from mella_retrieval import languages
from mella_retrieval.data.ling.checks import CHECKS
from mella_retrieval.data.ling.checks.agreement import Agreement
from mella_retrieval.data.ling.checks.check import Judged, Tools
from mella_retrieval.data.ling.judging import Judgement, active, judge, measure
from mella_retrieval.data.ling.making import usual_tools
from mella_retrieval.data.ling.recipe import LingRecipe
from mella_retrieval.encoders.loading import load_text_tower
from mella_retrieval.encoders.towers import Encoded, TextTower
from mella_retrieval.pocket.towers import TEXT_TOWER
from mella_retrieval.recipes import load_recipe

MINIMULTI = MODELS / "minimulti"
RECIPE = "mella_retrieval/data/recipes/ling.yaml"
HALVES = ("development", "test")
ENGLISH = languages.get("en")
EVERY = 5
NEAR = (
    ("da", "no"), ("no", "da"), ("sv", "da"), ("sv", "no"), ("es", "pt"), ("pt", "es"), ("hr", "cs"), ("cs", "pl"),
    ("uk", "ru"), ("ru", "uk"), ("fa", "ar"), ("nl", "de"), ("ro", "it"), ("fi", "hu"), ("zh", "ja"),
)  # fmt: skip
"""(asked for, given): languages that a model may mistake for one another."""

Counts = dict[str, Any]


class Remembering:
    """A text tower that reads each text once."""

    def __init__(self, tower: TextTower) -> None:
        self._tower, self._vectors, self._counts = tower, dict[str, Any](), dict[str, int]()
        self.info, self.max_tokens, self.prepare = tower.info, tower.max_tokens, tower.prepare

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextTower`."""
        new = [text for text in dict.fromkeys(texts) if text not in self._counts]
        self._counts.update(zip(new, self._tower.count_tokens(new) if new else (), strict=True))
        return [self._counts[text] for text in texts]

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        """See `TextTower`."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._tower.encode(new).pooled, strict=True))
        return Encoded(np.stack([self._vectors[text] for text in texts]))


def main() -> None:
    """Measure; renew the tables in benchmarks/README.md."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "").parse_args()
    require(MULTI30K, PHOTOS, XM3600, MINIMULTI / "modules.json")
    recipe = load_recipe(LingRecipe, "data", str(REPOSITORY / RECIPE))
    towers = {
        "minimulti": Remembering(load_text_tower(f"sentence-transformers:{MINIMULTI}", device="cpu")),
        "the pocket world's own": Remembering(load_text_tower(TEXT_TOWER, device="cpu")),
    }
    tools = usual_tools(recipe, towers["minimulti"])
    planted = [*pocket(), *sentences(), *paragraphs()]
    found = {
        "damage": [row for material in planted for row in damage_rows(material, recipe, tools)],
        "right": [row for material in planted for row in right_rows(material, recipe, tools)] + list(native_rows(recipe, tools)),
        "near languages": list(near_rows(recipe, tools)),
        "agreement": [
            row
            for tower, materials in (("minimulti", [*planted, *photos()]), ("the pocket world's own", pocket()))
            for material in materials
            for row in agreement_rows(material, recipe, tower, towers[tower])
        ],
    }
    inputs = [MULTI30K, PHOTOS, XM3600, *sorted(MINIMULTI.glob("*.safetensors"))]
    save_json(RESULTS / "ling-checks" / "result.json", {"hashes": hashes(Path(__file__), inputs, [RECIPE]), **found})
    page = REPOSITORY / "benchmarks" / "README.md"
    write_table(page, "ling damage", damage_table(found["damage"]))
    write_table(page, "ling right", right_table(found["right"]))
    write_table(page, "ling agreement", agreement_table(found["agreement"]))
    write_table(page, "ling languages", language_table(found))


# Measuring ------------------------------------------------------------------------------------------------------------


def judged(material: Material, texts: Sequence[str]) -> list[Judged]:
    """Texts as translations of the material's sources."""
    lang = languages.get(material.lang)
    return [Judged(text, lang, pair.source, ENGLISH, PROMPTS) for text, pair in zip(texts, material.pairs, strict=True)]


def damage_rows(material: Material, recipe: LingRecipe, tools: Tools) -> Iterator[Counts]:
    """For each half and damage: damaged texts, and how many each check, and any of them, rejects."""
    checks = active(recipe.checks.chosen(), tools, translation=True)
    for half, name in enumerate(HALVES):
        some = material.half(bool(half))
        right = [pair.text for pair in some.pairs]
        for number, (damage, (_, function)) in enumerate(DAMAGES.items()):
            bad = damaged(some, function)
            places = [place for place in range(number % EVERY, len(right), EVERY) if bad[place] != right[place]]
            chosen = set(places)
            mixed = judged(some, [bad[place] if place in chosen else text for place, text in enumerate(right)])
            stored = {check.name: _at(measure(check, mixed, tools), places) for check in checks if check.together}
            outcome = judge(checks, _at(mixed, places), tools, stored)
            yield {"material": some.name, "lang": some.lang, "half": name, "damage": damage, **_rejected(outcome)}


def right_rows(material: Material, recipe: LingRecipe, tools: Tools) -> Iterator[Counts]:
    """For each half: right translations, and how many each check rejects."""
    checks = active(recipe.checks.chosen(), tools, translation=True)
    for half, name in enumerate(HALVES):
        some = material.half(bool(half))
        outcome = judge(checks, judged(some, [pair.text for pair in some.pairs]), tools, {})
        yield {"material": some.name, "lang": some.lang, "half": name, **_rejected(outcome)}


def native_rows(recipe: LingRecipe, tools: Tools) -> Iterator[Counts]:
    """XM3600's captions as if a captioner had written them."""
    checks = active(recipe.checks.chosen(), tools, translation=False)
    for lang, texts in native().items():
        for half, name in enumerate(HALVES):
            some = [Judged(text, languages.get(lang), prompts=PROMPTS) for text in texts[half::2][:600]]
            yield {"material": "XM3600", "lang": lang, "half": name, **_rejected(judge(checks, some, tools, {}))}


def near_rows(recipe: LingRecipe, tools: Tools) -> Iterator[Counts]:
    """XM3600's captions taken for captions in a near language."""
    checks = [check for check in active(recipe.checks.chosen(), tools, translation=False) if check.name == "language"]
    texts = native()
    for asked, given in NEAR:
        for half, name in enumerate(HALVES):
            some = [Judged(text, languages.get(asked)) for text in texts[given][half::2][:600]]
            yield {"asked": asked, "given": given, "half": name, **_rejected(judge(checks, some, tools, {}))}


def agreement_rows(material: Material, recipe: LingRecipe, tower_name: str, tower: TextTower) -> Iterator[Counts]:
    """How well margin and cosine tell right translations from those of other pictures."""
    check = recipe.checks.agreement or Agreement()
    swap = DAMAGES["another picture's"][1]
    for half, name in enumerate(HALVES):
        some = material.half(bool(half))
        right = [pair.text for pair in some.pairs]
        bad = damaged(some, swap)
        good_scores = measure(check, judged(some, right), Tools(tower=tower))
        bad_scores = []
        for start in range(EVERY):
            mixed = [bad[place] if place % EVERY == start else text for place, text in enumerate(right)]
            bad_scores += measure(check, judged(some, mixed), Tools(tower=tower))[start::EVERY]
        row: Counts = {"tower": tower_name, "material": some.name, "lang": some.lang, "half": name, "pairs": len(right)}
        for score in ("agreement", "cosine"):
            good, other = (np.array([scores[score] for scores in rows]) for rows in (good_scores, bad_scores))
            row[score] = {
                "auc": round(float((good[:, None] > other[None]).mean()), 4),
                **{f"caught at {loss} %": round(float((other < np.percentile(good, loss)).mean()), 4) for loss in (1, 5)},
            }
            if score == "agreement":
                row["rejected right"] = round(float((good < check.margin).mean()), 4)
                row["rejected swapped"] = round(float((other < check.margin).mean()), 4)
        yield row


def _at(rows: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [rows[place] for place in places]


def _rejected(outcome: Sequence[Judgement]) -> Counts:
    by_check = Counter(name for one in outcome for name in one.problems)
    return {"texts": len(outcome), "any": sum(bool(one.problems) for one in outcome), "by check": dict(sorted(by_check.items()))}


# Showing --------------------------------------------------------------------------------------------------------------


def _percent(rows: Sequence[Counts], check: str = "") -> str:
    texts = sum(row["texts"] for row in rows)
    bad = sum(row["by check"].get(check, 0) if check else row["any"] for row in rows)
    return f"{100 * bad / texts:.1f}" if texts else "-"


def _halves(rows: Sequence[Counts], check: str = "") -> str:
    """`development / test`."""
    return " / ".join(_percent([row for row in rows if row["half"] == half], check) for half in HALVES)


def damage_table(rows: Sequence[Counts]) -> list[str]:
    """Damage by material: share found by the check that is meant to, and by any."""
    names = list(dict.fromkeys(row["material"] for row in rows))
    lines = []
    for damage, (check, _) in DAMAGES.items():
        cells = [[row for row in rows if (row["damage"], row["material"]) == (damage, name)] for name in names]
        lines.append([damage, f"`{check}`", *(text for some in cells for text in (_halves(some, check), _halves(some)))])
    return markdown(["damage", "check", *(f"{name}: {what}" for name in names for what in ("by it", "by any"))], lines)


def right_table(rows: Sequence[Counts]) -> list[str]:
    """Right texts that each check rejects."""
    names = list(dict.fromkeys(row["material"] for row in rows))
    by_name = {name: [row for row in rows if row["material"] == name] for name in names}
    lines = [[f"`{check}`", *(_halves(by_name[name], check) for name in names)] for check in CHECKS]
    counts = [f"{sum(row['texts'] for row in by_name[name]):,}" for name in names]
    return markdown(["check", *names], [*lines, ["any", *(_halves(by_name[name]) for name in names)], ["texts", *counts]])


def agreement_table(rows: Sequence[Counts]) -> list[str]:
    """Test halves: means over the languages."""
    groups: Mapping[tuple[str, str], list[Counts]] = defaultdict(list)
    for row in rows:
        if row["half"] == "test":
            groups[row["tower"], row["material"]].append(row)
    head = ["tower", "material", "languages", "right rejected", "swapped caught"]
    for score in ("margin", "cosine"):
        head += [f"{score}: AUC", "caught at 1 % loss", "caught at 5 % loss"]
    lines = []
    for (tower, material), some in groups.items():
        cells = [tower, material, " ".join(row["lang"] for row in some)]
        cells += [f"{100 * np.mean([row[name] for row in some]):.1f}" for name in ("rejected right", "rejected swapped")]
        for score in ("agreement", "cosine"):
            cells.append(f"{np.mean([row[score]['auc'] for row in some]):.3f}")
            cells += [f"{100 * np.mean([row[score][f'caught at {loss} %'] for row in some]):.1f}" for loss in (1, 5)]
        lines.append(cells)
    return markdown(head, lines)


def language_table(found: Mapping[str, Sequence[Counts]]) -> list[str]:
    """Near languages on XM3600, and the languages of the pocket world one by one."""
    near = [[asked, given, _halves([row for row in found["near languages"] if (row["asked"], row["given"]) == (asked, given)])]
            for asked, given in NEAR]  # fmt: skip
    lines = []
    for lang in dict.fromkeys(row["lang"] for row in found["right"] if row["material"] == "pocket world"):
        right = [row for row in found["right"] if (row["material"], row["lang"]) == ("pocket world", lang)]
        bad = [row for row in found["damage"] if (row["material"], row["lang"]) == ("pocket world", lang)]
        swapped = [row for row in bad if row["damage"] == "another picture's"]
        lines.append([lang, _halves(right), _halves(bad), _halves(swapped)])
    return [
        *markdown(["asked for", "given", "found by `language`"], near),
        "",
        *markdown(["pocket world", "right rejected", "damaged found, all kinds", "another picture's found"], lines),
    ]


if __name__ == "__main__":
    main()
