"""Captioners that are models: of transformers on this machine, and of OpenAI-compatible chat servers.

transformers:FOLDER_OR_NAME?max_new_tokens=64&revision=...   see `local_captioner.LocalOptions`
server:http://HOST:PORT/v1?model=NAME&parallel=32            see `server_captioner.ServerCaptionerOptions`
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from PIL.Image import Image

from mella_retrieval.data.ling.contracts import Ask, Captioner, Picture
from mella_retrieval.data.ling.plugins import Loaders, Request
from mella_retrieval.mllm.decoding import Decoding

log = logging.getLogger(__name__)


def transformers_captioner(request: Request, device: str = "auto", precision: str = "auto") -> Captioner:
    """A model of transformers; the device and precision hold where the spec names none."""
    from mella_retrieval.mllm.local_captioner import LocalCaptioner

    return LocalCaptioner(request, device, precision)


def server_captioner(request: Request) -> Captioner:
    """A model of a server."""
    from mella_retrieval.mllm.server_captioner import ServerCaptioner

    return ServerCaptioner(request)


CAPTIONERS: Loaders[Captioner] = {"transformers": transformers_captioner, "server": server_captioner}
"""Kind -> loader, beside those of `data.ling.captioners`."""


def captioners(device: str = "auto", precision: str = "auto") -> Loaders[Captioner]:
    """`CAPTIONERS` with a device and a precision for those that run on this machine."""
    local = partial(transformers_captioner, device=device, precision=precision)
    return {kind: local if load is transformers_captioner else load for kind, load in CAPTIONERS.items()}


def messages(prompt: str, system: str, picture: Any | None) -> list[dict[str, Any]]:
    """A question as chat messages. Args: picture: the part of the message that is the picture; None asks without."""
    asked = [*([picture] if picture is not None else []), {"type": "text", "text": prompt}]
    told = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    return [*told, {"role": "user", "content": asked}]


def image_of(picture: Picture) -> Image:
    """The picture itself; a captioner that shows pictures never asks without in silence."""
    if picture.image is None:
        raise ValueError(f"{picture.image_id} was handed over without its picture")
    return picture.image


def different(ask: Ask, greedy: bool) -> Sequence[int]:
    """Numbers of the prompts that can be answered differently: of equal ones the first, where nothing is drawn."""
    return [view for view, prompt in enumerate(ask.prompts) if not greedy or ask.prompts.index(prompt) == view]


class Remarks:
    """What is to be said once a captioner is done.

    Attributes:
        cut: answers at the longest length.
        asked, wanted: views of each picture; further ones than were asked would have had the same answers.
    """

    def __init__(self, name: str, decoding: Decoding) -> None:
        self._name, self._decoding = name, decoding
        self.cut = self.asked = self.wanted = 0

    def say(self) -> None:
        """Log them, and begin anew."""
        if self.cut:
            longest = f"max_new_tokens={self._decoding.max_new_tokens}"
            log.warning("%s: %d answers reached %s and may be cut", self._name, self.cut, longest)
        if self.asked < self.wanted:
            log.warning(
                "%s: %d of %d views of each picture were asked, since further ones repeat a prompt and at temperature 0 would "
                "have the same answer. Give as many prompts as views, or a temperature above 0.",
                self._name,
                self.asked,
                self.wanted,
            )
        self.cut = self.asked = self.wanted = 0
