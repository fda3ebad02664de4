"""A small evaluation: twelve images, three languages with unequal captions, systems of chosen quality."""

from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.evaluation import EvaluationSet, query_counts, rank_system
from mella_retrieval.benchmarks.protocols import Captions, get_protocol
from mella_retrieval.benchmarks.results import Data, Provenance, Record, Result, SystemInfo, library_versions
from mella_retrieval.benchmarks.scores import Scope, chance_scores, score_systems
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.benchmarks.tasks import Task

LANGUAGES = ("cs", "hu", "th")


@pytest.fixture
def evaluation():
    rng = np.random.default_rng(0)
    captions = {}
    for language in LANGUAGES:
        owner = np.sort(np.concatenate([np.arange(12), rng.integers(0, 12, 9)])) if language != "th" else np.arange(10)
        texts = [f"{language} caption {at}" for at in range(len(owner))]
        captions[language] = Captions(owner, texts, [f"{language}-{at}" for at in range(len(owner))])
    return EvaluationSet(tuple(f"image-{at:02d}" for at in range(12)), captions)


@pytest.fixture
def vectors(evaluation):
    """Image vectors, and text vectors of a system that makes more mistakes the more noise it has."""
    images = np.random.default_rng(1).standard_normal((12, 6))

    def texts(noise, seed=2):
        rng = np.random.default_rng(seed)
        return {
            language: images[captions.image] + noise * rng.standard_normal((len(captions.image), 6))
            for language, captions in evaluation.captions.items()
        }

    return images, texts


@pytest.fixture
def make_result(evaluation, vectors):
    images, texts = vectors

    def make(noise=1.0, protocol="all-hit", seed=2, evaluation=evaluation, name="ours"):
        chosen = get_protocol(protocol)
        cells = rank_system(name, texts(noise, seed), images, evaluation, chosen)
        english = rank_system("English", {"cs": texts(3)["cs"]}, images, evaluation, chosen)
        scope = Scope(LANGUAGES, {"uclip": ("cs", "hu"), "wide": ("cs", "de")})
        settings = Bootstrap(resamples=200)
        missing = {"English": {"hu": "no English captions", "th": "no English captions"}}
        scores = score_systems([*cells, *english], scope, settings, missing) + chance_scores(evaluation, scope, chosen)
        record = Record(
            task=Task(name="tiny", title="Tiny", source="made here", licence="CC0",
                      protocols=("all-hit", "first"), languages=LANGUAGES),
            protocol=protocol,
            protocol_description=chosen.description,
            data=Data(images=12, languages=LANGUAGES, queries=query_counts(cells), fingerprints=evaluation.fingerprints(),
                      revision="unverified", checksum="unverified"),
            bootstrap=settings,
            systems=(
                SystemInfo(name=name, role="system", fingerprints={"adapter": "a" * 64}),
                SystemInfo(name="English", role="english", missing=missing["English"]),
                SystemInfo(name="chance", role="chance"),
            ),
            scores=tuple(scores),
            provenance=Provenance(commands=("mella benchmark tiny",), seeds={"bootstrap": 0}, versions=library_versions()),
        )  # fmt: skip
        return Result(record, (*cells, *english))

    return make
