"""Train the two frozen towers of the pocket world from nothing: `python -m mella_retrieval.pocket.train_towers [--out FOLDER]`.

Writes FOLDER/image (open_clip `local-dir` folder) and FOLDER/text (sentence-transformers folder), each with its model card;
without `--out` the towers of this installation are replaced. Scenes, batches and weights are seeded; the trainer of the
`tokenizers` library is not (it breaks ties by chance), so two runs give towers of the same quality, not of the same bytes.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from mella_retrieval.artifacts import new_folder, require_free
from mella_retrieval.pocket.towers import TOWERS

log = logging.getLogger(__name__)

SCENES = 6000
IMAGE_EPOCHS = 10
TEXT_EPOCHS = 8


def train_towers(
    out: Path,
    *,
    seed: int = 0,
    scenes: int = SCENES,
    image_epochs: int = IMAGE_EPOCHS,
    text_epochs: int = TEXT_EPOCHS,
    overwrite: bool = False,
) -> None:
    """Train both towers and write them under `out`.

    Args:
        out: gets the folders `image` and `text`.
        seed: of scenes and weights. scenes: how many training scenes are drawn.
        image_epochs: passes of the image tower over them. text_epochs: of the text tower.
        overwrite: replace towers that stand there.

    Raises:
        ArtifactError: a tower stands there already, or the folder cannot be written.
    """
    from mella_retrieval.pocket.training.image_tower import train_image_tower
    from mella_retrieval.pocket.training.text_tower import train_text_tower

    for name in ("image", "text"):
        require_free(out / name, overwrite=overwrite)
    for name, train, epochs in (("image", train_image_tower, image_epochs), ("text", train_text_tower, text_epochs)):
        started = time.monotonic()
        with new_folder(out / name, overwrite=overwrite) as folder:
            train(folder, seed, scenes, epochs)
        log.info("%s tower: written to %s after %.0f s", name, out / name, time.monotonic() - started)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the training with the options of the command line."""
    parser = argparse.ArgumentParser(description="Train the two frozen towers of the pocket world from nothing.")
    parser.add_argument("--out", type=Path, help="gets the folders image/ and text/; by default the shipped towers are replaced")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true", help="replace towers that stand there")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("mella_retrieval").setLevel(logging.INFO)
    train_towers(options.out or TOWERS, seed=options.seed, overwrite=options.overwrite or options.out is None)


if __name__ == "__main__":
    main()
