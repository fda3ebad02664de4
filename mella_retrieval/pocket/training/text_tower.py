"""The text tower: a small multilingual BERT of sentence-transformers, trained on parallel text only; it has seen no picture."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mella_retrieval.pocket.training.cards import text_card
from mella_retrieval.pocket.training.material import native_paraphrases, parallel, training_scenes
from mella_retrieval.pocket.training.schedule import Steps, contrastive_loss, shuffled_batches
from mella_retrieval.pocket.training.tokens import train_tokenizer
from mella_retrieval.pocket.vocabulary import LANGUAGES

log = logging.getLogger(__name__)

LONGEST = 64
DIM = 128
BATCH = 256
RATE = 2e-3
LOG_SCALE = torch.tensor(math.log(15))
"""Fixed and low: at a learned, high one translations stop coming nearer as soon as they can be told from other texts."""
NATIVE_SHARE = 0.1
"""Share of native paraphrases in a batch."""


def build_text_tower(tokenizer: Any) -> Any:
    """An untrained tower of sentence-transformers' own modules (BERT from its configuration, mean pooling, normalisation)."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=LONGEST,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    with tempfile.TemporaryDirectory() as folder:
        BertModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformer = Transformer(folder, max_seq_length=LONGEST)
    return SentenceTransformer(modules=[transformer, Pooling(DIM, "mean"), Normalize()], device="cpu")


class _Bank:
    """Tokenised texts as one padded array, so that batches are cut and not tokenised anew."""

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        ids = tokenizer(list(texts), truncation=True, max_length=LONGEST, padding=True, return_tensors="np")["input_ids"]
        self._ids: np.ndarray = ids.astype(np.int32)
        self._pad = tokenizer.pad_token_id

    def features(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        tokens = torch.from_numpy(self._ids[rows]).long()
        mask = tokens != self._pad
        longest = int(mask.sum(1).max())
        return {"input_ids": tokens[:, :longest], "attention_mask": mask[:, :longest].long()}


def train_text_tower(folder: Path, seed: int, scenes: int, epochs: int) -> None:
    """Train the text tower and write it as a sentence-transformers folder.

    A batch holds descriptions of scenes in pairs of languages drawn by lot for each scene, and a few pairs of native alt-texts of
    one language: the tower meets the native names as words, and never beside what they look like.

    Args:
        folder: an empty folder.
        seed: of the material and of the weights.
        scenes: number of training scenes. epochs: passes over them.
    """
    torch.manual_seed(seed)
    lot = np.random.default_rng(seed)
    material = training_scenes(seed, scenes)
    texts, natives = parallel(material, seed), native_paraphrases(material, seed)
    flat = [text for lang in LANGUAGES for text in texts[lang]] + [text for pair in natives for text in pair]
    tokenizer = train_tokenizer(flat, 4000, LONGEST)
    tower = build_text_tower(tokenizer)
    bank = _Bank(tokenizer, flat)
    first_native, native_rows = scenes * len(LANGUAGES), round(BATCH * NATIVE_SHARE)
    parameters = sum(p.numel() for p in tower.parameters())
    log.info("text tower: %d parameters, %d scenes", parameters, scenes)
    total = epochs * (scenes // (BATCH - native_rows))
    steps = Steps(tower.parameters(), total, RATE)
    tower.train()
    for step, rows in enumerate(shuffled_batches(scenes, BATCH - native_rows, epochs, lot)):
        first = lot.integers(len(LANGUAGES), size=len(rows))
        second = (first + lot.integers(1, len(LANGUAGES), size=len(rows))) % len(LANGUAGES)
        native = first_native + 2 * lot.choice(len(natives), native_rows, replace=False)
        sides = [np.concatenate([lang * scenes + rows, native + side]) for side, lang in enumerate((first, second))]
        vectors = [tower(bank.features(side))["sentence_embedding"] for side in sides]
        loss = contrastive_loss(vectors[0], vectors[1], LOG_SCALE)
        steps.take(loss)
        if step % 50 == 0 or step == total - 1:
            log.info("text tower: step %d of %d, loss %.3f", step + 1, total, loss.item())
    tower.eval()
    tower.save_pretrained(str(folder), create_model_card=False)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors makes private files
    languages = ", ".join(LANGUAGES)
    facts = {"parameters": f"{parameters:,}", "dim": DIM, "longest": LONGEST, "languages": languages}
    card = text_card(**facts, seed=seed, scenes=scenes, epochs=epochs)
    (folder / "README.md").write_text(card, encoding="utf-8")
