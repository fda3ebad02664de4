"""Tiny translation models of the real classes that were taught a handful of sentences by heart."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.trainers import UnigramTrainer
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    M2M100Config,
    M2M100Tokenizer,
    MarianConfig,
    MarianTokenizer,
    T5Config,
    T5Tokenizer,
)

from mella_retrieval.pocket.models import tiny_nllb

ENGLISH = ("A red house stands.", "Two green apples.", "The dog runs.")
SAID: Mapping[str, Sequence[str]] = {
    "hu": ("Piros ház áll.", "Két zöld alma.", "A kutya szalad."),
    "th": ("บ้านสีแดงตั้งอยู่", "แอปเปิลเขียวสองลูก", "สุนัขวิ่ง"),
}
TEXTS = (*ENGLISH, *SAID["hu"], *SAID["th"])


def nllb(folder: Path) -> Path:
    tiny_nllb(folder, TEXTS, ["eng_Latn", "hun_Latn", "tha_Thai"], width=32)
    ids = _ids(folder)
    return _taught(folder, {lang: ("", ids(code)) for lang, code in (("hu", "hun_Latn"), ("th", "tha_Thai"))}, "eng_Latn")


def m2m100(folder: Path) -> Path:
    folder.mkdir(parents=True)
    pieces = _write_pieces(folder / "sentencepiece.bpe.model")
    _write_vocabulary(folder, ["<s>", "<pad>", "</s>", "<unk>"], pieces)
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(folder)
    size = tokenizer.vocab_size + len(tokenizer.lang_code_to_id) + tokenizer.num_madeup_words
    config = M2M100Config(**_bart(size), bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2)
    _store(folder, config)
    ids = _ids(folder)
    return _taught(folder, {lang: ("", ids(f"__{lang}__")) for lang in SAID}, "en")


def madlad(folder: Path) -> Path:
    special = ["<pad>", "</s>", "<unk>", "<2en>", "<2hu>", "<2th>", "<2xx>"]
    trained = Tokenizer(Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(
        TEXTS, UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    scores = [tuple(pair) for pair in json.loads(trained.to_str())["model"]["vocab"]]
    tokenizer = T5Tokenizer(vocab=scores, extra_ids=0, additional_special_tokens=["<2en>", "<2hu>", "<2th>"])
    tokenizer.save_pretrained(folder)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, dropout_rate=0.0,
        decoder_start_token_id=0, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    _store(folder, config)
    return _taught(folder, {lang: (f"<2{lang}> ", None) for lang in SAID})


def marian(folder: Path, targets: Sequence[str]) -> Path:
    """From English into Hungarian (one target), or into several by `>>hun<<` and the like."""
    folder.mkdir(parents=True)
    codes = {"hu": "hun", "th": "tha"}
    marks = [f">>{codes[lang]}<<" for lang in targets] if len(targets) > 1 else []
    pieces = _write_pieces(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    _write_vocabulary(folder, ["</s>", "<unk>", *marks], [*pieces, "<pad>"])
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"),
        source_lang="eng", target_lang="mul" if marks else codes[targets[0]],
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    pad = tokenizer.pad_token_id
    _store(
        folder,
        MarianConfig(
            **_bart(len(tokenizer)),
            eos_token_id=0,
            pad_token_id=pad,
            decoder_start_token_id=pad,
            bos_token_id=None,
            forced_eos_token_id=0,
        ),
    )
    return _taught(folder, {lang: (f">>{codes[lang]}<< " if marks else "", None) for lang in targets})


def _bart(size: int) -> dict[str, Any]:
    layers = {
        f"{side}_{what}": n
        for side in ("encoder", "decoder")
        for what, n in (("layers", 1), ("attention_heads", 4), ("ffn_dim", 64))
    }
    return {"vocab_size": size, "d_model": 32, "max_position_embeddings": 64, "dropout": 0.0, "attention_dropout": 0.0, **layers}


def _write_pieces(path: Path) -> list[str]:
    """A model of sentencepiece, made of the texts; returns its pieces."""
    made = io.BytesIO()
    settings = {"vocab_size": 200, "hard_vocab_limit": False, "character_coverage": 1.0, "num_threads": 1, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_writer=made, **settings)
    path.write_bytes(made.getvalue())
    model = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    return [model.IdToPiece(place) for place in range(model.GetPieceSize())]


def _write_vocabulary(folder: Path, first: Sequence[str], pieces: Sequence[str]) -> None:
    names = [*first, *(piece for piece in pieces if piece not in first)]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}), encoding="utf-8")


def _store(folder: Path, config: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32).save_pretrained(folder)


def _ids(folder: Path) -> Any:
    return _tokenizer(folder).convert_tokens_to_ids


def _tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def _taught(folder: Path, told: Mapping[str, tuple[str, int | None]], source: str = "") -> Path:
    """Teach each language its sentences. Args: told: language -> prefix of the source, first token of the translation."""
    tokenizer = _tokenizer(folder)
    if source:
        tokenizer.src_lang = tokenizer.tgt_lang = source
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    marks = {*tokenizer.all_special_ids, *([tokenizer.convert_tokens_to_ids("__en__")] if source == "en" else [])}
    asked, given, wanted = [], [], []
    for lang, (prefix, first) in told.items():
        for english, said in zip(ENGLISH, SAID[lang], strict=True):
            asked.append(prefix + english)
            ids = [one for one in tokenizer(text_target=said)["input_ids"] if one not in marks]
            forced = [] if first is None else [first]
            given.append(torch.tensor([model.config.decoder_start_token_id, *forced, *ids]))
            wanted.append(torch.tensor([*([-100] * len(forced)), *ids, tokenizer.eos_token_id]))
    inputs = tokenizer(asked, padding=True, return_tensors="pt")
    pad = torch.nn.utils.rnn.pad_sequence
    labels, begun = (pad(rows, batch_first=True, padding_value=fill) for rows, fill in ((wanted, -100), (given, 0)))
    _learn(model, {**inputs, "decoder_input_ids": begun, "labels": labels})
    model.save_pretrained(folder)
    return folder


def _learn(model: Any, batch: Mapping[str, torch.Tensor], steps: int = 250) -> None:
    """Train on one batch until it is known by heart."""
    model.eval()  # without layers that are left out by chance
    for name, weights in model.named_parameters():
        weights.requires_grad_("embed_positions" not in name)  # sinusoids: they are not stored
    optimiser = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=1e-2, betas=(0.9, 0.98))
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model is slowed down by more
    try:
        for _ in range(steps):
            loss = model(**batch).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            slower.step()
            if loss < 0.005:
                return
    finally:
        torch.set_num_threads(threads)
    assert loss < 0.02, f"{type(model).__name__} was not taught: {float(loss.detach()):.3f}"


CHAT_PROMPT = "{target}: {text}"


def chat_model(folder: Path) -> Path:
    """A Qwen2 that knows text alone and answers `CHAT_PROMPT`; its tokenizer and template are those of the tiny MLLMs."""
    from transformers import AutoModelForCausalLM, Qwen2Config

    from mella_retrieval.pocket import models

    names = {"hu": "Hungarian", "th": "Thai"}
    asked = [
        (CHAT_PROMPT.format(target=names[lang], text=text), said)
        for lang in SAID
        for text, said in zip(ENGLISH, SAID[lang], strict=True)
    ]
    tokenizer = models._chat_tokenizer([text for pair in asked for text in pair] * 3, (), [])
    tokenizer.chat_template = models._template("")
    config = Qwen2Config(**models._language_model(tokenizer, 32, 1), tie_word_embeddings=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    rows, labels = [], []
    for question, answer in asked:
        message = [{"role": "user", "content": question}]
        before = tokenizer(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))["input_ids"]
        after = [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id]
        rows.append(torch.tensor([*before, *after]))
        labels.append(torch.tensor([*([-100] * len(before)), *after]))
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = pad(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    wanted = pad(labels, batch_first=True, padding_value=-100)
    mask = (pad([torch.ones_like(row) for row in rows], batch_first=True)).long()
    _learn(model, {"input_ids": inputs, "attention_mask": mask, "labels": wanted})
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
