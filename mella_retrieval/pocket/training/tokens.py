"""Small WordPiece tokenizers in the format of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<s>", "</s>"


def train_tokenizer(texts: Iterable[str], size: int, longest: int) -> Any:
    """Train a WordPiece tokenizer (NFKC, lower case) of at most `size` pieces, `<s> text </s>`.

    Common words become one piece, which keeps texts short and the towers fast; every character of the texts is a piece too.

    Returns:
        A PreTrainedTokenizerFast that truncates at `longest` tokens when asked to truncate.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[PAD, UNKNOWN, END, BEGIN], limit_alphabet=1000, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in (BEGIN, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A {END}", special_tokens=ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        cls_token=BEGIN,
        eos_token=END,
        sep_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=longest,
    )
