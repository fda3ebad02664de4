"""Embedding against the bare model: a randomly initialised ViT-B/32 at 224 over 500 x 375 JPEGs.

The bare model runs over tensors that lie ready in memory; `embed_images` reads, decodes, resizes and writes beside it. Both see
the same number of pictures in the same batches, in turns, and the ratio of their throughputs is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.embeddings.settings import EmbedSettings
from mella_retrieval.encoders.loading import load_image_tower


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw_pictures(folder / "pictures", options.pictures)
        import_records(folder / "pictures", folder / "records")
        tower = load_image_tower(f"open_clip:{random_model(folder / 'model')}", device="cpu")
        records, settings = Records.load(folder / "records"), EmbedSettings(batch_size=options.batch_size, shard_rows=4096)
        pixels = [torch.randn(3, 224, 224) for _ in range(options.pictures)]
        bare, ours = [], []
        for repeat in range(options.repeats):
            began = time.perf_counter()
            for start in range(0, options.pictures, options.batch_size):
                tower.encode(pixels[start : start + options.batch_size])
            bare.append(options.pictures / (time.perf_counter() - began))
            began = time.perf_counter()
            embed_images(records, tower, folder / f"set-{repeat}", settings)
            ours.append(options.pictures / (time.perf_counter() - began))
    print("| pictures | bare model, pictures/s | embed_images, pictures/s | ratio of medians | ratio of the best |")
    print("|---|---|---|---|---|")
    medians = statistics.median(ours) / statistics.median(bare)
    print(
        f"| {options.pictures} | {statistics.median(bare):.1f} | {statistics.median(ours):.1f} | {medians:.2f} "
        f"| {max(ours) / max(bare):.2f} |"
    )


def draw_pictures(folder: Path, count: int) -> None:
    """JPEGs of 500 x 375 with some structure, as photographs have."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        noise = generator.normal(128, 40, (24, 32, 3)).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)
        ImageDraw.Draw(image).ellipse([50, 60, 300, 320], outline="white", width=5)
        image.save(folder / f"{number:05d}.jpg", quality=90)


def random_model(folder: Path) -> Path:
    """An untrained ViT-B/32 in open_clip's folder format."""
    torch.manual_seed(0)
    config = open_clip.get_model_config("ViT-B-32")
    model = open_clip.CLIP(**config)
    folder.mkdir()
    save_file(
        {name: value.contiguous().clone() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return folder


if __name__ == "__main__":
    main()
