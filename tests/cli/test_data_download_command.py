from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from file_server import Files, serving
from typer.testing import CliRunner, Result

from mella_retrieval.cli.data_download import download
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ConfigError

HERE = ("allow_private=true", "per_host=0", "pause=0")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[tuple[Path, Files]]:
    """Records of three pictures, of which two are there, and their server."""
    from PIL import Image

    content = {}
    for colour in ("red", "blue"):
        Image.new("RGB", (4, 3), colour).save(tmp_path / "picture.png")
        content[f"/{colour}"] = (tmp_path / "picture.png").read_bytes()
    with serving(Files(content)) as files:
        rows = [RawRecord(name, files.url(f"/{name}"), f"a {name} picture", "en") for name in ("red", "blue", "gone")]
        write_records(tmp_path / "records", rows)
        yield tmp_path / "records", files


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(download)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_download(records: tuple[Path, Files], tmp_path: Path):
    ran = run(records[0], tmp_path / "out", *HERE)
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'out'}: 2 of 3 records kept; 2 of 3 URLs gave a picture"
    assert lines[1:3] == ["  failed 1: dead link", "  hosts that failed most: 127.0.0.1 1"]
    assert lines[-1].endswith("skipped.csv")
    assert len(Records.load(tmp_path / "out")) == 2
    asked = [path for path, _ in records[1].requests]
    assert sorted(asked) == ["/blue", "/gone", "/red", "/robots.txt"]


def test_download__for_a_program(records: tuple[Path, Files], tmp_path: Path):
    ran = run(records[0], tmp_path / "out", *HERE, "--json")
    found = json.loads(ran.stdout)
    assert (found["read"], found["kept"], found["urls"], found["failed"]) == (3, 2, 3, {"dead link": 1})
    assert isinstance(run(records[0], tmp_path / "out", *HERE).exception, Exception)
    assert run(records[0], tmp_path / "out", *HERE, "--overwrite").exit_code == 0


def test_download__options_that_do_not_exist(records: tuple[Path, Files], tmp_path: Path):
    ran = run(records[0], tmp_path / "out", "per_hots=1")
    assert isinstance(ran.exception, ConfigError)
    assert "Did you mean 'per_host'" in str(ran.exception)
    assert records[1].requests == []
