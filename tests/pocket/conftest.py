from __future__ import annotations

import json
from pathlib import Path

import pytest

from mella_retrieval.pocket.world import generate_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pocket") / "world"
    generate_world(folder, seed=0, scenes=60)
    return folder


@pytest.fixture(scope="session")
def scenes(world: Path) -> list[dict]:
    return [json.loads(line) for line in (world / "scenes.jsonl").read_text(encoding="utf-8").splitlines()]
