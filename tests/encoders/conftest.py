"""Tiny models in the real formats of the three libraries, built once per session from their configurations."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
    GemmaTokenizer,
    NllbTokenizer,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

SENTENCES = (
    "a brown dog runs over the green grass",
    "Two cats sleep on a red sofa, next to a lamp!",
    "egy kakas és két tyúk az udvaron",
    "šedá kočka spí na střeše",
    "кошка спит на крыше",
    "một con mèo đang ngủ",
)
VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32}
TEXT = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="session", autouse=True)
def offline() -> Iterator[None]:
    """No test of this folder may ask a hub, not even for one retry."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    yield
    constants.HF_HUB_OFFLINE = before


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Four RGB pictures of different sizes, one of them 1 x 1."""
    generator = np.random.default_rng(0)
    sizes = ((40, 60), (33, 32), (90, 50), (1, 1))
    return [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real material; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[3] / "shared"
    if not folder.is_dir():
        pytest.skip("the real material (../shared) is not on this machine")
    return folder


def _randomised(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights large enough that different inputs give clearly different vectors."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim and parameter.std(correction=0) > 0:  # all but the ones and zeros of norms and biases
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    return model.eval()


def word_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that puts `<s>` before and `</s>` behind the text; `</s>` is not the largest id."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["<pad>", "<s>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        **special,
    )


def write_open_clip(folder: Path, text: dict[str, object], *, quick_gelu: bool = False, seed: int = 0) -> Path:
    """A tiny open_clip model as a local folder."""
    config = {
        "embed_dim": 20,
        "quick_gelu": quick_gelu,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "width": 24, "heads": 2, "layers": 2, **text},
    }
    model_config = {**config, "text_cfg": {k: v for k, v in config["text_cfg"].items() if "tokenizer" not in k}}
    model = _randomised(open_clip.CLIP(**model_config), seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.clone() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bicubic", "resize_mode": "shortest"}
    settings = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """open_clip with its own byte-pair tokenizer."""
    return write_open_clip(tmp_path_factory.mktemp("models") / "open-clip", {"vocab_size": 49408})


@pytest.fixture(scope="session")
def open_clip_hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """open_clip with a tokenizer of its own in the folder and eos pooling."""
    text = {"vocab_size": 400, "hf_tokenizer_name": "local", "pool_type": "eos", "eos_id": 2}
    folder = write_open_clip(tmp_path_factory.mktemp("models") / "open-clip-hf", text)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def open_clip_siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """open_clip in the manner of its SigLIP configurations: the tokenizer canonicalises."""
    text = {
        "vocab_size": 400,
        "hf_tokenizer_name": "local",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "pool_type": "last",
        "no_causal_mask": True,
    }
    folder = write_open_clip(tmp_path_factory.mktemp("models") / "open-clip-siglip", text)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def nllb_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """open_clip with NLLB's tokenizer, which puts the language before the text."""
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "▁": 4}
    for character in sorted(set("".join(SENTENCES))):
        vocab.setdefault(character, len(vocab))
    tokenizer = NllbTokenizer(vocab=vocab, merges=[])
    text = {"vocab_size": len(tokenizer), "hf_tokenizer_name": "local", "pool_type": "eos", "eos_id": 2}
    folder = write_open_clip(tmp_path_factory.mktemp("models") / "nllb-clip", text)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP in transformers' format."""
    folder = tmp_path_factory.mktemp("models") / "clip"
    tokenizer = _clip_tokenizer()
    special = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 20, **special, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config={**VISION, "patch_size": 16}, projection_dim=20)
    _randomised(CLIPModel(config), 1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def _clip_tokenizer() -> CLIPTokenizer:
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*characters, *(f"{character}</w>" for character in characters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: index for index, name in enumerate(names)}, merges=[], model_max_length=20)


def _siglip(folder: Path, vocabulary: int, positions: int, seed: int) -> Path:
    text = {**TEXT, "vocab_size": vocabulary, "max_position_embeddings": positions, "projection_size": 32}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config={**VISION, "patch_size": 8}))
    _randomised(model, seed).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SigLIP in transformers' format, with a tokenizer that keeps case and punctuation."""
    folder = _siglip(tmp_path_factory.mktemp("models") / "siglip", 400, 24, 2)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def siglip2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SigLIP 2 of fixed resolution: SigLIP's configuration, Gemma's tokenizer."""
    tokenizer = _gemma_tokenizer()
    folder = _siglip(tmp_path_factory.mktemp("models") / "siglip2", len(tokenizer), 64, 3)
    tokenizer.save_pretrained(folder)
    return folder


def _gemma_tokenizer() -> GemmaTokenizer:
    """Gemma's tokenizer with single characters and bytes as vocabulary; it keeps the case of letters."""
    vocab = {name: index for index, name in enumerate(("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"))}
    vocab |= {f"<0x{byte:02X}>": len(vocab) + byte for byte in range(256)}
    for character in ["▁", *sorted(set("".join(SENTENCES)) - {" "})]:
        vocab[character] = len(vocab)
    return GemmaTokenizer(vocab=vocab, merges=[], add_bos_token=False, add_eos_token=True)


def write_sentence_encoder(folder: Path, *, prompts: dict[str, str] | None = None) -> Path:
    """A tiny sentence encoder in sentence-transformers' format, 32 tokens long."""
    base = folder.parent / f"{folder.name}-bert"
    tokenizer = word_tokenizer()
    tokenizer.model_max_length = 32
    config = BertConfig(vocab_size=400, max_position_embeddings=40, **TEXT)
    _randomised(BertModel(config), 4).save_pretrained(base)
    tokenizer.save_pretrained(base)
    transformer = Transformer(str(base))
    modules = [transformer, Pooling(TEXT["hidden_size"], "mean")]
    SentenceTransformer(modules=modules, device="cpu", prompts=prompts).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def sentence_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder without prompts."""
    return write_sentence_encoder(tmp_path_factory.mktemp("models") / "sentences")


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
