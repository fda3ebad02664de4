"""Asking a plug-in in batches: half of them where memory does not suffice, one by one where a batch fails, an end to it all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.encoders.batching import find_batch_size
from mella_retrieval.errors import ConfigError, DataError, EncoderError, MellaError, UnavailableError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

GIVE_UP = 20
"""So many failures in a row are not the fault of the pictures or texts: a server is down, a model cannot be loaded."""


@dataclass
class Asker(Generic[Item, Answer]):
    """Asks one question of one plug-in.

    Attributes:
        name: of the plug-in, for messages.
        ask: its method; as many answers as items, each of them well-formed or `Failed`.
        flaw: what is wrong with the form of an answer, "" if nothing is.
        batch: items asked at a time; smaller ones after memory did not suffice.
        failures: the last answers that were failures, in a row; those that are a picture's or text's own fault do not count.
    """

    name: str
    ask: Callable[[Sequence[Item]], Sequence[Answer | Failed]]
    flaw: Callable[[Any], str]
    batch: int = 1
    failures: int = 0

    def all(self, items: Iterable[Item]) -> Iterator[tuple[Item, Answer | Failed]]:
        """Every item with its answer, in order.

        Raises:
            EncoderError: `GIVE_UP` failures in a row. UnavailableError: the plug-in says so.
            ConfigError: the plug-in breaks its contract. Also what it raises itself, if that is a MellaError about more than
                these items.
        """
        waiting, held = iter(items), list[Item]()
        while True:
            held += islice(waiting, max(0, self.batch - len(held)))
            if not held:
                return
            answers = self._batch(held[: self.batch])
            for item, answer in zip(held, answers, strict=False):
                self._count(answer)
                yield item, answer
            del held[: len(answers)]

    def _count(self, answer: Answer | Failed) -> None:
        if not isinstance(answer, Failed):
            self.failures = 0
        elif not answer.own:
            self.failures += 1
        if isinstance(answer, Failed) and self.failures >= GIVE_UP:
            raise EncoderError(
                f"{self.name} failed {self.failures} times in a row, the last time because: {answer.reason.rstrip('.')}. "
                "What was finished is kept: run the same command again to continue, with --retry-failed to ask again where it "
                "failed already."
            )

    def _batch(self, items: Sequence[Item]) -> list[Answer | Failed]:
        """Answers of all items, or of the first of them after the batch was halved."""
        try:
            return self._fitting(items)
        except Exception as error:
            if _ends_all(error):
                raise
            if len(items) == 1:
                return [Failed(_reason(error))]
        return [answer for item in items for answer in self._batch([item])]

    def _fitting(self, items: Sequence[Item]) -> list[Answer | Failed]:
        answers: list[Answer | Failed] = []

        def run(size: int) -> None:
            answers[:] = self._checked(self.ask(items[:size]), size)

        size = find_batch_size(run, len(items))
        if size < len(items):
            log.warning("%s: %d at a time do not fit into memory; going on with %d", self.name, len(items), size)
            self.batch = size
        return answers

    def _checked(self, answers: Sequence[Answer | Failed], size: int) -> Sequence[Answer | Failed]:
        if isinstance(answers, str) or not isinstance(answers, Sequence) or len(answers) != size:
            found = len(answers) if isinstance(answers, Sequence) else type(answers).__name__
            raise ConfigError(f"{self.name} breaks its contract: it was asked {size} times and answered {found} times.")
        for answer in answers:
            if not isinstance(answer, Failed) and (flaw := self.flaw(answer)):
                raise ConfigError(f"{self.name} breaks its contract: it answered {str(answer)[:80]!r}, {flaw}.")
        return answers


def _ends_all(error: Exception) -> bool:
    """Errors about the machine, the settings or the disk; a DataError or EncoderError may be about one picture."""
    about_one = isinstance(error, DataError | EncoderError) and not isinstance(error, UnavailableError)
    return isinstance(error, MellaError) and not about_one


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, MellaError) else f"{type(error).__name__}: {error}"
