"""The program as a user calls it, in this process: standard output, standard error and the exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from program import THINGS, TOWER, Mella, Ran

from mella_retrieval.cli import main


@pytest.fixture
def mella(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Mella:
    """Run `mella` with the given arguments."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["mella", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return Ran(int(stop.value.code or 0), printed.out, printed.err)

    return run


WORDS = ("dog", "cat", "tree", "house", "boat", "kutya", "macska", "fa", "ház", "hajó", "red", "piros", "big", "nagy", "a", "egy")


@pytest.fixture(scope="session")
def text_tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny text tower in sentence-transformers' format, with random weights: it tells words apart and knows no meaning."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("towers")
    vocab = {token: number for number, token in enumerate(("<pad>", "<unk>", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = {"hidden_size": 24, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
        BertModel(BertConfig(vocab_size=len(vocab), max_position_embeddings=20, **size)).save_pretrained(folder / "bert")
    fast.save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert")), Pooling(24, "mean")]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "tower"))
    return folder / "tower"


@pytest.fixture(scope="session")
def old_vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's clip-retrieval folder: 60 pictures of five things in two colours, their vectors near one of ten directions."""
    folder = tmp_path_factory.mktemp("old") / "clip"
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 10)))[0].T
    noise = np.random.default_rng(1).normal(size=(60, 16))
    kind = np.arange(60) % 10
    vectors = directions[kind] + 0.02 * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    np.save(folder / "img_emb" / "img_emb_0.npy", vectors.astype(np.float16))
    english = [f"{'red' if number >= 5 else 'big'} {THINGS[number % 5][0]}" for number in kind]
    rows = {"image_path": [f"gone/{row:02d}.jpg" for row in range(60)], "caption": english}
    pq.write_table(pa.table(rows), folder / "metadata" / "metadata_0.parquet")
    return folder


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """A Hungarian caption for each of these pictures."""
    lines = ["image_id,text,lang"]
    for row in range(60):
        number = row % 10
        lines.append(f"gone/{row:02d}.jpg,{'piros' if number >= 5 else 'nagy'} {THINGS[number % 5][1]},hu")
    path = tmp_path / "captions.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def trained(mella: Mella, tmp_path: Path, old_vectors: Path, captions: Path, text_tower: Path) -> Path:
    """Records, embeddings and an adapter, made by the program."""
    spec = f"sentence-transformers:{text_tower}"
    for arguments in (
        ("data", "import", captions, tmp_path / "records"),
        ("embed", "texts", tmp_path / "records", tmp_path / "texts", "-t", spec, "--device", "cpu", "--batch-size", 8),
        ("embed", "import", old_vectors, tmp_path / "images", "-t", TOWER),
        ("train", "ridge", tmp_path / "adapter", "--pairs", tmp_path / "texts", "--image-vectors", tmp_path / "images"),
    ):
        ran = mella(*arguments)
        assert ran.code == 0, ran.err
    return tmp_path
