"""`mella describe` as the program shows it: its help, and errors as one sentence."""

from __future__ import annotations

from pathlib import Path

from program import Mella


def test_help_names_the_kinds_of_captioners(mella: Mella) -> None:
    ran = mella("describe", "--help")
    assert ran.code == 0
    assert "transformers:FOLDER_OR_NAME" in ran.out
    assert "server:http://HOST:PORT/v1" in ran.out
    assert "describe" in mella("--help").out


def test_errors_are_one_sentence(mella: Mella, tmp_path: Path) -> None:
    ran = mella("describe", tmp_path / "gone", tmp_path / "out", "-c", "server:http://127.0.0.1:9/v1?model=x")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: ")
    assert "gone" in ran.err
    assert "Traceback" not in ran.err
    ran = mella("describe", tmp_path / "gone", tmp_path / "out")
    assert ran.code == 2
    assert "--captioner" in ran.err


def test_the_recipe_can_be_copied(mella: Mella, tmp_path: Path) -> None:
    ran = mella("recipes", "copy", "mllm", "describe", tmp_path / "mine.yaml")
    assert ran.code == 0, ran.err
    assert "views: 1" in (tmp_path / "mine.yaml").read_text(encoding="utf-8")
