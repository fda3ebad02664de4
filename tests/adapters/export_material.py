"""Adapters with made-up heads around real towers: the pocket world's and tiny ones in the libraries' own formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    XLMRobertaTokenizer,
)

import mella_retrieval
from mella_retrieval.adapters.adapter import Adapter, AdapterConfig
from mella_retrieval.adapters.heads import Head, Linear, ReLU, Shift
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import TowerInfo

POCKET = Path(mella_retrieval.__file__).parent / "pocket" / "towers"
POCKET_TEXT, POCKET_IMAGE = f"sentence-transformers:{POCKET / 'text'}", f"open_clip:{POCKET / 'image'}"
WORDS = ("a", "red", "dog", "kutya", "é", "e", "t", "o", "i", "n", "s", "s:", "query", ":", "x", "##x")


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)


def mlp(narrow: int, hidden: int, wide: int) -> Head:
    """A shift, two layers and a ReLU."""
    return Head(
        (
            Shift(numbers(narrow, seed=1)),
            Linear(numbers(hidden, narrow, seed=2), numbers(hidden, seed=3)),
            ReLU(),
            Linear(numbers(wide, hidden, seed=4), numbers(wide, seed=5)),
        )
    )


def adapter_of(text: TowerInfo, image: TowerInfo, text_head: Head, image_head: Head = Head()) -> Adapter:  # noqa: B008
    config = AdapterConfig(
        method="made-up",
        options={},
        text_tower=text,
        image_tower=image,
        text_head=text_head.chain(),
        image_head=image_head.chain(),
        languages=["cs", "hu"],
        inputs={"pairs": {"rows": 1234, "fingerprint": "f"}},
        selection={"measure": "mean reciprocal rank", "on": "10 held-out captions"},
        seed=0,
        versions={},
    )
    return Adapter(config, text_head, image_head)


def adapter_between(text_spec: str, image_spec: str, text_head: Head | None = None, image_head: Head | None = None) -> Adapter:
    """An MLP for texts and a shift for pictures, unless others are given."""
    text, image = load_text_tower(text_spec, device="cpu").info, load_image_tower(image_spec, device="cpu").info
    text_head = mlp(text.dim, 50, image.dim) if text_head is None else text_head
    return adapter_of(text, image, text_head, Head((Shift(0.3 * numbers(image.dim)),)) if image_head is None else image_head)


def randomised(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights large enough that different inputs give clearly different vectors."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def write_vit(folder: Path, **changes: object) -> str:
    """open_clip's plain vision transformer of 32 x 32 pixels; its spec."""
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16, **changes}
    text = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 20, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    model = randomised(open_clip.CLIP(**config), 0)
    folder.mkdir(parents=True)
    save_file({key: value.clone() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return f"open_clip:{folder}"


def write_clip(folder: Path) -> str:
    """transformers' CLIP of 32 x 32 pixels, without a tokenizer; its spec."""
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**size, "vocab_size": 20, "max_position_embeddings": 8, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config={**size, "image_size": 32, "patch_size": 16}, projection_dim=20)
    randomised(CLIPModel(config), 1).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return f"transformers:{folder}"


def write_sentence_tower(
    folder: Path, *, tokenizer: str = "words", prompts: Mapping[str, str] | None = None, include_prompt: bool = True
) -> str:
    """A tiny sentence encoder whose tokenizer does not normalise: composed and decomposed letters are different to it."""
    base = folder.parent / f"{folder.name}-bert"
    vocab = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS))}
    made: PreTrainedTokenizerBase
    if tokenizer == "bert":
        made = BertTokenizer(vocab=vocab, do_lower_case=False, strip_accents=False, model_max_length=12)
    elif tokenizer == "xlm-r":
        pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *WORDS, "<mask>"]
        made = XLMRobertaTokenizer(vocab=[(piece, -1.0) for piece in pieces], model_max_length=12)
        vocab = dict.fromkeys(pieces, 0)
    else:
        own = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
        own.pre_tokenizer = pre_tokenizers.Whitespace()
        made = PreTrainedTokenizerFast(tokenizer_object=own, pad_token="[PAD]", unk_token="[UNK]", model_max_length=12)
    config = BertConfig(
        vocab_size=len(vocab) + 4,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        pad_token_id=0,
    )
    randomised(BertModel(config), 4).save_pretrained(base)
    made.save_pretrained(base)
    modules = [Transformer(str(base)), Pooling(24, "mean", include_prompt=include_prompt)]
    SentenceTransformer(modules=modules, device="cpu", prompts=dict(prompts or {})).save_pretrained(str(folder))
    return f"sentence-transformers:{folder}"
