"""Our numbers beside the recorded ones of clip-benchmark, mteb and sentence-transformers (`make parity` renews those)."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "parity"))

import check
import recorded
import vectors

PEERS = ("clip-benchmark", "mteb", "sentence-transformers")
CUTOFFS = (1, 3, 5, 10, 20, 100, 1000)
AS_MTEB = {"nDCG@10", *(f"recall@{k}" for k in CUTOFFS), *(f"hit rate@{k}" for k in CUTOFFS)}


@pytest.fixture(scope="module")
def synthetic():
    return vectors.synthetic()


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    if not (shared_data / "flickr8k-clip").is_dir():
        pytest.skip("the test bed is not beside the repository")
    return vectors.real(tmp_path_factory.mktemp("parity"))


@pytest.fixture(scope="module")
def peers():
    return recorded.load()


def test_synthetic_vectors__have_no_ties(synthetic):
    assert vectors.smallest_gap(synthetic) >= vectors.GAP


@pytest.mark.parametrize("peer", PEERS)
def test_our_numbers__equal_the_peers(peer, peers, synthetic):
    compared = list(check.compare(peers[peer], "synthetic", synthetic))
    assert check.problems(peers[peer], "synthetic", synthetic, compared) == []
    assert {one.language for one in compared} == {"cs", "hu", "th"}
    names = {(one.protocol, one.direction, one.metric) for one in compared}
    if peer == "clip-benchmark":
        assert names == {(name, way, f"R@{k}") for name in ("first", "all-hit") for way in ("t2i", "i2t") for k in (1, 5, 10)}
    else:
        assert names == {("all", way, metric) for way in ("t2i", "i2t") for metric in AS_MTEB | {"MRR", "mAP"}}
    assert len({one.ours for one in compared}) > len(compared) / 4  # they are not all 0 or 1


@pytest.mark.real
@pytest.mark.parametrize("peer", PEERS)
def test_our_numbers__equal_the_peers_on_real_vectors(peer, peers, real):
    compared = list(check.compare(peers[peer], "real", real))
    if peers[peer]["vectors"]["real"] == real.hashes():
        assert [one for one in compared if not one.equal] == []
    else:  # a processor that adds in another order: the towers' last bits differ, and two of 160 queries may change places
        assert max(one.difference for one in compared) <= 2 / 160
    assert {one.language for one in compared} == set(vectors.REAL_LANGUAGES)


@pytest.mark.parametrize("peer", PEERS)
def test_a_changed_number_is_found(peer, peers, synthetic):
    changed = copy.deepcopy(peers[peer])
    protocol = next(iter(changed["scores"]["synthetic"]))
    numbers = changed["scores"]["synthetic"][protocol]["hu"]
    name = next(name for name in numbers if name.endswith(("@10", "_at_10")))
    numbers[name] += 2 * check.ALLOWED[peer]
    compared = list(check.compare(changed, "synthetic", synthetic))
    assert [check.our_name(peer, name)] == [(one.direction, one.metric) for one in compared if not one.equal]
    (problem,) = check.problems(changed, "synthetic", synthetic, compared)
    assert problem.startswith(f"{peer}: ")


def test_other_vectors_are_found(peers, synthetic):
    other = replace(synthetic, texts={**synthetic.texts, "hu": synthetic.texts["hu"][::-1].copy()})
    for peer, value in peers.items():
        compared = list(check.compare(value, "synthetic", other))
        assert {one.language for one in compared if not one.equal} == {"hu"}
        assert f"{peer}: was asked about other synthetic vectors" in check.problems(value, "synthetic", other, compared)[-1]


def test_table__a_line_for_each_metric(peers, synthetic):
    compared = {"synthetic": [one for value in peers.values() for one in check.compare(value, "synthetic", synthetic)]}
    lines = check.table(compared)
    assert len(lines) == 2 + 4 + 2 * 10
    assert sum("nDCG@10" in line for line in lines) == 4


def test_recorded_outputs__name_what_produced_them(peers):
    assert set(peers) == set(PEERS)
    for peer, value in peers.items():
        assert {"benchmarks/parity/vectors.py", f"benchmarks/parity/{peer.replace('-', '_')}_peer.py"} <= set(value["made_of"])
        assert peer in value["versions"]
        changed = {**value, "made_of": {**value["made_of"], "benchmarks/parity/vectors.py": "0" * 64}}
        assert "benchmarks/parity/vectors.py" in recorded.outdated(changed)
