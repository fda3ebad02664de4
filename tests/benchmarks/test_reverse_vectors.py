"""A system with other vectors for image -> text than for text -> image."""

from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.evaluation import Reverse, rank_system
from mella_retrieval.benchmarks.protocols import PROTOCOLS, get_protocol
from mella_retrieval.benchmarks.results import SystemInfo
from mella_retrieval.benchmarks.run import SHUFFLED, Setup, System, run_task
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.errors import DataError


def as_key(cell):
    return cell.language, cell.direction, cell.query_id, cell.rank.tolist()


def test_each_direction_is_ranked_by_its_own_vectors(evaluation, vectors):
    images, texts = vectors
    wide = np.pad(images, ((0, 0), (0, 2)))
    other = {code: np.pad(rows, ((0, 0), (0, 2))) for code, rows in texts(2.0, seed=5).items()}
    for protocol in PROTOCOLS.values():
        forward = rank_system("a", texts(1.0), images, evaluation, protocol)
        backward = rank_system("a", other, wide, evaluation, protocol)
        both = rank_system("a", texts(1.0), images, evaluation, protocol, reverse=Reverse(other, wide))
        wanted = [two if two.direction == "i2t" else one for one, two in zip(forward, backward, strict=True)]
        assert [as_key(cell) for cell in both] == [as_key(cell) for cell in wanted]
        assert [as_key(cell) for cell in both] != [as_key(cell) for cell in forward]


def test_both_sides_must_have_the_same_languages(evaluation, vectors):
    images, texts = vectors
    less = {code: rows for code, rows in texts(1.0).items() if code != "th"}
    with pytest.raises(DataError, match="texts in cs, hu, th, but for image -> text in cs, hu"):
        rank_system("a", texts(1.0), images, evaluation, get_protocol("first"), reverse=Reverse(less, images))


def test_a_run_uses_them_for_the_system_and_its_shuffled_pairs(evaluation, vectors):
    images, texts = vectors
    task = Task(name="t", title="T", source="here", licence="CC0", protocols=("all-hit",), languages=tuple(evaluation.captions))
    good, useless = texts(0.0), texts(50.0)
    system = System(SystemInfo(name="a", role="system"), good, images, Reverse(useless, images))
    (result,) = run_task(Setup(task, evaluation), [system])
    assert result.score("a", "mean", "t2i", "R@1").value == 1
    assert result.score("a", "mean", "i2t", "R@1").value < 0.7
    (plain,) = run_task(Setup(task, evaluation), [System(system.info, good, images)])
    (backward,) = run_task(Setup(task, evaluation), [System(system.info, useless, images)])

    def ranks(found, way):
        return [cell.rank.tolist() for cell in found.ranks if (cell.system, cell.direction) == (SHUFFLED, way)]

    assert ranks(result, "t2i") == ranks(plain, "t2i")
    assert ranks(result, "i2t") == ranks(backward, "i2t") != ranks(plain, "i2t")
