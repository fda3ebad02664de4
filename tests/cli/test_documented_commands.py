"""Commands of the pages that a reader will copy, run as a shell would hand them over."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from program import Mella

DOCS = Path(__file__).parents[2] / "docs"


def test_the_text_corpus_of_old_vectors_is_imported(mella: Mella, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "old-vectors.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if "mella data import" in line)
    (tmp_path / "sentences.csv").write_text("text\nA red house.\nA ski pole.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    ran = mella(*shlex.split(line)[1:])
    assert (ran.code, ran.out.strip()) == (0, "english: 2 of 2 rows kept"), ran.err
