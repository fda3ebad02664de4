"""Language identification: XM3600's captions and the emoji's names, what they are taken for, and the threshold chosen from it.

Settings were chosen on the captions of the first 1,800 pictures and on emoji of the train split; what is shown comes from the
other 1,800 pictures and the emoji of the test split.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

import pyarrow.parquet as pq
from common import DATA, REPOSITORY, RESULTS, hashes, markdown, require, save_json, write_table

from mella_retrieval import languages
from mella_retrieval.data import language_models
from mella_retrieval.data.extra import data_package
from mella_retrieval.data.language_id import SURE, THRESHOLD, LanguageIdentifier, group_of, likeliest
from mella_retrieval.errors import DataError

CAPTIONS = DATA / "xm3600" / "captions_first.jsonl.gz"
NAMES, PICTURES = DATA / "emoji" / "names.parquet", DATA / "emoji" / "images.parquet"
PAGE = REPOSITORY / "benchmarks" / "README.md"
DEVELOPMENT = 1_800
SYSTEMS_ON = 150  # pictures
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "Every Word Capital": str.title,
    "ALL CAPITALS": str.upper,
    "with file name, numbers, address": lambda text: f"IMG_2093.JPG {text} 1,200 x 800 https://www.example.com/a/b",
}
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
ASKED = (
    "sr", "sr-Latn", "hr", "bs", "sl", "mk", "bg", "ru", "uk", "be", "cs", "sk", "pl", "hu", "ar", "fa", "ur", "ko", "th", "lo",
    "vi", "id", "ms", "no", "da", "sv", "es", "pt",
)  # fmt: skip

Text = tuple[str, str]
"""Canonical code and text."""


class Seen:
    """What was found about the texts of one language.

    Attributes:
        taken_for: language -> texts.
        own: probability of the language or one it cannot be told from, per text.
        other: that of the likeliest other language, per text.
    """

    def __init__(self) -> None:
        self.taken_for: Counter[str] = Counter()
        self.own: list[float] = []
        self.other: list[float] = []

    def add(self, lang: str, scores: Mapping[str, float]) -> None:
        """Take in one text."""
        groups: dict[frozenset[str], float] = defaultdict(float)
        for code, p in scores.items():
            groups[group_of(code)] += p
        own = groups.pop(group_of(lang), 0.0)
        self.taken_for[likeliest(scores).lang] += 1
        self.own.append(own)
        self.other.append(max(groups.values(), default=0.0))

    def right(self, codes: Iterable[str]) -> float:
        """Share of texts taken for one of the languages."""
        return sum(self.taken_for[code] for code in set(codes)) / self.taken_for.total()

    def confusions(self, lang: str, count: int = 4) -> str:
        """What it is taken for most often, in percent, from half a percent on."""
        others = [(code, n / self.taken_for.total()) for code, n in self.taken_for.most_common() if code != lang]
        return ", ".join(f"{code or 'nothing'} {100 * share:.1f}" for code, share in others[:count] if share >= 0.005)


def main() -> None:
    """Identify everything; renew the result and the tables."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "").parse_args()
    require(CAPTIONS, NAMES, PICTURES)
    begun = time.process_time()
    identifier = LanguageIdentifier()
    rows = list(captions())
    development, captioned = (scored(identifier, flat(part)) for part in (rows[:DEVELOPMENT], rows[DEVELOPMENT:]))
    seconds = time.process_time() - begun
    emoji = {form: scored(identifier, emoji_texts(form)) for form in ("keywords", "name")}
    systems = compared(identifier, rows[DEVELOPMENT:])
    curve = {half: threshold_curve(found) for half, found in (("development", development), ("reported", captioned))}
    chosen = {limit: lowest(curve["development"], limit) for limit in (0.01, 0.0005)}
    save_json(
        RESULTS / "language-id" / "result.json",
        {
            "hashes": hashes(Path(__file__), [CAPTIONS, NAMES, PICTURES]),
            "candidates": identifier.languages,
            "thresholds": {"by the rule": list(chosen.values()), "in the code": [THRESHOLD, SURE]},
            "captions": {code: as_json(code, seen) for code, seen in captioned.items()},
            "emoji": {form: {code: as_json(code, seen) for code, seen in found.items()} for form, found in emoji.items()},
            "curve": curve,
            "systems": systems,
        },
    )
    print(f"{seconds:.0f} s of processor time for {36 * len(rows):,} captions")
    write_table(PAGE, "language id", [summary(captioned, identifier), "", *caption_table(captioned)])
    write_table(PAGE, "language id threshold", threshold_table(curve, chosen))
    write_table(PAGE, "language id systems", systems_table(systems))
    write_table(PAGE, "language id emoji", emoji_table(emoji))


