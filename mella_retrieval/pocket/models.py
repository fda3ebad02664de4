"""Tiny random MLLMs and translators of the real classes, stored in the real formats, for trying and testing what trains them.

Nothing is trained here: the tokenizers are made from the texts that are handed in, the weights are drawn with a seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLProcessor,
    InternVLVideoProcessor,
    M2M100Config,
    NllbTokenizer,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.utils import logging

SIDE = 112
"""Pixels of a picture as the models see it: 16 image tokens."""

_PATCH = 14
_MARKS = ("<|im_start|>", "<|im_end|>")
_QWEN_MARKS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_INTERN_MARKS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}

_TEMPLATE = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\\n' }}
{%- if message['role'] == 'assistant' -%}
{% generation %}{{ text(message) + '<|im_end|>' }}{% endgeneration %}
{%- else -%}
{{ text(message) + '<|im_end|>' }}
{%- endif -%}
{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""
_TEXT = """\
{%- macro text(message) -%}
{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}IMAGE{%- elif 'text' in part -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}{%- endif -%}
{%- endmacro -%}
"""


def tiny_qwen2_vl(folder: Path | str, texts: Iterable[str], *, width: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """Store a Qwen2-VL of random weights: processor with chat template, tokenizer, model.

    Args:
        folder: where to.
        texts: what the tokenizer is made from, at most 600 tokens.
        width: of the language model; a multiple of 16.
        layers: of the language model.
        seed: of the weights.

    Returns:
        The folder.
    """
    tokenizer = _chat_tokenizer(texts, _QWEN_MARKS, [*_MARKS, *_QWEN_MARKS])
    template = _template("<|vision_start|><|image_pad|><|vision_end|>")
    pixels = {"min_pixels": 56 * 56, "max_pixels": SIDE * SIDE}
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessor(patch_size=_PATCH, merge_size=2, **pixels),
        tokenizer,
        Qwen2VLVideoProcessor(patch_size=_PATCH, merge_size=2),
        chat_template=template,
    )
    token = tokenizer.convert_tokens_to_ids
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}  # half of the width of a head
    config = Qwen2VLConfig(
        text_config={**_language_model(tokenizer, width, layers), "rope_parameters": rope},
        vision_config={
            **{"depth": 2, "embed_dim": 64, "hidden_size": width, "num_heads": 2, "mlp_ratio": 2},
            **{"patch_size": _PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2},
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    return _store(folder, AutoModelForImageTextToText, config, processor, seed)


def tiny_internvl(folder: Path | str, texts: Iterable[str], *, width: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """Store an InternVL (its form in transformers) of random weights; arguments as for `tiny_qwen2_vl`."""
    tokenizer = _chat_tokenizer(texts, tuple(_INTERN_MARKS.values()), _INTERN_MARKS)
    size = {"height": SIDE, "width": SIDE}
    length = (SIDE // _PATCH // 2) ** 2
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=size, crop_to_patches=False),
        tokenizer,
        InternVLVideoProcessor(size=size),
        image_seq_length=length,
        chat_template=_template("<IMG_CONTEXT>\n"),
    )
    config = InternVLConfig(
        text_config={"model_type": "qwen2", **_language_model(tokenizer, width, layers)},
        vision_config={
            **{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
            **{"image_size": [SIDE, SIDE], "patch_size": [_PATCH, _PATCH]},
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=length,
        downsample_ratio=0.5,
    )
    return _store(folder, AutoModelForImageTextToText, config, processor, seed)


def tiny_nllb(folder: Path | str, texts: Iterable[str], flores: Sequence[str], *, width: int = 64, seed: int = 0) -> Path:
    """Store an NLLB translator of random weights.

    Args:
        folder: where to.
        texts: what the tokenizer is made from.
        flores: the languages, such as `eng_Latn`.
        width: of both sides.
        seed: of the weights.

    Returns:
        The folder.
    """
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    model = Tokenizer(BPE(unk_token="<unk>"))
    model.pre_tokenizer = pre_tokenizers.Metaspace()
    model.train_from_iterator(texts, BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False))
    tokenizer = NllbTokenizer(
        vocab=model.get_vocab(), merges=_merges(model), extra_special_tokens=list(flores), src_lang=flores[0], tgt_lang=flores[-1]
    )
    config = M2M100Config(
        **{"vocab_size": len(tokenizer), "d_model": width, "max_position_embeddings": 256},
        **{"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
        **{"encoder_ffn_dim": 2 * width, "decoder_ffn_dim": 2 * width},
        **{"dropout": 0.0, "attention_dropout": 0.0, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0},
        **{"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2},
    )
    return _store(folder, AutoModelForSeq2SeqLM, config, tokenizer, seed)


def _language_model(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> dict[str, Any]:
    return {
        **{"vocab_size": len(tokenizer), "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers},
        **{"num_attention_heads": width // 16, "num_key_value_heads": max(width // 32, 1), "max_position_embeddings": 1024},
        **{"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None},
    }


def _chat_tokenizer(texts: Iterable[str], marks: Sequence[str], named: Any) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: whatever the text, nothing is unknown."""
    model = Tokenizer(BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>", *_MARKS, *marks],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=model, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=named
    )


def _template(image: str) -> str:
    return _TEXT.replace("IMAGE", image.replace("\n", "{{ '\\n' }}")) + _TEMPLATE


def _merges(model: Tokenizer) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(model.to_str())["model"]["merges"]]


def _store(folder: Path | str, auto: Any, config: Any, processor: Any, seed: int) -> Path:
    folder = Path(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = config.get_text_config().eos_token_id
    model.generation_config.pad_token_id = config.get_text_config().pad_token_id
    with _no_bars():
        model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without a progress bar of transformers for each little file."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
