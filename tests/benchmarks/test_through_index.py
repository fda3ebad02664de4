"""Ranks through an index beside exact ones."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mella_retrieval.benchmarks.evaluation import EvaluationSet, rank_system
from mella_retrieval.benchmarks.metrics import SEARCH_RECALL
from mella_retrieval.benchmarks.protocols import Captions, get_protocol
from mella_retrieval.benchmarks.results import SystemInfo
from mella_retrieval.benchmarks.run import Setup, System, run_task
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.benchmarks.through_index import DEPTH, RecipeSearcher, Through
from mella_retrieval.embeddings.imports import import_vectors, imported_tower
from mella_retrieval.errors import ConfigError, MismatchError, MissingDependencyError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.recipes import load_recipe

TASK = Task(name="t", title="T", source="made here", licence="CC0", protocols=("all-hit",), languages=("hu",))
FLAT, COARSE = IndexRecipe(), IndexRecipe(factory="IVF64,Flat", search={"nprobe": 1})


@pytest.fixture(scope="module")
def evaluation():
    owner = np.repeat(np.arange(600), 2)
    ids = [f"t{at}" for at in range(1200)]
    return EvaluationSet(tuple(f"i{at}" for at in range(600)), {"hu": Captions(owner, ids, ids)})


@pytest.fixture(scope="module")
def vectors(evaluation):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((600, 32)).astype(np.float32)
    return images, {"hu": images[evaluation.captions["hu"].image] + 2 * rng.standard_normal((1200, 32)).astype(np.float32)}


def ranked(vectors, evaluation, through, protocol="all-hit"):
    images, texts = vectors
    return through.rank("ours", texts, images, evaluation, get_protocol(protocol))


@pytest.mark.parametrize("protocol", ["all-hit", "first", "all-dedup"])
def test_exact_index__equals_exact_ranking_down_to_its_depth(vectors, evaluation, protocol):
    images, texts = vectors
    exact = rank_system("ours", texts, images, evaluation, get_protocol(protocol))
    through = ranked(vectors, evaluation, Through("flat", FLAT), protocol)
    for ours, theirs in zip(exact, through.cells, strict=True):
        assert (ours.query_id, ours.image_id, ours.direction) == (theirs.query_id, theirs.image_id, theirs.direction)
        near = ours.positions.values <= DEPTH
        assert 0.1 < near.mean() < 1
        np.testing.assert_array_equal(ours.positions.values[near], theirs.positions.values[near])
        assert (theirs.positions.values[~near] > DEPTH).all()
    assert set(through.recalls.values()) == {1.0}


def test_what_an_index_does_not_return_counts_as_last(vectors, evaluation):
    through = ranked(vectors, evaluation, Through("coarse", COARSE))
    t2i = through.cells[0]
    lost = t2i.rank[t2i.rank > DEPTH]
    assert lost.size
    assert set(lost.tolist()) == {600}
    assert 0.1 < through.recalls["hu", "t2i"] < 0.9


def test_ties_count_against_the_system_through_an_index_too():
    ids = tuple(f"i{at}" for at in range(5))
    evaluation = EvaluationSet(ids, {"hu": Captions(np.array([2]), ["x"], ["t"])})
    same = np.ones((5, 4), np.float32)
    found = Through("flat", FLAT).rank("constant", {"hu": same[:1]}, same, evaluation, get_protocol("first"))
    assert found.cells[0].rank.tolist() == [5]


@pytest.mark.parametrize("name", ["flat", "hnsw"])
def test_ties_that_the_depth_cuts_off_count_against_the_system(name):
    ids = tuple(f"i{at}" for at in range(333))
    evaluation = EvaluationSet(ids, {"hu": Captions(np.arange(333), [""] * 333, ids)})
    same = np.ones((333, 6), np.float32)
    recipe = load_recipe(IndexRecipe, "indexes", name)
    found = Through(name, recipe).rank("constant", {"hu": same}, same, evaluation, get_protocol("first"))
    for cell in found.cells:
        assert set(cell.rank.tolist()) == {333}


def test_parts_of_a_test_set_have_ranks_through_an_index_too(vectors, evaluation):
    captions = evaluation.captions["hu"]
    labels = {"source": ["know", "ling"] * 600}
    parted = EvaluationSet(evaluation.image_ids, {"hu": Captions(captions.image, captions.text, captions.text_id, labels)})
    exact = {(c.direction, c.subset): c for c in rank_system("o", vectors[1], vectors[0], parted, get_protocol("all-hit"))}
    through = ranked(vectors, parted, Through("flat", FLAT))
    assert len(through.cells) == len(exact) == 6
    for cell in through.cells:
        own = exact[cell.direction, cell.subset]
        near = own.rank <= DEPTH - 2
        np.testing.assert_array_equal(own.rank[near], cell.rank[near])


def test_run_task__shows_the_exact_system_and_the_one_through_an_index(vectors, evaluation):
    images, texts = vectors
    system = System(SystemInfo(name="ours", role="system"), texts, images, through=Through("coarse", COARSE))
    result = run_task(Setup(TASK, evaluation, Bootstrap(resamples=20)), [system])[0]
    roles = {info.name: info.role for info in result.record.systems}
    assert roles["ours through coarse"] == "index"
    exact, lossy = (result.score(name, "hu", "t2i", "R@10").value for name in ("ours", "ours through coarse"))
    assert lossy < exact
    assert 0.1 < result.score("ours through coarse", "hu", "t2i", SEARCH_RECALL).value < 0.9
    assert result.score("ours through coarse", "mean", "t2i", SEARCH_RECALL).value == pytest.approx(
        result.score("ours through coarse", "hu", "t2i", SEARCH_RECALL).value
    )


@pytest.fixture
def folder(vectors, evaluation, tmp_path):
    def build(rows=slice(None)):
        ids = pa.table({"id": list(evaluation.image_ids)[rows]})
        tower = imported_tower("open_clip:somebody/clip", "image", 32)
        made = import_vectors(tmp_path / "vectors", tower, [(vectors[0][rows], ids)], "a")
        return build_index(made, tmp_path / "index", overwrite=True)

    return build


def test_a_folder__is_searched_as_an_app_would(vectors, evaluation, folder):
    through = ranked(vectors, evaluation, Through("index", FLAT, folder()))
    made_here = ranked(vectors, evaluation, Through("flat", FLAT))
    for ours, theirs in zip(through.cells, made_here.cells, strict=True):
        np.testing.assert_array_equal(ours.rank, theirs.rank)


def test_a_folder__of_another_gallery_is_refused(vectors, evaluation, folder):
    with pytest.raises(MismatchError, match="1 of its 600 pictures are missing"):
        ranked(vectors, evaluation, Through("index", FLAT, folder(slice(1, None))))


def test_a_folder__of_another_adapter_is_refused(vectors, evaluation, folder):
    images, texts = vectors
    info = SystemInfo(name="ours", role="system", adapter={"fingerprint": "a" * 64})
    system = System(info, texts, images, through=Through("index", FLAT, folder()))
    with pytest.raises(MismatchError, match="aaaaaaaaaaaa"):
        run_task(Setup(TASK, evaluation, Bootstrap(resamples=2)), [system])


@pytest.mark.parametrize("name", ["flat", "hnsw"])
def test_shipped_recipes__serve_an_evaluation(vectors, evaluation, name):
    through = ranked(vectors, evaluation, Through(name, load_recipe(IndexRecipe, "indexes", name)))
    assert min(through.recalls.values()) > 0.95


def test_captions_are_indexed_where_the_device_is():
    with pytest.raises(ConfigError, match="mps"):
        RecipeSearcher.build(IndexRecipe(), np.eye(4, dtype=np.float32), "mps")
    with pytest.raises(MissingDependencyError, match="no cuda:99"):
        RecipeSearcher.build(IndexRecipe(), np.eye(4, dtype=np.float32), "cuda:99")
