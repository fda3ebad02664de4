"""Near-equal texts: what must count as one text in many scripts, what must not, and pairs against brute force."""

from __future__ import annotations

import sys
import unicodedata
from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.near.groups import groups
from mella_retrieval.data.near.holders import Holders
from mella_retrieval.data.near.shingles import jaccard, normal_form, shingles
from mella_retrieval.data.near.texts import KnownTexts, SeenTexts, text_pairs
from mella_retrieval.errors import MissingDependencyError

SAME = [
    ("A red car by the sea", "a  RED car\tby the sea"),
    ("ﬁne Ｗide lｅtters", "fine wide letters"),
    (unicodedata.normalize("NFD", "Một chiếc xe đạp màu đỏ"), unicodedata.normalize("NFC", "một chiếc xe đạp màu đỏ")),
    ("STRASSE", "straße"),
    ("  도시의   밤 ", "도시의 밤"),
]
NEAR = [
    ("Two men are repairing the roof of an old house.", "Two men are repairing the roof of an old house"),
    ("รถสีแดงจอดอยู่บนถนนใกล้ทะเลในตอนเช้า", "รถสีแดงจอดอยู่บนถนนใกล้ทะเลในตอนเช้าๆ"),
    ("Một người đàn ông đang đứng trên cánh đồng lúa", "Một người đàn ông đang đứng trên cánh đồng lúa."),
    ("여름날 오후에 아이들이 바닷가에서 모래성을 쌓고 있습니다", "여름날 오후에 아이들이 바닷가에서 모래성을 쌓고 있습니다!"),
]
OTHER = [
    ("a dog in the park", "a cat in the park"),
    ("가방", "가방끈"),
    ("빨간 열매가 열린 나무", "노란 열매가 열린 나무"),
    ("photo 1", "photo 2"),
    ("x", "y"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_case_width_and_space_do_not_matter(first: str, second: str):
    assert normal_form(first) == normal_form(second)
    assert text_pairs([first, second], 1).tolist() == [[0, 1]]


@pytest.mark.parametrize(("first", "second"), NEAR)
def test_near_equal_texts_of_many_scripts_are_found(first: str, second: str):
    assert normal_form(first) != normal_form(second)
    assert text_pairs(["something else", first, second]).tolist() == [[1, 2]]


@pytest.mark.parametrize(("first", "second"), OTHER)
def test_other_texts_are_others(first: str, second: str):
    assert text_pairs([first, second]).tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_the_normal_form_is_settled_and_has_shingles(text: str):
    normal = normal_form(text)
    assert normal_form(normal) == normal
    assert shingles(normal)
    assert jaccard(shingles(normal), shingles(normal)) == 1


WORDS = ("small", "large", "red", "boat", "house", "tree", "street", "woman", "child", "runs", "stands", "near", "under", "old")


def series(seed: int, count: int) -> list[str]:
    """Sentences of a small vocabulary, some of them changed a little."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, 14)) for _ in range(count)]
    return texts + [text.replace(" ", "  ", 1).replace("r", "n", 1) for text in texts[::3]]


def test_pairs_are_true_and_almost_all_groups_are_found():
    texts = list(dict.fromkeys(map(normal_form, series(0, 300))))
    found = text_pairs(texts, 0.8)
    parts = [shingles(text) for text in texts]
    truth = np.array([(i, j) for i, j in combinations(range(len(texts)), 2) if jaccard(parts[i], parts[j]) >= 0.8])
    assert len(truth) >= 80
    assert {tuple(pair) for pair in found.tolist()} <= {tuple(pair) for pair in truth.tolist()}
    labels = groups(len(texts), found)
    assert (labels[truth[:, 0]] == labels[truth[:, 1]]).mean() >= 0.97


def test_equal_texts_are_paired_with_the_first():
    assert text_pairs(["A b", "other words", "a B", "a b"]).tolist() == [[0, 2], [0, 3]]
    assert text_pairs([]).shape == (0, 2)


def test_a_long_series_costs_no_square_and_stays_together():
    texts = [f"product picture of our summer catalogue, number {number:05d}, click to enlarge" for number in range(2000)]
    assert not groups(2000, text_pairs(texts, 0.8)).any()


def test_seen_texts_name_the_most_similar_kept_text():
    seen = SeenTexts()
    base = "two men are repairing the roof of an old house in the village"
    answers = [
        seen.seen(text) for text in (base, base.upper(), base + ".", base + ", as they said to us yesterday", "", "", base + ".")
    ]
    assert answers == [None, 0, 0, None, None, 4, 0]


def test_a_stream_finds_near_equal_texts_among_those_kept_and_misses_few():
    seen, kept = SeenTexts(), {}
    met = missed = 0
    for number, text in enumerate(series(1, 250)):
        parts = shingles(normal_form(text))
        likeness = {earlier: jaccard(parts, other) for earlier, other in kept.items()}
        found = seen.seen(text)
        if found is None:
            kept[number] = parts
            missed += max(likeness.values(), default=0.0) >= 0.8
        else:
            met += 1
            assert likeness[found] >= 0.8
    assert met >= 70
    assert missed <= 2


def test_known_texts_are_found_by_number():
    known = KnownTexts()
    texts = [f"{number * 7919 % 100003} words about the place {number * 104729 % 1299709}" for number in range(200)]
    assert [known.add(text) for text in texts] == list(range(200))
    assert known.add(texts[7]) == 7
    assert [known.find(text) for text in texts] == list(range(200))
    assert known.find(texts[30] + "!") == 30
    assert known.find("quite another text") is None
    assert known.holds(texts[5])
    assert not known.holds(texts[5] + "!")


def test_many_keys_are_merged_into_sorted_runs_and_still_found():
    holders, truth = Holders(5), defaultdict(list)
    keys = np.random.default_rng(0).integers(0, 200_000, (9000, 26), dtype=np.uint64)
    for place, row in enumerate(keys):
        holders.add(row, place)
        for key in set(row.tolist()):
            truth[key].append(place)
    for row in keys[::900]:
        found = set(holders.find(row))
        assert found <= {place for key in row.tolist() for place in truth[key]}
        assert found >= {place for key in row.tolist() for place in truth[key][:1]}


def test_a_similarity_of_one_asks_for_equal_texts_and_for_no_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    seen = SeenTexts(1)
    assert [seen.seen(text) for text in ("A b", "a  B", "a b.")] == [None, 0, None]
    assert text_pairs(["A b", "a  B", "a b."], 1).tolist() == [[0, 1]]


@pytest.mark.parametrize("similarity", [0.2, 1.1])
def test_useless_similarities_are_refused(similarity: float):
    with pytest.raises(ValueError, match="similarity"):
        text_pairs(["a"], similarity)


def test_without_datasketch_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(MissingDependencyError, match=r"datasketch: pip install mella-retrieval\[data\]"):
        SeenTexts()
