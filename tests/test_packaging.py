import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel__carries_recipes_towers_and_tables_but_no_studies(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    kinds = ("adapters", "indexes", "benchmarks")
    recipes = {path.relative_to(REPOSITORY).as_posix() for kind in kinds for path in (REPOSITORY / kind).glob("*.yaml")}
    assert {f"mella_retrieval/_recipes/{name}" for name in recipes} <= names
    assert "mella_retrieval/_recipes/benchmarks/published/xm3600.csv" in names
    assert "mella_retrieval/_recipes/benchmarks/classes/cifar10.yaml" in names
    assert {"mella_retrieval/languages.csv", "mella_retrieval/benchmarks/report/templates/report.html"} <= names
    assert {f"mella_retrieval/data/recipes/{name}.yaml" for name in ("know", "ling", "compose")} <= names
    mllm = {path.name for path in (REPOSITORY / "mella_retrieval" / "mllm" / "recipes").glob("*.yaml")}
    assert {"describe.yaml", "translate.yaml", "small.yaml", "score.yaml", "prompts.yaml"} <= mllm
    assert {f"mella_retrieval/mllm/recipes/{name}" for name in mllm} <= names
    assert "mella_retrieval/mllm/score/stop_words.yaml" in names
    assert {"mella_retrieval/data/collect/filters/boilerplate.yaml", "mella_retrieval/cli/templates/look.html"} <= names
    assert "mella_retrieval/pocket/towers/image/open_clip_model.safetensors" in names
    assert not [name for name in names if "studies" in name or "results/" in name]


def test_recipes__are_found_in_an_unpacked_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = (
        "from mella_retrieval.recipes import find_recipe as find; print(find('adapters', 'ridge')); print(find('data', 'know'))"
    )
    environment = {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    package = tmp_path / "installed" / "mella_retrieval"
    expected = [package / "_recipes" / "adapters" / "ridge.yaml", package / "data" / "recipes" / "know.yaml"]
    assert found.stdout.split() == list(map(str, expected))
