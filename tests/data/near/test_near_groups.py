from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.near.groups import groups, joined


def by_hand(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    labels = list(range(count))
    for _ in range(count):
        for left, right in pairs:
            labels[left] = labels[right] = min(labels[left], labels[right])
    return labels


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(1, 25))
    member = st.integers(0, count - 1)
    return count, draw(st.lists(st.tuples(member, member), max_size=30))


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 30))
def test_groups_are_the_connected_components_and_can_be_joined_step_by_step(graph: tuple[int, list[tuple[int, int]]], cut: int):
    count, pairs = graph
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    expected = by_hand(count, pairs)
    assert groups(count, edges).tolist() == expected
    assert joined(groups(count, edges[:cut]), edges[cut:]).tolist() == expected


def test_a_long_chain_in_any_order_is_one_group():
    links = np.stack([np.arange(9999), np.arange(1, 10000)], axis=1)
    shuffled = np.random.default_rng(0).permutation(links)
    assert not groups(10000, shuffled).any()
