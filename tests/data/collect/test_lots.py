"""The lowest lots of each kind, in whatever order they come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.collect.lots import Lots


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=30), st.integers(0, 4), st.randoms())
def test_the_lowest_stay(drawn: list[tuple[str, int]], size: int, random):
    for _ in range(2):
        lots: Lots[str, int] = Lots(size)
        for kind, lot in drawn:
            if lots.wants(kind, lot):
                lots.add(kind, lot, lot)
        expected = {kind: sorted(lot for own, lot in drawn if own == kind)[:size] for kind in "ab"}
        assert lots.all() == {kind: found for kind, found in expected.items() if found}
        random.shuffle(drawn)


def test_parts_add_up_to_the_whole():
    numbers = [(7 * n) % 50 for n in range(50)]
    whole, parts = Lots[str, int](5), [Lots[str, int](5), Lots[str, int](5)]
    for number in numbers:
        parts[number % 2].add("x", number, number)
    for part in parts:
        for number in part.all()["x"]:
            whole.add("x", number, number)
    assert whole.all() == {"x": [0, 1, 2, 3, 4]}
