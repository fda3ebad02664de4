"""The stored pocket world: a folder of pictures and captions, the same for the same seed.

world.json     kind, format version, seed, counts, languages, fingerprint of the content
scenes.jsonl   one scene a line: image_id, image, split, item, scene, captions by language
images/*.png   the pictures
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from PIL import Image

from mella_retrieval.artifacts import Json, canonical_json, new_folder, write_json
from mella_retrieval.pocket.captions import captions
from mella_retrieval.pocket.pictures import draw_picture
from mella_retrieval.pocket.scenes import Scene, draw_scenes, split_sizes
from mella_retrieval.pocket.vocabulary import LANGUAGES

KIND = "pocket-world"
VERSION = 1
SCENES = 3600

_DESCRIPTIONS = {"train": 1, "validation": 2, "test": 2}


@dataclass(frozen=True)
class Example:
    """A scene with its picture and its captions: language -> [(kind, text)], kind "ling" or "know"."""

    split: str
    scene: Scene
    picture: Image.Image
    captions: dict[str, list[tuple[str, str]]]


def _examples(seed: int, sizes: dict[str, int]) -> Iterator[Example]:
    for number, (split, scene) in enumerate(draw_scenes(seed, sizes)):
        texts = {lang: captions(lang, scene, _DESCRIPTIONS[split], Random(f"{lang}/{seed}/{number}")) for lang in LANGUAGES}
        yield Example(split, scene, draw_picture(scene, Random(f"picture/{seed}/{number}")), texts)


def generate_world(
    folder: Path | str,
    seed: int = 0,
    scenes: int = SCENES,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Json:
    """Generate the pocket world of a seed into a new folder.

    Args:
        folder: where; must not exist unless `overwrite`.
        seed: the same seed gives the same pictures and captions.
        scenes: number of scenes; splits keep their shares (of 3600: 2600 train, 300 validation, 700 test).
        progress: called with (scenes done, scenes in all).

    Returns:
        The content of `world.json`.

    Raises:
        ConfigError: too few scenes. ArtifactError: the folder exists or cannot be written.
    """
    sizes = split_sizes(scenes)
    digest, texts = hashlib.sha256(), Counter[str]()
    with new_folder(folder, overwrite=overwrite) as aside:
        (aside / "images").mkdir()
        with (aside / "scenes.jsonl").open("w", encoding="utf-8", newline="\n") as lines:
            for number, example in enumerate(_examples(seed, sizes)):
                line = _line(f"pocket-{seed}-{number:05d}", example)
                # Zlib's versions differ in the bytes that they write, so pixels are hashed, not files.
                digest.update(line.encode() + b"\n" + example.picture.tobytes())
                lines.write(line + "\n")
                example.picture.save(aside / json.loads(line)["image"], compress_level=6)
                texts.update(kind for of_lang in example.captions.values() for kind, _ in of_lang)
                if progress:
                    progress(number + 1, scenes)
        world: Json = {
            "kind": KIND,
            "format_version": VERSION,
            "seed": seed,
            "scenes": sizes,
            "texts": dict(sorted(texts.items())),
            "languages": list(LANGUAGES),
            "fingerprint": digest.hexdigest(),
        }
        write_json(aside / "world.json", world)
    return world


def _line(image_id: str, example: Example) -> str:
    scene = example.scene
    return canonical_json(
        {
            "image_id": image_id,
            "image": f"images/{image_id}.png",
            "split": example.split,
            "item": scene.item,
            "scene": asdict(scene),
            "captions": {
                lang: [{"kind": kind, "text": text} for kind, text in texts] for lang, texts in example.captions.items()
            },
        }
    )
