"""A collection that dies at any step at which it touches the disk goes on and gives the same bytes."""

from __future__ import annotations

from pathlib import Path

from crashing import crash_everywhere


def test_killed_anywhere_a_collection_goes_on(tmp_path: Path):
    results = crash_everywhere(Path(__file__).with_name("crashing_collection.py"), "collect", tmp_path)
    whole = results[-1]["state"]
    assert whole["out"]
    assert len(results) > 40
    for result in results:
        assert result["state"]["out"] in (None, whole["out"]), f"half a folder after {result['step']}"
        assert result["again"]["out"] == whole["out"], f"other bytes after {result['step']}"
