"""`mella recipes list|copy`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval import recipes
from mella_retrieval.artifacts import atomic_write
from mella_retrieval.cli.options import OVERWRITE
from mella_retrieval.cli.output import print_table, say
from mella_retrieval.errors import ArtifactError

app = typer.Typer(no_args_is_help=True, help="The recipes that come with the package: list them, copy one to change it.")


@app.command("list")
def list_() -> None:
    """List the recipes: adapters (methods), indexes (FAISS kinds), benchmarks (tasks), data (records), mllm (MLLMs)."""
    rows = [[kind, path.stem, _first_comment(path)] for kind, paths in recipes.list_recipes().items() for path in paths]
    print_table(["kind", "recipe", "what it is"], rows)


@app.command()
def copy(
    kind: str = typer.Argument(help="adapters, indexes, benchmarks, data or mllm."),
    name: str = typer.Argument(help="Name of the recipe, as `mella recipes list` shows it."),
    to: Path = typer.Argument(Path(), help="File or folder to copy it to."),
    overwrite: bool = OVERWRITE,
) -> None:
    """Copy a recipe, to change it and use it by path: `mella recipes copy adapters ridge my-ridge.yaml`."""
    if kind not in recipes.KINDS:
        raise typer.BadParameter(f"must be one of {', '.join(recipes.KINDS)}", param_hint="KIND")
    source = recipes.find_recipe(kind, name)
    target = to / source.name if to.is_dir() else to
    if target.exists() and not overwrite:
        raise ArtifactError(f"{target} already exists; choose another name, or --overwrite.")
    with atomic_write(target) as file:
        file.write(source.read_bytes())
    say(str(target))


def _first_comment(path: Path) -> str:
    line = path.read_text(encoding="utf-8").splitlines()[0]
    return line.lstrip("# ") if line.startswith("#") else ""
