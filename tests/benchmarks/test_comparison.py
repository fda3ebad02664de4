from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.comparison import COMPARED, compare
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.metrics import METRICS
from mella_retrieval.benchmarks.protocols import Captions
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.errors import DataError, MismatchError
from mella_retrieval.resampling import holm

FEW = Bootstrap(resamples=300)


def test_compare__identical_results(make_result):
    found = compare(make_result(), make_result(), settings=FEW)
    assert found.rows
    for row in found.rows:
        assert (row.difference, row.low, row.high, row.p) == (0, 0, 0, 1)
        assert row.p_holm in (None, 1)


def test_compare__rows_for_every_language_direction_and_metric(make_result):
    first, second = make_result(noise=3.0), make_result(noise=0.2)
    found = compare(first, second, settings=FEW)
    assert len(found.rows) == 2 * len({row.metric for row in found.rows}) * (3 + 1)
    assert {row.metric for row in found.rows} == set(METRICS) - {"median rank"} <= set(COMPARED)
    for row in found.rows:
        assert row.first == pytest.approx(first.score("ours", row.language, row.direction, row.metric).value)
        assert row.second == pytest.approx(second.score("ours", row.language, row.direction, row.metric).value)
        assert row.low <= row.difference <= row.high
    for direction in ("t2i", "i2t"):
        rows = [r for r in found.rows if (r.direction, r.metric) == (direction, "R@1") and r.language != "mean"]
        np.testing.assert_allclose([r.p_holm for r in rows], holm([r.p for r in rows]))
    overall = next(r for r in found.rows if (r.language, r.direction, r.metric) == ("mean", "t2i", "R@1"))
    assert overall.difference > 0.4
    assert overall.p < 0.02
    assert overall.p_holm is None


def test_compare__turned_round(make_result):
    a, b = make_result(noise=1.0), make_result(noise=0.5)
    there, back = compare(a, b, settings=FEW), compare(b, a, settings=FEW)
    for row, mirror in zip(there.rows, back.rows, strict=True):
        assert mirror.difference == pytest.approx(-row.difference)
        assert (mirror.low, mirror.high) == (pytest.approx(-row.high), pytest.approx(-row.low))
        assert mirror.p == row.p


def test_compare__only_queries_that_both_have_in_any_order(make_result):
    first = make_result()
    cells = []
    for cell in first.ranks:
        keep = np.random.default_rng(0).permutation(len(cell.rank))[: len(cell.rank) - 2]
        cells.append(cell.take(keep))
    found = compare(first, Result(first.record, tuple(cells)), settings=FEW)
    assert all(row.p == 1 and row.difference == 0 for row in found.rows)
    assert {row.queries for row in found.rows if row.language == "th"} == {8}


def test_compare__named_systems_of_one_result(make_result):
    result = make_result(noise=0.1)
    found = compare(result, result, first_system="English", settings=FEW)
    assert {row.language for row in found.rows} == {"cs", "mean"}
    with pytest.raises(DataError, match="Did you mean 'English'"):
        compare(result, result, first_system="english", settings=FEW)
    with pytest.raises(DataError, match="computed and not ranked"):
        compare(result, result, first_system="chance", settings=FEW)


def test_compare__what_does_not_compare_is_refused_and_both_are_named(make_result, evaluation):
    plain = make_result()
    with pytest.raises(MismatchError, match="protocol of the first is 'all-hit', of the second 'first'"):
        compare(plain, make_result(protocol="first"), settings=FEW)
    renamed = Result(plain.record.model_copy(update={"task": plain.record.task.model_copy(update={"name": "huge"})}), plain.ranks)
    with pytest.raises(MismatchError, match="task of the first is 'tiny', of the second 'huge'"):
        compare(plain, renamed, settings=FEW)
    gallery = EvaluationSet(tuple(f"other-{at}" for at in range(12)), evaluation.captions)
    with pytest.raises(MismatchError, match="the gallery of the first is '12 images"):
        compare(plain, make_result(evaluation=gallery), settings=FEW)
    hungarian = evaluation.captions["hu"]
    texts = Captions(hungarian.image, [text.upper() for text in hungarian.text], hungarian.text_id)
    other = EvaluationSet(evaluation.image_ids, {**evaluation.captions, "hu": texts})
    with pytest.raises(MismatchError, match="the captions in hu"):
        compare(plain, make_result(evaluation=other), settings=FEW)
