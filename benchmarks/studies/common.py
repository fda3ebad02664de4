"""What the studies share: where the real material lies, hashes of what made a result, tables in the pages."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deciding import REPOSITORY, deciding_files

from mella_retrieval.artifacts import sha256_file
from mella_retrieval.benchmarks.results import Record, Result

SHARED = REPOSITORY.parent / "shared"
DATA, MODELS = SHARED / "data", SHARED / "models"
RESULTS = REPOSITORY / "benchmarks" / "results"
RUNS = REPOSITORY / "runs"


def require(*paths: Path) -> None:
    """End with a sentence where the real material is not at hand."""
    for path in paths:
        if not path.exists():
            sys.exit(f"this study needs {path.relative_to(REPOSITORY.parent)}, which is not part of the repository.")


def hashes(script: Path, inputs: Iterable[Path], recipes: Iterable[str] = ()) -> dict[str, str]:
    """What `make results-check` compares: one hash per input file, one over code and recipes.

    A recipe that is a script (`benchmarks/studies/emoji.py`, `mella_retrieval/cli/train.py`) counts with all that it imports.
    """
    chosen = [REPOSITORY / recipe for recipe in recipes]
    scripts = [script, *(path for path in chosen if path.suffix == ".py")]
    digest = hashlib.sha256()
    for path in [*(path for path in chosen if path.suffix != ".py"), *deciding_files(scripts)]:
        digest.update(f"{path.relative_to(REPOSITORY)}\0{sha256_file(path)}\n".encode())
    found = {f"shared/{path.relative_to(SHARED)}": sha256_file(path) for path in inputs}
    return {"code": digest.hexdigest(), "script": str(script.relative_to(REPOSITORY)), "recipes": " ".join(recipes), **found}


def write_table(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace the part of a page between `<!-- name -->` and `<!-- /name -->`."""
    text = page.read_text(encoding="utf-8")
    part = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if not part.search(text):
        sys.exit(f"{page} has no place for the table {name!r}.")
    body = "\n".join(lines)
    page.write_text(part.sub(lambda found: f"{found[1]}{body}\n{found[2]}", text), encoding="utf-8")
    print(body)


def percent(
    result: Result, system: str, language: str, direction: str, metric: str = "R@10", *, subset: str = "", interval: bool = False
) -> str:
    """A score in percent, with half the width of its interval if asked for; "-" where there is none."""
    score = result.score(system, language, direction, metric, subset)
    if score.value is None:
        return "-"
    text = f"{100 * score.value:.1f}"
    if interval and score.low is not None and score.high is not None:
        text += f" [{100 * score.low:.1f}, {100 * score.high:.1f}]"
    return text


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]


def save_json(path: Path, value: Mapping[str, object]) -> None:
    """Write a plain JSON result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_without_machine_paths(json.dumps(value, indent=2, ensure_ascii=False)) + "\n", encoding="utf-8")


def save_result(result: Result, folder: Path, made_of: Mapping[str, str], commands: Sequence[str]) -> None:
    """Keep a result with the hashes of what made it and without the paths of the machine it ran on."""
    provenance = result.record.provenance.model_copy(update={"hashes": dict(made_of), "commands": tuple(commands)})
    record = result.record.model_copy(update={"provenance": provenance})
    plain = json.loads(_without_machine_paths(record.model_dump_json()))
    Result(Record.model_validate(plain), result.ranks).save(folder)


def _without_machine_paths(text: str) -> str:
    for path, name in ((SHARED, "shared"), (SHARED.resolve(), "shared"), (REPOSITORY, ".")):  # the material may be a link
        text = text.replace(str(path), name)
    return text
