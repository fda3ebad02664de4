"""Rows of scores against plain loops over the draws: paired, aligned by picture, corrected over languages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mella_retrieval.mllm.score.bootstrap import Bootstrap
from mella_retrieval.mllm.score.results import ALL, Row
from mella_retrieval.mllm.score.statistics import Scores, rows_of

SETTINGS = Bootstrap(resamples=300, level=0.9, seed=5)
PICTURES = {"hu": tuple("abcdefgh"), "th": tuple("kjhgfe"), "cs": tuple("mnb")}
"""Pictures of each language: some are shared, in another order."""


def made_up() -> list[Scores]:
    generator = np.random.default_rng(3)
    found = []
    for lang, names in PICTURES.items():
        hard = generator.normal(50, 20, len(names))
        later = hard + generator.normal({"hu": 3, "th": 1, "cs": 4}[lang], 4, len(names))
        if lang == "hu":
            hard[2] = later[2] = np.nan
        found.append(Scores("ling", lang, names, {("before", "chrf"): hard, ("after", "chrf"): later}, {}))
    return found


def draws() -> Iterator[dict[str, int]]:
    """How often each picture is drawn: the same for all languages and models."""
    names = list(dict.fromkeys("".join(map("".join, PICTURES.values()))))
    generator = np.random.default_rng(SETTINGS.seed)
    for count in (128, 128, 44):
        for row in generator.multinomial(len(names), [1 / len(names)] * len(names), size=count):
            yield dict(zip(names, row.tolist(), strict=True))


def mean_of(one: Scores, arm: str, often: dict[str, int]) -> float:
    pairs = zip(one.image_ids, one.values[arm, "chrf"].tolist(), strict=True)
    drawn = [value for name, value in pairs for _ in range(often[name]) if not np.isnan(value)]
    return sum(drawn) / len(drawn) if drawn else float("nan")


def expected(scores: list[Scores]) -> tuple[float, list[float]]:
    """The difference between models, and that of every draw: the mean over some languages."""
    once = dict.fromkeys("abcdefghjkmn", 1)

    def difference(often: dict[str, int]) -> float:
        return sum(mean_of(one, "after", often) - mean_of(one, "before", often) for one in scores) / len(scores)

    return difference(once), [value for often in draws() if not np.isnan(value := difference(often))]


def test_rows_are_what_plain_loops_find():
    scores = made_up()
    rows: dict[str, Row] = {row.lang: row for row in rows_of(scores, ["before", "after"], SETTINGS)}
    assert [*rows] == [*PICTURES, ALL]
    assert [row.pictures for row in rows.values()] == [7, 6, 3, 16]
    p_values = {}
    for lang, some in [(one.lang, [one]) for one in scores] + [(ALL, scores)]:
        value, drawn = expected(some)
        found = rows[lang].differences["after"]
        low, high = np.quantile(drawn, [0.05, 0.95])
        p_values[lang] = (1 + sum(abs(one - value) >= abs(value) - 1e-9 for one in drawn)) / (1 + len(drawn))
        assert (found.value, found.low, found.high) == pytest.approx((value, low, high))
        assert found.p == pytest.approx(p_values[lang])
    smallest = sorted(PICTURES, key=lambda lang: p_values[lang])
    corrected = 0.0
    for place, lang in enumerate(smallest):
        corrected = max(corrected, min(1.0, (len(smallest) - place) * p_values[lang]))
        assert rows[lang].differences["after"].p_holm == pytest.approx(corrected)
    assert rows[ALL].differences["after"].p_holm is None
    assert len({p_values[lang] for lang in PICTURES}) == 3  # or there would be nothing to order
