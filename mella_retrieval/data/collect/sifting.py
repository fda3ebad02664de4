"""Second pass: the candidates of each part through the filters of texts and pictures, asking only for pictures that are left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from mella_retrieval.artifacts import Json, read_json, write_json
from mella_retrieval.data.collect.candidates import Candidate
from mella_retrieval.data.collect.filters.step import Picture, Stage, Subject
from mella_retrieval.data.collect.judging import Judge, Judged
from mella_retrieval.data.collect.recipe import Steps
from mella_retrieval.data.collect.sampling import Drawn, Samples
from mella_retrieval.data.collect.storing import Survivor, read_survivors, written_lines

Look = Callable[[Iterable[str]], dict[str, Picture]]

_CHUNK = 1000


class Sifted:
    """What is left of one part, on the disk. Its summary is written last: where it is, all is there."""

    def __init__(self, folder: Path, number: int) -> None:
        self._summary, self._survivors = folder / f"{number:05d}.json", folder / f"{number:05d}.jsonl.gz"

    @property
    def done(self) -> bool:
        """Whether the part is finished."""
        return self._summary.is_file()

    @property
    def summary(self) -> Json:
        """`filters`, what each did; `samples`, of what they removed."""
        return dict(read_json(self._summary))

    def survivors(self) -> Iterator[Survivor]:
        """What no filter has removed, in order."""
        return read_survivors(self._survivors)

    def write(
        self,
        candidates: Iterable[Candidate],
        steps: Steps,
        repeats: Callable[[Candidate], int],
        look: Look,
        samples: Samples,
        count: Callable[[int], None],
    ) -> None:
        """Sift the candidates of a part; `count` is told how many more are done."""
        texts, pictures = Judge(steps, Stage.TEXT), Judge(steps, Stage.PICTURE)
        iterator = iter(candidates)
        with written_lines(self._survivors) as lines:
            while chunk := list(islice(iterator, _CHUNK)):
                for judged in _sift(chunk, texts, pictures, repeats, look):
                    if judged.reason:
                        draw(samples, judged, judged.reason)
                    else:
                        lines.add(survivor_of(judged))
                count(len(chunk))
        counts = [vars(found) for judge in (texts, pictures) for found in judge.counts.values()]
        write_json(self._summary, {"filters": counts, "samples": [drawn.as_dict() for drawn in samples.all()]})


def _sift(
    chunk: Sequence[Candidate], texts: Judge, pictures: Judge, repeats: Callable[[Candidate], int], look: Look
) -> Iterator[Judged]:
    """All candidates of a chunk, in order."""
    judged = [texts.judge(Judged(Subject(candidate, repeats(candidate), candidate.lang))) for candidate in chunk]
    found = look(one.subject.candidate.image for one in judged if not one.reason)
    for one in judged:
        if not one.reason:
            one.subject = replace(one.subject, picture=found[one.subject.candidate.image])
            pictures.judge(one)
        yield one


def draw(samples: Samples, judged: Judged, reason: str) -> None:
    """Let a candidate draw its lot."""
    subject = judged.subject
    if (lot := samples.wants(reason, subject.candidate)) is not None:
        detail = judged.removed.get(reason, "")
        samples.add(Drawn(lot, reason, detail, subject.candidate, subject.lang, judged.scores, samples.part))


def survivor_of(judged: Judged) -> Survivor:
    """A candidate that passed, as it is stored."""
    subject = judged.subject
    if subject.picture is None:
        raise ValueError("a candidate without a picture cannot be kept")
    return Survivor(subject.candidate, subject.lang, subject.picture, judged.scores)
