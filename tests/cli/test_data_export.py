"""`mella data export`, put into a program of its own: the function is what the command is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from mella_retrieval.cli.data_export import export
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.errors import ConfigError
from mella_retrieval.pocket.world import generate_world


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pocket")
    generate_world(folder / "world", scenes=36)
    import_records(folder / "world", folder / "records")
    return folder / "records"


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(export)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_export__mella(records: Path, tmp_path: Path) -> None:
    ran = run(records, tmp_path / "m", "--to", "mella", "--where", "lang=hu|cs", "--no-pictures")
    count = Records.load(records).table(where={"lang": ["hu", "cs"]}).num_rows
    assert (ran.exit_code, ran.stdout.strip()) == (0, f"{tmp_path / 'm'}: {count} records"), ran.output
    assert sorted(path.name for path in (tmp_path / "m").glob("trans_*")) == ["trans_cs.json", "trans_hu.json"]
    ran = run(records, tmp_path / "k", "--to", "mella", "--source", "know", "--where", "lang=hu", "--json")
    assert json.loads(ran.stdout)["written"].keys() == {"know hu"}


def test_export__sft(records: Path, tmp_path: Path) -> None:
    ran = run(records, tmp_path / "s.jsonl", "--to", "sft", "--prompt", "What is in the picture?", "--where", "source=know")
    assert ran.exit_code == 0 and f"the pictures' paths are relative to {records.parent / 'world'}" in ran.stdout
    line = json.loads((tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert line["conversations"][0]["value"] == "<image>\nWhat is in the picture?"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "mella", "--prompt", "x"), "--prompt belongs to --to sft"),
        (("--to", "sft", "--prompt", "x", "--source", "know"), "belong to --to mella"),
        (
            (
                "--to",
                "sft",
            ),
            "prompt is empty",
        ),
    ],
)
def test_export__options_that_do_not_belong(records: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    ran = run(records, tmp_path / "x", *options)
    assert isinstance(ran.exception, ConfigError) and message in str(ran.exception)
    assert not (tmp_path / "x").exists()
