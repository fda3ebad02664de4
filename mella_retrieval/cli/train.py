"""`mella train`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import DEVICE, OVERRIDES, OVERWRITE
from mella_retrieval.cli.output import progress_bar, say


def train(
    recipe: str = typer.Argument(help="A method (`mella recipes list`) or the path of a recipe."),
    out: Path = typer.Argument(help="Folder of the adapter."),
    overrides: list[str] = OVERRIDES,
    english_text: str | None = typer.Option(None, metavar="SET", help="English texts through the multilingual text tower."),
    clip_text: str | None = typer.Option(
        None, metavar="SET", help="The same English texts through the image tower's own text tower."
    ),
    image_vectors: str | None = typer.Option(None, metavar="SET", help="Pictures through the image tower."),
    text_bank: str | None = typer.Option(
        None, metavar="SET", help="Texts of the target languages through the multilingual text tower."
    ),
    pairs: str | None = typer.Option(
        None, metavar="SET", help="Texts through the multilingual text tower whose column image_id names rows of --image-vectors."
    ),
    validation: str | None = typer.Option(
        None, metavar="SET", help="Pairs to select by; else the validation split of --pairs, else a tenth of its pictures."
    ),
    descriptions: str | None = typer.Option(
        None, metavar="SET", help="Descriptions of the pictures through the multilingual text tower, with --tokens; for leccr."
    ),
    translations: str | None = typer.Option(
        None,
        metavar="SET",
        help="Texts in other languages whose column english_id names texts of --english-text; for distillation.",
    ),
    queries: str | None = typer.Option(
        None, metavar="SET", help="Texts like those that will be asked: the bank of hubness correction (else the training texts)."
    ),
    seed: int = typer.Option(0, help="Decides the held-out part, initial weights and batches."),
    shuffle_pairs: bool = typer.Option(
        False, "--shuffle-pairs", help="A control: destroy the correspondence first. What is trained then must fall to chance."
    ),
    device: str = DEVICE,
    tensorboard: Path | None = typer.Option(None, "--tensorboard", metavar="DIR", help="Write TensorBoard events there."),
    overwrite: bool = OVERWRITE,
) -> None:
    """Train an adapter on stored vectors: `mella train ridge my-adapter --pairs texts --image-vectors images`.

    SET is the folder of an embedding set (`mella embed`), or some of its rows: 'SET?lang=hu|cs' (in quotes).

    Where a set has the column `split`, its train rows are taken unless such a filter says otherwise.

    Killed and started again, a training continues where it stopped, with the result of an undisturbed one.
    """
    from mella_retrieval.adapters.run import Run
    from mella_retrieval.adapters.sources import Sources
    from mella_retrieval.adapters.training import load_method
    from mella_retrieval.adapters.training import train as fit

    method, config = load_method(recipe, overrides or ())
    sources = Sources(english_text, clip_text, image_vectors, text_bank, pairs, validation, descriptions, translations, queries)
    if device not in ("auto", "cpu"):
        Run(device=device).place()  # a device that is not there is said now, also by methods that need none
    with progress_bar(f"fitting {method.name}", "rounds") as progress:
        run = Run(progress, device, tensorboard=tensorboard)
        adapter = fit(method, config, sources, out, seed=seed, shuffle_pairs=shuffle_pairs, overwrite=overwrite, run=run)
    made = adapter.config
    say(f"{out}: {made.method} adapter, {made.text_tower.spec} -> {made.image_tower.spec}")
    if made.slots:
        say("image vectors are enriched with descriptions before they are indexed: mella embed enrich")
    else:
        kept = "stay as they are: existing indexes remain valid"
        say(f"image vectors {'are re-projected' if adapter.projects_images else kept}")
    say(f"selected by {made.selection['measure']} on {made.selection['on']}")
