"""`mella push`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.output import say

if TYPE_CHECKING:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.adapters.card import Measurement
    from mella_retrieval.benchmarks.results import Result


def push(
    adapter: Path = typer.Argument(help="Folder of the adapter."),
    name: str = typer.Argument(metavar="OWNER/NAME", help="Its name on the hub; the repository is made if it is not there."),
    result: list[Path] = typer.Option([], "--result", "-r", metavar="DIR", help="A result of `mella benchmark` for its card."),
    license_: str = typer.Option("", "--license", metavar="ID", help="Licence of the adapter for its card, such as apache-2.0."),
    dataset: list[str] = typer.Option([], "--dataset", metavar="OWNER/NAME", help="Training data on the hub, for its card."),
    text_tower: str | None = typer.Option(
        None, "--text-tower", metavar="SPEC", help="What others load the text tower by, where yours is a local folder."
    ),
    image_tower: str | None = typer.Option(None, "--image-tower", metavar="SPEC", help="The same for the image tower."),
    private: bool = typer.Option(False, "--private", help="Make the repository private, if it is made."),
    revision: str | None = typer.Option(None, "--revision", metavar="BRANCH", help="Branch to write to."),
) -> None:
    """Upload an adapter with a generated card; others load it as Adapter.load("OWNER/NAME").

    Log in first with `hf auth login`. Only the adapter's own files are uploaded, no tower and no data.
    """
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.adapters.card import Publication, write_card
    from mella_retrieval.adapters.hub import push as upload
    from mella_retrieval.adapters.naming import renamed
    from mella_retrieval.benchmarks.results import Result

    opened = Adapter.load(adapter)
    measurements = [_measurement(Result.load(folder), opened, folder) for folder in result]
    public = renamed(opened, text_tower, image_tower)
    card = write_card(public, Publication(name, license_, dataset, measurements))
    address = upload(public, adapter, name, card, private=private or None, revision=revision)
    say(f"{name}: uploaded, {address}")
    say(f'load it with Adapter.load("{name}{"@" + revision if revision else ""}")')


def _measurement(result: Result, adapter: Adapter, folder: Path) -> Measurement:
    """The headline numbers of the adapter in a result, chance beside them."""
    from mella_retrieval.adapters.card import Measured, Measurement
    from mella_retrieval.benchmarks.metrics import CUTOFFS, TEXT_TO_IMAGE
    from mella_retrieval.errors import MismatchError

    record = result.record
    own = [system.name for system in record.systems if (system.adapter or {}).get("fingerprint") == adapter.fingerprint]
    if not own:
        raise MismatchError(f"{folder} holds no result of this adapter (fingerprint {adapter.fingerprint[:12]}).")
    chance = next((system.name for system in record.systems if system.role == "chance"), None)
    metrics = [f"R@{k}" for k in CUTOFFS]
    values = {(score.system, score.language, score.direction, score.metric): score.value for score in record.scores}
    keys = dict.fromkeys(
        (score.language, score.direction) for score in record.scores if score.system == own[0] and score.metric in metrics
    )
    rows = [
        Measured(
            language,
            "text -> image" if direction == TEXT_TO_IMAGE else "image -> text",
            {metric: values.get((own[0], language, direction, metric)) for metric in metrics},
            {metric: values.get((chance, language, direction, metric)) if chance else None for metric in metrics},
        )
        for language, direction in keys
    ]
    title = f"{record.task.title}: {record.data.images:,} pictures, protocol `{record.protocol}` ({record.protocol_description})."
    return Measurement(title, rows)
