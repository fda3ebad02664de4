"""The floors of the house: imports go down the list, never up or sideways, wherever in a file they stand.

Read from the source, so that imports inside functions and under TYPE_CHECKING count and nothing needs to be installed.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = "mella_retrieval"
PACKAGE = Path(__file__).resolve().parents[1] / ROOT

# From the ground up. Names on one line do not import one another.
FLOORS = (
    {"errors"},  # part of the ground: the other three raise these
    {"artifacts", "languages", "recipes", "resampling", "sizes"},
    {"encoders"},
    {"data"},
    {"embeddings"},
    {"adapters", "indexes"},
    {"retriever"},
    {"adding"},
    {"benchmarks", "mllm", "pocket", "serving"},
    {"cli", "__main__"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

HEAVY = ("torch", "faiss", "transformers", "pyarrow", "numpy", "matplotlib")


def violations(package: Path) -> list[str]:
    """Every import that goes up or sideways, as `file:line: what`."""
    found = []
    for path in sorted(package.rglob("*.py")):
        module = (package.name, *path.relative_to(package).with_suffix("").parts)
        where = path.relative_to(package.parent)
        if module == (package.name, "__init__"):  # the roof: it hands out names of every floor, when they are asked for
            continue
        if module[1] not in FLOOR:
            found.append(f"{where}:1: {module[1]!r} stands on no floor of the list")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for line, target in imports(tree, module, package):
            problem = judged(module[1], target)
            if problem:
                found.append(f"{where}:{line}: {problem}")
    return found


def judged(own: str, target: str) -> str:
    if target == "":
        return "takes a name from the package's roof; import it from the module that defines it"
    if target == own:
        return ""
    if target not in FLOOR:
        return f"imports {target!r}, which stands on no floor of the list"
    if FLOOR[target] > FLOOR[own]:
        return f"{own} imports {target}, which is above it"
    if FLOOR[target] == FLOOR[own]:
        return f"{own} imports {target}, which is on the same floor"
    return ""


def imports(tree: ast.AST, module: tuple[str, ...], package: Path) -> Iterator[tuple[int, str]]:
    """Line and first-level name of everything that is imported from the package; "" stands for the package itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # The package of a module is its folder, and `module` of an __init__ ends in `__init__`: both drop one part.
            base = ".".join(module[: len(module) - node.level]) if node.level else ""
            origin = ".".join(filter(None, [base, node.module]))
            dotted = [f"{origin}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and imported_by_name(node):
            dotted = [imported_by_name(node)]
        else:
            continue
        for name in dotted:
            root, *rest = name.split(".")
            if root != package.name:
                continue
            if rest and rest[0].startswith("__") and rest[0] != "__main__":  # __version__ and the like
                continue
            inside = rest and ((package / rest[0]).is_dir() or (package / f"{rest[0]}.py").is_file() or len(rest) > 1)
            yield node.lineno, rest[0] if inside else ""


def imported_by_name(call: ast.Call) -> str:
    """The module in `import_module("...")` and `__import__("...")`, with what is known of an f-string."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if function not in {"import_module", "__import__"} or not call.args:
        return ""
    argument = call.args[0]
    if isinstance(argument, ast.JoinedStr):
        argument = argument.values[0]
    return argument.value.rstrip(".") if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else ""


def test_imports_go_down_the_floors():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize("own", ["web", "near", "formats", "collect", "ling", "compose"])
def test_ways_of_making_data_do_not_lean_on_one_another(own: str):
    others = {"collect", "ling", "compose"} - {own}
    text = "".join(path.read_text(encoding="utf-8") for path in (PACKAGE / "data" / own).rglob("*.py"))
    assert len(text) > 1000 and not any(f"{ROOT}.data.{other}" in text for other in others)


# The test of the test -----------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small house of the same name, in order."""
    files = {
        "__init__.py": "from mella_retrieval.retriever import Retriever\n",
        "errors.py": "",
        "artifacts.py": "from mella_retrieval.errors import ArtifactError\n",
        "data/__init__.py": "from .records import Records\nfrom mella_retrieval import __version__\n",
        "data/records.py": "import os, numpy\nfrom ..artifacts import sha256_file\nimport mella_retrieval.encoders.specs\n",
        "encoders/__init__.py": "",
        "encoders/specs.py": "from mella_retrieval import artifacts, errors\nfrom . import specs\n",
        "indexes/index.py": "from ..embeddings import sets\nimport importlib\nimportlib.import_module('numpy')\n",
        "embeddings/sets.py": "",
        "adapters/adapter.py": "",
        "retriever.py": "from mella_retrieval.indexes.index import Index\n",
        "benchmarks/run.py": "",
        "cli/__init__.py": "def main():\n    from mella_retrieval.benchmarks import run\n",
    }
    for name, text in files.items():
        path = tmp_path / ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / ROOT


def test_a_house_in_order_passes(house: Path):
    assert violations(house) == []


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("data/new.py", "from mella_retrieval.cli import main", "1: data imports cli, which is above it"),
        ("data/new.py", "import mella_retrieval.indexes.index as i", "1: data imports indexes, which is above it"),
        ("data/new.py", "from ..retriever import Retriever", "1: data imports retriever, which is above it"),
        ("data/new.py", "from .. import retriever", "1: data imports retriever, which is above it"),
        ("data/formats/new.py", "from ...embeddings.sets import x", "1: data imports embeddings, which is above it"),
        ("data/formats/__init__.py", "from ...embeddings import x", "1: data imports embeddings, which is above it"),
        ("errors.py", "from . import artifacts", "1: errors imports artifacts, which is above it"),
        ("recipes.py", "import mella_retrieval.artifacts", "1: recipes imports artifacts, which is on the same floor"),
        ("adapters/new.py", "\nfrom mella_retrieval import indexes", "2: adapters imports indexes, which is on the same"),
        ("benchmarks/new.py", "from mella_retrieval.pocket.world import x", "1: benchmarks imports pocket, which is on"),
        ("data/new.py", "def f():\n    from mella_retrieval.retriever import R", "2: data imports retriever"),
        ("data/new.py", "if TYPE_CHECKING:\n    from mella_retrieval.retriever import R", "2: data imports retriever"),
        ("data/new.py", "import_module('mella_retrieval.retriever')", "1: data imports retriever"),
        ("data/new.py", "importlib.import_module(f'mella_retrieval.cli.{name}')", "1: data imports cli"),
        ("data/new.py", "from mella_retrieval import Retriever", "1: takes a name from the package's roof"),
        ("data/new.py", "import mella_retrieval", "1: takes a name from the package's roof"),
        ("helpers.py", "", "1: 'helpers' stands on no floor"),
        ("data/new.py", "from mella_retrieval.helpers import x", "1: imports 'helpers', which stands on no floor"),
    ],
)
def test_each_way_up_or_sideways_is_caught(house: Path, file: str, text: str, problem: str):
    (house / file).parent.mkdir(exist_ok=True)
    (house / file).write_text(text)
    found = violations(house)
    assert len(found) == 1
    assert found[0].startswith(f"{ROOT}/{file}:{problem}")


# Instant imports ----------------------------------------------------------------------------------------------------


def loaded_after(statement: str, folder: Path) -> list[str]:
    code = f"import sys; {statement}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", [ROOT, f"{ROOT}.cli"])
def test_nothing_heavy_is_imported_before_it_is_needed(module: str):
    if module != ROOT and not any((PACKAGE / name).exists() for name in ("cli.py", "cli")):
        pytest.skip(f"{module} does not exist yet")
    assert loaded_after(f"import {module}", PACKAGE.parent) == []


def test_a_heavy_import_would_be_seen(tmp_path: Path):
    assert importlib.util.find_spec("numpy") is not None
    (tmp_path / "heavy.py").write_text("import numpy\n")
    assert loaded_after("import heavy", tmp_path) == ["numpy"]
