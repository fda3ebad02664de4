"""The recipe of `mella score`."""

from __future__ import annotations

from pydantic import Field, field_validator

from mella_retrieval.data.ling.checks.repetition import Repetition
from mella_retrieval.mllm.prompts import SOURCES
from mella_retrieval.mllm.score.bootstrap import Bootstrap
from mella_retrieval.mllm.score.forgetting import Signs
from mella_retrieval.mllm.score.metrics import METRICS
from mella_retrieval.recipes import Strict, suggest


class ScoreRecipe(Strict):
    """How generated texts are scored.

    Attributes:
        sources: source of a record -> kind of text, which decides the question and the metrics; others are not scored.
        metrics: kind of text -> names of `METRICS`.
        prompts: a file of templates; null takes `prompts.yaml` of the package.
        limit: pictures of each kind and language at most, drawn with `seed`; null takes all.
        seed: of the questions, the drawing of pictures, the shuffles, and of models that draw.
        batch: pictures asked at a time, halved where memory does not suffice.
        workers: threads that decode pictures ahead.
        shard: pictures whose answers are stored at a time.
        shuffles: how often the answers are handed to other pictures, for chance.
        identify: tell the languages of references and answers; without it nothing in a wrong language is found.
        unlike: compare models that decode in different ways or were asked different things; the difference is said.
        repetition: thresholds of the repetition rate.
        bootstrap: of intervals and tests.
        signs: the measure of forgetting; null leaves it out.
    """

    sources: dict[str, str] = Field(default={"know": "know", "ling": "ling"})
    metrics: dict[str, tuple[str, ...]] = Field(
        default={
            "know": ("keywords", "keywords_lenient", "names", "names_lenient", "language", "repetition", "words"),
            "ling": ("chrf", "bleu", "rouge_l", "meteor", "language", "repetition", "words"),
        }
    )
    prompts: str | None = None
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    batch: int = Field(default=16, ge=1)
    workers: int = Field(default=2, ge=1)
    shard: int = Field(default=500, ge=1)
    shuffles: int = Field(default=3, ge=0)
    identify: bool = True
    unlike: bool = False
    repetition: Repetition = Repetition()
    bootstrap: Bootstrap = Bootstrap()
    signs: Signs | None = Signs()

    @field_validator("sources")
    @classmethod
    def _kinds(cls, sources: dict[str, str]) -> dict[str, str]:
        for source, kind in sources.items():
            if kind not in SOURCES:
                raise ValueError(f"{source} is said to be {kind!r}, which is no kind of text. Kinds: {', '.join(SOURCES)}.")
        return sources

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for kind, names in metrics.items():
            if kind not in SOURCES:
                raise ValueError(f"there is no kind of text {kind!r}.{suggest(kind, SOURCES)} Kinds: {', '.join(SOURCES)}.")
            for name in names:
                if name not in METRICS:
                    raise ValueError(f"there is no metric {name!r}.{suggest(name, METRICS)} Known: {', '.join(METRICS)}.")
        return metrics
