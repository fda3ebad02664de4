from __future__ import annotations

from itertools import pairwise

from clocks import StillClock
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.web.pace import Pace


def run(pace: Pace[str], clock: StillClock, takes: float = 0.0) -> list[tuple[float, str, str]]:
    """Ask until nothing waits; each request takes so long. Gives when what was asked."""
    asked = []
    while (seconds := pace.wait()) is not None:
        clock.advance(seconds)
        if (taken := pace.take()) is not None:
            asked.append((clock.now(), *taken))
            clock.advance(takes)
            pace.done(taken[0])
    return asked


def test_a_host_is_asked_at_its_pace():
    clock = StillClock()
    pace: Pace[str] = Pace(2.0, 4, clock)
    for number in range(5):
        pace.put("a", str(number))
    assert [(when, item) for when, _, item in run(pace, clock)] == [(number / 2, str(number)) for number in range(5)]


def test_hosts_do_not_wait_for_one_another():
    clock = StillClock()
    pace: Pace[str] = Pace(1.0, 4, clock)
    for number in range(100):
        pace.put("large", str(number))
    pace.put("small", "only")
    asked = run(pace, clock)
    assert [when for when, host, _ in asked if host == "small"] == [0.0]
    assert asked[-1][0] == 99.0


def test_without_a_pace_hosts_take_turns():
    clock = StillClock()
    pace: Pace[str] = Pace(0.0, 4, clock)
    for host in ("a", "b", "c"):
        for number in range(3):
            pace.put(host, str(number))
    assert [host for _, host, _ in run(pace, clock, takes=0.1)] == ["a", "b", "c"] * 3


def test_no_more_than_so_many_at_once():
    pace: Pace[str] = Pace(0.0, 2, StillClock())
    for number in range(4):
        pace.put("a", str(number))
    pace.put("b", "other")
    assert [pace.take() for _ in range(4)] == [("a", "0"), ("b", "other"), ("a", "1"), None]
    assert pace.wait() is None
    pace.done("a")
    assert pace.take() == ("a", "2")


def test_a_host_that_rests_keeps_nobody_else():
    clock = StillClock()
    pace: Pace[str] = Pace(0.0, 4, clock)
    pace.put("tired", "1")
    pace.put("fresh", "1")
    pace.hold("tired", 30)
    assert run(pace, clock) == [(0.0, "fresh", "1"), (30.0, "tired", "1")]


def test_what_is_put_off_comes_when_its_time_has_come_and_first():
    clock = StillClock()
    pace: Pace[str] = Pace(1.0, 4, clock)
    pace.put_back("a", "again", 1.5)
    for number in range(4):
        pace.put("a", str(number))
    assert [(when, item) for when, _, item in run(pace, clock)] == [(0, "0"), (1, "1"), (2, "again"), (3, "2"), (4, "3")]


def test_drop__takes_away_all_of_a_host():
    clock = StillClock()
    pace: Pace[str] = Pace(1.0, 4, clock)
    pace.put("a", "1")
    pace.put_back("a", "2", 9)
    pace.put("b", "3")
    assert sorted(pace.drop("a")) == ["1", "2"]
    assert run(pace, clock) == [(0.0, "b", "3")]
    pace.put("a", "4")
    assert pace.empty() == ["4"]
    assert pace.take() is None


hosts = st.sampled_from(["a", "b", "c"])
steps = st.lists(st.tuples(st.sampled_from(["put", "later", "hold", "take", "done", "wait"]), hosts), max_size=60)


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from([0.0, 0.5, 4.0]), st.integers(1, 3))
def test_nothing_is_lost_and_no_pace_is_broken(steps: list[tuple[str, str]], rate: float, at_once: int):
    clock = StillClock()
    pace: Pace[str] = Pace(rate, at_once, clock)
    put, asked, active = 0, [], []

    def take() -> None:
        if (taken := pace.take()) is not None:
            asked.append((clock.now(), *taken))
            active.append(taken[0])

    for step, host in steps:
        if step == "put":
            pace.put(host, f"{host}{put}")
            put += 1
        elif step == "later":
            pace.put_back(host, f"{host}{put}", 1)
            put += 1
        elif step == "hold":
            pace.hold(host, 0.7)
        elif step == "done" and active:
            pace.done(active.pop(0))
        elif step == "wait":
            clock.advance(0.3)
        elif step == "take":
            take()
        assert all(active.count(name) <= at_once for name in "abc")
    while active or pace.wait() is not None:
        clock.advance(pace.wait() or 0.0)
        take()
        if active:
            pace.done(active.pop(0))
    assert len({item for _, _, item in asked}) == len(asked) == put
    for name in "abc":
        times = [when for when, host, _ in asked if host == name]
        assert all(later - earlier >= (1 / rate if rate else 0) - 1e-9 for earlier, later in pairwise(times))
