"""Whatever kills the job, it goes on where it stopped and ends with the same bytes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from crashing import crash_everywhere


def test_a_killed_job_continues_and_asks_at_most_one_shard_again(tmp_path: Path):
    *crashes, undisturbed = crash_everywhere(Path(__file__).with_name("ling_jobs.py"), "ling", tmp_path)
    assert len(crashes) > 20
    questions = Counter(undisturbed["state"]["asked"])
    assert len(questions) == 8
    assert set(questions.values()) == {1}
    for crash in crashes:
        where = f"killed before {crash['step']}"
        assert crash["state"]["files"] in ({}, undisturbed["state"]["files"]), where
        assert crash["again"]["files"] == undisturbed["state"]["files"], where
        assert crash["again"]["stray"] == [], where
        twice = [question for question, times in Counter(crash["again"]["asked"]).items() if times > 1]
        assert len(twice) <= 2, where
        assert max(Counter(crash["again"]["asked"]).values()) <= 2, where
        assert set(crash["again"]["asked"]) == set(questions), where