def captions() -> Iterator[list[Text]]:
    """The captions of one picture after the other."""
    with gzip.open(CAPTIONS, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield [(code, row[code]["caption"][0]) for code in languages.XM3600]


def emoji_texts(form: str) -> Iterator[Text]:
    """Names of the test split's emoji, or their keywords: the first four and the name, as alternative texts often look."""
    test = pq.read_table(PICTURES, columns=["image_id"], filters=[("split", "=", "test")])["image_id"].to_pylist()
    chosen = set(test)
    for row in pq.read_table(NAMES).to_pylist():
        code = languages.normalise(row["lang"])
        if row["image_id"] in chosen and code in ASKED:
            listed = [*(row["keywords"] or "").split("|")[:4], row["name"]] if form == "keywords" else [row["name"]]
            yield code, ", ".join(filter(None, listed))


def flat(rows: Iterable[Iterable[Text]]) -> Iterator[Text]:
    """The texts of rows one after the other."""
    return (text for row in rows for text in row)


def scored(identifier: LanguageIdentifier, texts: Iterable[Text]) -> dict[str, Seen]:
    """Language -> what was found."""
    found: dict[str, Seen] = defaultdict(Seen)
    for code, text in texts:
        found[code].add(code, identifier.scores(text))
    return found


def threshold_curve(found: Mapping[str, Seen]) -> list[dict[str, float]]:
    """Per threshold the means over languages: texts kept in their own language, texts that would pass as another one."""
    return [
        {
            "threshold": threshold,
            "kept": fmean(share(seen.own, threshold) for seen in found.values()),
            "lowest": min(share(seen.own, threshold) for seen in found.values()),
            "passes": fmean(share(seen.other, threshold) for seen in found.values()),
            "highest": max(share(seen.other, threshold) for seen in found.values()),
        }
        for threshold in THRESHOLDS
    ]


def share(values: Sequence[float], threshold: float) -> float:
    """Share of the values that reach a threshold."""
    return sum(value >= threshold for value in values) / len(values)


def lowest(curve: Iterable[Mapping[str, float]], limit: float) -> float:
    """The lowest threshold at which no larger share of the texts than `limit` would pass as another language."""
    return next(point["threshold"] for point in curve if point["passes"] <= limit)


def compared(identifier: LanguageIdentifier, rows: Sequence[Sequence[Text]]) -> dict[str, dict[str, float]]:
    """System -> part of the texts -> share taken for its language or one it cannot be told from, mean over languages."""
    plain = data_package("py3langid.langid")
    model = plain.LanguageIdentifier.from_model_file(plain.MODEL_FILE, norm_probs=True)
    some = list(flat(rows[:: len(rows) // SYSTEMS_ON]))
    parts = {name: [(code, form(text)) for code, text in some] for name, form in FORMS.items()}
    parts |= {f"captions {code}": [text for text in flat(rows) if text[0] == code] for code in ("cs", "ru", "sv")}
    keywords = list(emoji_texts("keywords"))
    parts |= {f"keywords {code}": [text for text in keywords if text[0] == code] for code in ("cs", "sk", "ru", "bg", "sr", "mk")}

    def accuracies(identify: Callable[[str], str]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, texts in parts.items():
            right: dict[str, list[bool]] = defaultdict(list)
            for code, text in texts:
                right[code].append(identify(text) in group_of(code))
            found[name] = fmean(map(fmean, right.values()))
        return found

    with patch.object(language_models, "FAMILIES", ()):
        without = accuracies(lambda text: identifier.identify(text).lang)
    return {
        "py3langid as it comes": accuracies(lambda text: canonical(model.classify(text)[0])),
        "script first, folded, fewer candidates, Maori by its words": without,
        "and lingua in three families": accuracies(lambda text: identifier.identify(text).lang),
    }


def canonical(label: str) -> str:
    """A label of py3langid as records have it, or as it is."""
    try:
        return languages.normalise(label)
    except DataError:
        return label


def as_json(code: str, seen: Seen) -> dict[str, object]:
    """The numbers about one language."""
    return {
        "texts": seen.taken_for.total(),
        "taken_for": dict(seen.taken_for.most_common()),
        "right": seen.right([code]),
        "right_or_group": seen.right(group_of(code)),
        "kept": share(seen.own, THRESHOLD),
        "passes": share(seen.other, THRESHOLD),
        "surely_other": share(seen.other, SURE),
    }


def percent(value: float) -> str:
    """One decimal."""
    return f"{100 * value:.1f}"


def summary(found: Mapping[str, Seen], identifier: LanguageIdentifier) -> str:
    """The means in one sentence."""
    right = fmean(seen.right([code]) for code, seen in found.items())
    group = fmean(seen.right(group_of(code)) for code, seen in found.items())
    nothing = sum(seen.taken_for[""] for seen in found.values())
    total = sum(seen.taken_for.total() for seen in found.values())
    return (
        f"{total:,} captions of the second half, {len(identifier.languages)} candidates: {percent(right)} % are taken for their "
        f"own language, {percent(group)} % for it or one that it cannot be told from (means over {len(found)} languages); "
        f"{nothing} have no letter of a known script."
    )


def cells(code: str, seen: Seen) -> list[str]:
    """Taken for its own language, for it or its group, for what else; kept at the threshold."""
    confusions = seen.confusions(code) or "-"
    return [percent(seen.right([code])), percent(seen.right(group_of(code))), confusions, percent(share(seen.own, THRESHOLD))]


def caption_table(found: Mapping[str, Seen]) -> list[str]:
    """One row per language."""
    rows = [
        [code, *cells(code, seen), percent(share(seen.other, THRESHOLD)), percent(share(seen.other, SURE))]
        for code, seen in found.items()
    ]
    kept, passes, sure = f"kept at {THRESHOLD}", f"pass as another at {THRESHOLD}", f"at {SURE}"
    return markdown(["lang", "right", "or its group", "taken for", kept, passes, sure], rows)


def threshold_table(curve: Mapping[str, list[dict[str, float]]], chosen: Mapping[float, float]) -> list[str]:
    """Both halves side by side, and what the rule gives."""
    rows = []
    for ours, theirs in zip(curve["development"], curve["reported"], strict=True):
        own = [percent(ours["kept"]), f"{100 * ours['passes']:.2f}"]
        second = [percent(theirs["kept"]), percent(theirs["lowest"]), f"{100 * theirs['passes']:.2f}", percent(theirs["highest"])]
        rows.append([f"{ours['threshold']}", *own, *second])
    head = ["threshold", "development: kept", "pass as another", "second half: kept", "lowest", "pass as another", "highest"]
    rule = ", ".join(f"{threshold} for at most {100 * limit:g} %" for limit, threshold in chosen.items())
    return [
        *markdown(head, rows),
        "",
        f"The lowest thresholds of the development half by what passes as another language: {rule}.",
    ]


def systems_table(systems: Mapping[str, Mapping[str, float]]) -> list[str]:
    """One row per part of the texts."""
    parts = next(iter(systems.values()))
    return markdown(["texts", *systems], [[part, *(percent(found[part]) for found in systems.values())] for part in parts])


def emoji_table(emoji: Mapping[str, Mapping[str, Seen]]) -> list[str]:
    """One row per language: keyword lists, then names."""
    rows = []
    for code in ASKED:
        listed, named = emoji["keywords"][code], emoji["name"][code]
        right, group, _, kept = cells(code, named)
        surely = [percent(share(seen.other, SURE)) for seen in (listed, named)]
        rows.append([code, *cells(code, listed), surely[0], right, group, kept, surely[1]])
    kept, sure = f"kept at {THRESHOLD}", f"surely another ({SURE})"
    head = ["lang", "keywords: right", "or its group", "taken for", kept, sure, "names: right", "or its group", kept, sure]
    return markdown(head, rows)


if __name__ == "__main__":
    main()
