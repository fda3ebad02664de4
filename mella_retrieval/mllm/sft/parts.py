"""The parts of an MLLM: vision tower, connector and language model; which of them is trained."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

from torch import nn

from mella_retrieval.errors import EncoderError

# What the classes of transformers call the layers between the vision tower and the language model.
_CONNECTORS = frozenset(
    {"multi_modal_projector", "connector", "merger", "deepstack_merger_list", "mm_projector", "projector", "image_projection"}
)


class Parts:
    """Tells the part of every module and parameter of a model of transformers.

    Raises:
        EncoderError: it has no language model of its own.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        decoder, head = model.get_decoder(), model.get_output_embeddings()
        names = {id(module): path for path, module in model.named_modules()}
        if decoder is model or id(decoder) not in names:
            raise EncoderError(f"{name}: its language model cannot be told from the rest, so nothing can be frozen.")
        self.decoder = names[id(decoder)]
        self._head = names.get(id(head), "")

    def of(self, path: str) -> str:
        """`vision`, `connector` or `language`: the part that a module or parameter belongs to by its path."""
        if _under(path, self.decoder) or (self._head and _under(path, self._head)):
            return "language"
        return "connector" if _CONNECTORS & set(path.split(".")) else "vision"

    def freeze(self, frozen: Collection[str]) -> None:
        """Let the gradients of these parts be, and keep their modules in eval mode whatever mode the model is put into."""
        for path, parameter in self._model.named_parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(self.of(path) not in frozen)
        for module in self._outermost(self._model, "", frozen):
            module.eval()
            module.train = partial(_stay, module)  # type: ignore[method-assign]

    def linear_layers(self, frozen: Collection[str]) -> str:
        """A pattern of the paths of all linear layers outside the frozen parts; the output layer is none of them."""
        inner = {path.rpartition(".")[2] for path in self._linear() if _under(path, self.decoder)}
        patterns = [rf"{re.escape(self.decoder)}\.(?:.*\.)?(?:{'|'.join(sorted(inner))})"]
        patterns += [re.escape(path) for path in self._linear() if self.of(path) not in {"language", *frozen}]
        return "|".join(patterns)

    def _linear(self) -> Iterator[str]:
        return (path for path, module in self._model.named_modules() if isinstance(module, nn.Linear) and path != self._head)

    def _outermost(self, module: nn.Module, path: str, frozen: Collection[str]) -> Iterator[nn.Module]:
        names = [f"{path}.{name}" if path else name for name, _ in module.named_parameters(remove_duplicate=False)]
        if names and all(self.of(name) in frozen for name in names):
            yield module
            return
        for name, child in module.named_children():
            yield from self._outermost(child, f"{path}.{name}" if path else name, frozen)


def _under(path: str, owner: str) -> bool:
    return path == owner or path.startswith(owner + ".")


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    return module
