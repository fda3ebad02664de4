"""One hierarchy of errors: each says what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MellaError(Exception):
    """Base of every error that a user can cause and mend; the command line shows its text and exits with 1."""


class ConfigError(MellaError):
    """A recipe, option or spec is not valid (unknown key, wrong type, impossible value)."""


class DataError(MellaError):
    """Records, captions or pictures cannot be used as they are."""


class ArtifactError(MellaError):
    """A folder on disk is missing, incomplete, corrupted or of another kind."""


class LockedError(ArtifactError):
    """Another process is writing to the folder."""


class MismatchError(MellaError):
    """Two artifacts do not belong together; the message names both."""


class EncoderError(MellaError):
    """A tower cannot be found, loaded or run."""


class UnavailableError(EncoderError):
    """A model cannot be asked at all (its server is down, its weights cannot be loaded): the next question would fail, too."""


@contextmanager
def ending_the_work() -> Iterator[None]:
    """Errors of a model that is loaded with the first question: every question would meet them."""
    try:
        yield
    except EncoderError as error:
        raise UnavailableError(str(error)) from error


class TrainingError(MellaError):
    """An adapter cannot be fitted: its needs are not met, or the fit diverged."""


class ExportError(MellaError):
    """An adapter has no exact counterpart in the wanted format."""


class HubError(MellaError):
    """A model hub cannot be reached, refuses, or does not have what was asked for."""


class MissingDependencyError(MellaError):
    """An optional package is absent; the message carries the install command."""
