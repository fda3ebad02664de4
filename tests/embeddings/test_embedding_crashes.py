"""Killed at any moment and started again, a job ends with the files of an undisturbed one, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crashing import TESTS, crash_everywhere
from fakes import FakeImageTower, files_of, picture_records, write_pictures

from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.embeddings.settings import EmbedSettings

JOBS = Path(__file__).with_name("embedding_jobs.py")


@pytest.mark.parametrize("job", ["changed", "tokens", "import"])
def test_a_job_that_dies_at_any_step_ends_as_an_undisturbed_one(tmp_path: Path, job: str):
    *crashes, undisturbed = crash_everywhere(JOBS, job, tmp_path)
    assert len(crashes) > 20
    expected = undisturbed["state"]
    assert any(name.endswith("manifest.json") for name in expected) and all(name.startswith("set/") for name in expected)
    for crash in crashes:
        assert crash["again"] == expected, f"killed before {crash['step']}"
        stands = {name: digest for name, digest in crash["state"].items() if name.startswith("set/")}
        former = crashes[0]["state"]  # a finished set, if there was one, stands until the new one takes its place
        assert stands in (former, expected), f"killed before {crash['step']}"


SLOW = """
import sys
from pathlib import Path
from fakes import FakeImageTower
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.embeddings.settings import EmbedSettings
print("ready", flush=True)
embed_images(Records.load(sys.argv[1]), FakeImageTower(pause=0.1), sys.argv[2], EmbedSettings(shard_rows=5, batch_size=2))
"""


def test_kill_minus_nine_at_random_moments(tmp_path: Path):
    names = write_pictures(tmp_path / "photos", 23)
    records = picture_records(tmp_path / "records", tmp_path / "photos", names)
    settings = EmbedSettings(shard_rows=5, batch_size=2)
    embed_images(records, FakeImageTower(), tmp_path / "undisturbed" / "set", settings)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SLOW, str(tmp_path / "records"), str(tmp_path / "killed" / "set")]
    chance = random.Random(5)
    for _ in range(2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.2, 0.6))
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
        process.stdout.close()
    assert not (tmp_path / "killed" / "set").exists() and (tmp_path / "killed" / "set.partial" / "journal.json").is_file()
    embed_images(records, FakeImageTower(), tmp_path / "killed" / "set", settings)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "undisturbed")
