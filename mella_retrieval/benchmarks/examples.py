"""Example queries for a report: a few captions per language and the pictures that one system found for them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.protocols import Captions
from mella_retrieval.benchmarks.report import Example, Hit
from mella_retrieval.benchmarks.run import System
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.data.images import read_image
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError

THUMBNAIL = 160


def collect_examples(
    system: System, evaluation: EvaluationSet, records: Records, *, per_language: int = 1, k: int = 5, seed: int = 0
) -> list[Example]:
    """Captions drawn at random (never chosen for being answered well), with the k best pictures of `system`.

    Args:
        system: whose vectors are searched.
        evaluation: gallery and captions.
        records: where the picture files are; without readable pictures there are no examples.
        per_language: captions per language.
        k: pictures per caption.
        seed: of the draw.
    """
    files = _picture_files(records)
    if not all(image_id in files for image_id in evaluation.image_ids):
        return []
    generator = np.random.default_rng(seed)
    gallery = UnitVectors(system.images, "image vectors").values
    examples = []
    for code, captions in evaluation.captions.items():
        if code not in system.texts:
            continue
        chosen = generator.choice(len(captions.text), size=min(per_language, len(captions.text)), replace=False)
        queries = UnitVectors(np.asarray(system.texts[code])[chosen], "text vectors").values
        for row, scores in zip(chosen.tolist(), queries @ gallery.T, strict=True):
            examples.append(_example(code, captions, row, scores, evaluation, files, k))
    return examples


def _example(
    code: str,
    captions: Captions,
    row: int,
    scores: np.ndarray[tuple[int], np.dtype[np.float32]],
    evaluation: EvaluationSet,
    files: Mapping[str, Path],
    k: int,
) -> Example:
    target = int(captions.image[row])
    rank = int((scores >= scores[target]).sum())
    best = np.argsort(-scores, kind="stable")[:k].tolist()
    hits = [
        Hit(thumbnail(files[evaluation.image_ids[image]]), evaluation.image_ids[image], float(scores[image]), image == target)
        for image in best
    ]
    return Example(captions.text[row], code, hits, rank, thumbnail(files[evaluation.image_ids[target]]))


def _picture_files(records: Records) -> dict[str, Path]:
    """Local picture files by image id; unreadable ones are left out."""
    table = records.images()
    found = {}
    for image_id, image in zip(table["image_id"].to_pylist(), table["image"].to_pylist(), strict=True):
        try:
            path = records.image_path(image)
        except DataError:
            continue
        if path.is_file():
            found[image_id] = path
    return found


def thumbnail(path: Path) -> bytes:
    """A small JPEG of a picture."""
    image = read_image(path)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=85)
    return content.getvalue()
