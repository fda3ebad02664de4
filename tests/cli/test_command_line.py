"""The program as a whole: help at once, exit codes, one clean sentence for an error."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer
from program import Mella

from mella_retrieval.cli.app import app

HEAVY = (
    "torch",
    "faiss",
    "transformers",
    "sentence_transformers",
    "open_clip",
    "pyarrow",
    "numpy",
    "matplotlib",
    "PIL",
    "sklearn",
)


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    root = typer.main.get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        found.append((name,))
        found += [(name, inner) for inner in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...], mella: Mella):
    ran = mella(*command, "--help")
    assert ran.code == 0
    assert "Usage: mella" in ran.out
    assert ran.err == ""
    assert mella(*command, "-h").out == ran.out


def test_the_commands_of_this_slice_are_there():
    there = {" ".join(command) for command in commands()}
    wanted = {"quickstart", "train", "search", "benchmark", "compare", "data import", "data check", "data stats"}
    wanted |= {"embed images", "embed texts", "embed import", "index build", "index info", "recipes list", "recipes copy"}
    assert wanted <= there


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["recipes", "list"]], ids=" ".join)
def test_help_and_recipes_import_nothing_heavy(arguments: list[str]):
    code = f"""
import sys
import warnings
from mella_retrieval.cli import main
sys.argv = ["mella", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    print("code", stop.code, *sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stderr.strip() == "code 0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "import", "nowhere", "out"], "there is no file or folder nowhere"),
        (["data", "check", "nowhere"], "there is no folder nowhere"),
        (["data", "stats", "nowhere"], "there is no folder nowhere"),
        (["embed", "texts", "nowhere", "out", "-t", "sentence-transformers:x"], "there is no folder nowhere"),
        (["embed", "images", "nowhere", "out", "-t", "open_clip:x"], "there is no folder nowhere"),
        (["embed", "import", "nowhere", "out", "-t", "x"], "there is no file or folder nowhere"),
        (["train", "ridge", "out", "--pairs", "nowhere", "--image-vectors", "nowhere"], "there is no folder nowhere"),
        (["index", "build", "nowhere", "out"], "there is no folder nowhere"),
        (["index", "info", "nowhere"], "there is no folder nowhere"),
        (["search", "nowhere", "dog"], "there is no folder nowhere"),
        (["train", "nowhere.yaml", "out"], "there is no recipe file nowhere.yaml"),
        (["train", "rigde", "out"], "Did you mean 'ridge'?"),
        (["train", "ridge", "out", "penaltys=[1]"], "unknown key 'penaltys'. Did you mean 'penalties'?"),
        (["train", "ridge", "out", "penalties"], "not an override of the form key=value"),
        (["train", "ridge", "out"], "ridge needs"),
        (["train", "ridge", "out", "--device", "gpu"], "'gpu' is no device"),
        (["train", "uclip-published", "out", "epochs=9"], "published: true fixes every setting; leave out epochs"),
        (["train", "best", "out", "parts=[{method: average}]"], "a part's method is one of"),
        (["data", "sentences", "nowhere", "out"], "there is no folder nowhere"),
        (["index", "build", "x", "out", "fatory=Flat"], "Did you mean 'factory'?"),
        (["index", "build", "x", "out", "--recipe", "flaat"], "Did you mean 'flat'?"),
        (["recipes", "copy", "adapters", "rigde"], "Did you mean 'ridge'?"),
        (["data", "import", "x", "out", "overwrite=true"], "--overwrite"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_sentence_and_exit_code_1(
    arguments: list[str], message: str, mella: Mella, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    ran = mella(*arguments)
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.strip().startswith("error: "), ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert message in ran.err
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["serch"],
        ["train"],
        ["train", "ridge", "out", "--seed", "one"],
        ["search", "index"],
        ["search", "index", "dog", "--image", "x.png"],
        ["search", "index", "dog", "-k", "0"],
        ["embed", "texts", "records", "out", "-t", "x", "--dtype", "float8"],
        ["embed", "import", __file__, "out", "-t", "x"],
        ["recipes", "copy", "adaptors", "ridge"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], mella: Mella):
    ran = mella(*arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert "Usage" in ran.err


def test_an_interrupted_command_says_so_and_exits_with_130(mella: Mella, monkeypatch: pytest.MonkeyPatch):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mella_retrieval.recipes.list_recipes", interrupt)
    ran = mella("recipes", "list")
    assert ran.code == 130
    assert ran.err.startswith("error: interrupted. What was finished is kept")


def test_a_reader_that_goes_away_is_no_traceback():
    read_end, write_end = os.pipe()
    os.close(read_end)
    code = "from mella_retrieval.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "recipes", "list"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(write_end)
    assert ran.returncode == 1
    assert ran.stderr == ""


@pytest.mark.parametrize("verbose", [False, True])
def test_libraries__tell_users_nothing_that_is_meant_for_authors(
    verbose: bool, mella: Mella, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "")
    monkeypatch.delenv("TRANSFORMERS_VERBOSITY")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert mella(*(["--verbose"] if verbose else []), "recipes", "list").code == 0
        warnings.warn("a name that grew old", FutureWarning, stacklevel=1)
        warnings.warn("a picture without colours", UserWarning, stacklevel=1)
    assert [warning.category for warning in told] == [FutureWarning, UserWarning][0 if verbose else 1 :]
    assert os.environ.get("TRANSFORMERS_VERBOSITY") == (None if verbose else "error")
