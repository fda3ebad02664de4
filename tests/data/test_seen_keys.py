from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mella_retrieval.data.seen import SeenKeys


@given(st.lists(st.lists(st.binary(max_size=2), max_size=30), max_size=20))
def test_seen_keys__agrees_with_a_set(batches: list[list[bytes]]) -> None:
    seen, reference = SeenKeys(), set[bytes]()
    for batch in batches:
        expected = []
        for key in batch:
            expected.append(key not in reference)
            reference.add(key)
        assert seen.add(batch).tolist() == expected
    assert len(seen) == len(reference)


def test_seen_keys__many_batches() -> None:
    seen = SeenKeys()
    for begin in range(0, 50_000, 1000):
        assert seen.add([str(number).encode() for number in range(begin, begin + 1500)]).sum() == (1500 if begin == 0 else 1000)
    assert len(seen) == 50_500
