"""Translators that are models: translation models and chat models of transformers, and OpenAI-compatible chat servers.

transformers:FOLDER_OR_NAME?beams=4       NLLB, M2M100, MADLAD, Marian; see `seq2seq.Seq2SeqOptions`
chat:FOLDER_OR_NAME?max_new_tokens=512    a chat model on this machine; see `chat_translators.LocalChatOptions`
server:http://HOST:PORT/v1?model=NAME     a chat model of a server; see `chat_translators.ServerChatOptions`
"""

from __future__ import annotations

from functools import partial

from mella_retrieval.data.ling.contracts import Translator
from mella_retrieval.data.ling.plugins import Loaders, Request


def seq2seq_translator(request: Request, device: str = "auto", precision: str = "auto") -> Translator:
    """A translation model of transformers; device and precision hold where the spec names none."""
    from mella_retrieval.mllm.seq2seq import Seq2SeqTranslator

    return Seq2SeqTranslator(request, device, precision)


def chat_translator(request: Request, device: str = "auto", precision: str = "auto") -> Translator:
    """A chat model of transformers, with or without eyes."""
    from mella_retrieval.mllm.chat_translators import LocalChatTranslator

    return LocalChatTranslator(request, device, precision)


def server_translator(request: Request) -> Translator:
    """A chat model of a server."""
    from mella_retrieval.mllm.chat_translators import ServerTranslator

    return ServerTranslator(request)


TRANSLATORS: Loaders[Translator] = {
    "transformers": seq2seq_translator,
    "chat": chat_translator,
    "server": server_translator,
}
"""Kind -> loader, beside those of `data.ling.translators`."""


def translators(device: str = "auto", precision: str = "auto") -> Loaders[Translator]:
    """`TRANSLATORS` with a device and a precision for those that run on this machine."""
    here = {"transformers": seq2seq_translator, "chat": chat_translator}
    return {**TRANSLATORS, **{kind: partial(load, device=device, precision=precision) for kind, load in here.items()}}
