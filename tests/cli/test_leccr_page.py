"""The commands of docs/leccr.md, in order, from pictures and descriptions to a search."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from program import THINGS, Mella

PAGE = Path(__file__).parents[2] / "docs" / "leccr.md"
N = 40


@pytest.fixture
def material(tmp_path: Path) -> Path:
    """Pictures of noise with a Hungarian and an English caption, and descriptions of all but the last."""
    generator = np.random.default_rng(0)
    captions, descriptions = ["image_id,image,text,lang"], ["image_id,text"]
    for row in range(N):
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"p{row}.png")
        english, hungarian = THINGS[row % 5]
        captions += [f"p{row},p{row}.png,red {english} {row},en", f"p{row},p{row}.png,piros {hungarian} {row},hu"]
        descriptions += [f"p{row},a big {english} number {row}"] * (row < N - 1)
    (tmp_path / "captions.csv").write_text("\n".join(captions) + "\n", encoding="utf-8")
    (tmp_path / "descriptions.csv").write_text("\n".join(descriptions) + "\n", encoding="utf-8")
    return tmp_path


def test_the_commands_of_the_page(mella: Mella, material: Path, text_tower: Path, monkeypatch: pytest.MonkeyPatch):
    page = PAGE.read_text(encoding="utf-8")
    lines = page.split("```sh\n")[1].split("```")[0].replace(" \\\n", " ").splitlines()
    monkeypatch.chdir(material)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    said = {}
    towers = {
        "sentence-transformers:sentence-transformers/LaBSE": f"sentence-transformers:{text_tower}",
        "open_clip:ViT-B-32/datacomp_xl_s13b_b90k": "module:patches:Quarters --allow-module",
    }
    for line in lines:
        here = line
        for name, own in towers.items():
            here = here.replace(name, own)
        words = shlex.split(here)[1:]
        ran = mella(*words, *(["width=16"] if words[0] == "train" else []))
        assert ran.code == 0, f"{line}\n{ran.err}"
        said[" ".join(words[:2])] = ran.out
    assert "image vectors are enriched with descriptions before they are indexed" in said["train leccr"]
    assert f"gallery: {N} image vectors of 256 dimensions, by leccr:" in said["embed enrich"]
    assert "without description: 1 pictures" in said["embed enrich"]
    assert len(said["search index"].splitlines()) == 11  # a head and ten hits
    refused = mella("index", "build", "images", "other", "--adapter", "adapter")
    assert refused.code != 0 and "mella embed enrich" in refused.err
    refused = mella("search", "index", "--image", "p0.png")
    assert refused.code != 0 and "ask with a text" in refused.err
