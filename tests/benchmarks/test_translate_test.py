"""The translate-test row: translated captions through the image tower's own text tower."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.protocols import Captions
from mella_retrieval.benchmarks.run import TRANSLATED, Setup, run_task, translated_system
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import DataError, MismatchError

N = 6


def stored(folder: Path, modality: str, table: pa.Table, rows: np.ndarray, weights: str = "clip") -> EmbeddingSet:
    tower = TowerInfo(spec=f"open_clip:{weights}/x", modality=modality, dim=N, weights=weights)  # type: ignore[arg-type]
    return import_vectors(folder, tower, [(rows, table)], str(folder))


@pytest.fixture
def evaluation() -> EvaluationSet:
    images = tuple(f"i{row}" for row in range(N))
    keys = {code: [f"{code}{row}" for row in range(N)] for code in ("hu", "th")}
    return EvaluationSet(images, {code: Captions(np.arange(N), found, found) for code, found in keys.items()})


@pytest.fixture
def images(tmp_path: Path) -> EmbeddingSet:
    ids = [f"i{row}" for row in range(N)]
    return stored(tmp_path / "images", "image", pa.table({"id": ids, "image_id": ids}), np.eye(N))


def translations(folder: Path, keep: int = N, weights: str = "clip") -> EmbeddingSet:
    keys = [f"hu{row}" for row in range(keep)]
    table = pa.table({"id": keys, "text_id": keys, "lang": ["hu"] * keep})
    rows = np.eye(N)[:keep]
    rows[0] = np.eye(N)[1]  # one translation went wrong
    return stored(folder, "text", table, rows, weights)


def test_it_is_measured_where_translations_are_and_says_why_it_is_not_elsewhere(
    evaluation: EvaluationSet, images: EmbeddingSet, tmp_path: Path
):
    system = translated_system(images, translations(tmp_path / "t"), evaluation)
    task = Task(name="t", title="T", source="here", licence="CC0", protocols=("all-hit",), languages=("hu", "th"))
    (result,) = run_task(Setup(task, evaluation), [system])
    assert result.score(TRANSLATED, "hu", "t2i", "R@1").value == pytest.approx(5 / 6)
    assert result.score(TRANSLATED, "th", "t2i", "R@1").value is None
    assert system.info.missing == {"th": "no translator was at hand"}


def test_half_a_translation_and_another_model_are_refused(evaluation: EvaluationSet, images: EmbeddingSet, tmp_path: Path):
    with pytest.raises(DataError, match="captions in hu"):
        translated_system(images, translations(tmp_path / "t", keep=4), evaluation)
    with pytest.raises(MismatchError, match="are not one model"):
        translated_system(images, translations(tmp_path / "u", weights="other"), evaluation)
