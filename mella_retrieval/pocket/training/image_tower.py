"""The image tower: a small CLIP of open_clip, trained on drawn pictures and English captions only."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mella_retrieval.pocket.training.cards import image_card
from mella_retrieval.pocket.training.material import english, pictures, training_scenes
from mella_retrieval.pocket.training.schedule import Steps, contrastive_loss, shuffled_batches
from mella_retrieval.pocket.training.tokens import train_tokenizer

log = logging.getLogger(__name__)

SIDE = 64
CONTEXT = 32
DIM = 128
MEAN = STD = (0.5, 0.5, 0.5)
BATCH = 256
RATE = 1.5e-3
_SHIFT = 3


def _config(vocabulary: int, end: int) -> dict[str, Any]:
    return {
        "embed_dim": DIM,
        "vision_cfg": {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": "tokenizer.json",  # any name: a local-dir model reads the tokenizer beside its weights
            "width": 96,
            "heads": 3,
            "layers": 2,
            "mlp_ratio": 2.0,
            "pool_type": "eos",  # the default takes the largest id for the end of the text
            "eos_id": end,
        },
    }


def _tokens(tokenizer: Any, texts: list[str]) -> torch.Tensor:
    return torch.tensor(
        tokenizer(texts, max_length=CONTEXT, padding="max_length", truncation=True)["input_ids"], dtype=torch.int32
    )


def _pixels(batch: np.ndarray, lot: np.random.Generator) -> torch.Tensor:
    """Normalised pixels, each batch shifted by up to `_SHIFT` pixels (the edge repeated)."""
    images = torch.from_numpy(batch).permute(0, 3, 1, 2).float().div_(255)
    images = functional.pad(images, [_SHIFT] * 4, mode="replicate")
    left, top = lot.integers(0, 2 * _SHIFT + 1, 2)
    shifted = images[:, :, top : top + SIDE, left : left + SIDE]
    return (shifted - MEAN[0]) / STD[0]


def train_image_tower(folder: Path, seed: int, scenes: int, epochs: int) -> None:
    """Train the dual encoder and write it as an open_clip `local-dir` folder.

    Args:
        folder: an empty folder.
        seed: of the material and of the weights.
        scenes: number of training scenes. epochs: passes over them; each takes one of a scene's English texts by lot.
    """
    import open_clip

    torch.manual_seed(seed)
    lot = np.random.default_rng(seed)
    material = training_scenes(seed, scenes)
    drawn, texts = pictures(material, seed, SIDE), english(material, seed)
    tokenizer = train_tokenizer((text for own in texts for text in own), 600, CONTEXT)
    config = _config(len(tokenizer), tokenizer.eos_token_id)
    tokens = [_tokens(tokenizer, own) for own in texts]
    model = open_clip.CLIP(**{**config, "text_cfg": {k: v for k, v in config["text_cfg"].items() if k[:3] != "hf_"}})
    parameters = sum(p.numel() for p in model.parameters())
    log.info("image tower: %d parameters, %d scenes", parameters, scenes)
    total = epochs * (scenes // BATCH)
    steps = Steps(model.parameters(), total, RATE)
    model.visual.to(memory_format=torch.channels_last)  # a third faster on CPUs
    model.train()
    for step, rows in enumerate(shuffled_batches(scenes, BATCH, epochs, lot)):
        text = torch.stack([tokens[row][lot.integers(len(tokens[row]))] for row in rows]).long()
        loss = contrastive_loss(model.encode_image(_pixels(drawn[rows], lot)), model.encode_text(text), model.logit_scale)
        steps.take(loss)
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))  # as in CLIP (Radford et al., 2021, section 2.5)
        if step % 50 == 0 or step == total - 1:
            log.info("image tower: step %d of %d, loss %.3f", step + 1, total, loss.item())
    _save(folder, model, config, tokenizer)
    card = image_card(parameters=f"{parameters:,}", dim=DIM, scenes=scenes, seed=seed, epochs=epochs)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _save(folder: Path, model: torch.nn.Module, config: dict[str, Any], tokenizer: Any) -> None:
    from safetensors.torch import save_file

    # Half the bytes, and exact enough: open_clip copies the values into its own float32 parameters.
    weights = folder / "open_clip_model.safetensors"
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous().clone()
        for name, value in model.state_dict().items()
    }
    save_file(state, weights)
    weights.chmod(0o644)  # safetensors makes private files
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    described = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
