"""Model hubs: no long retries without a network, and errors that say how to go on without one."""

from __future__ import annotations

import logging
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from mella_retrieval.encoders.batching import is_out_of_memory
from mella_retrieval.encoders.specs import EncoderSpec, is_path
from mella_retrieval.errors import EncoderError, MellaError, MissingDependencyError

logger = logging.getLogger(__name__)

_SECONDS = 3.0
_LOCK = threading.Lock()


def require_folder(spec: EncoderSpec, path: str, *files: str) -> None:
    """Check that a local model folder exists and holds its configuration.

    Raises:
        EncoderError: there is no such folder, or none of `files` is in it.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise EncoderError(f"{spec}: there is no folder {folder}.")
    if not any((folder / file).is_file() for file in files):
        raise EncoderError(f"{spec}: the folder {folder} has no {' or '.join(files)}, so it is not a model of kind {spec.kind}.")


@contextmanager
def loading(spec: EncoderSpec, *, local: bool) -> Iterator[None]:
    """Run a library's loading code; whatever it raises becomes an EncoderError that says what to do.

    Where the model is not `local` and the hub cannot be reached, only the libraries' caches are looked at: their own
    retries would take a minute to find out the same.

    Raises:
        EncoderError: the model cannot be loaded. MissingDependencyError: a package is missing.
    """
    offline = not local and not _hub_answers()
    try:
        with _cache_only() if offline else _as_is():
            yield
    except MellaError:
        raise
    except ImportError as error:
        raise MissingDependencyError(f"{spec} needs a package that is not installed: {_first_line(error)}") from error
    except Exception as error:
        if is_out_of_memory(error):
            raise EncoderError(f"{spec}: memory is not enough to load the model ({_first_line(error)}).") from error
        reason = "the model hub cannot be reached, and the model is not in the cache" if offline else _first_line(error)
        raise EncoderError(f"{spec} cannot be loaded: {reason}. {_advice(spec, local)}") from error


@contextmanager
def reaching_hub() -> Iterator[bool]:
    """Whether the hub answers; where it does not, only the caches are looked at inside the block."""
    answers = _hub_answers()
    with _as_is() if answers else _cache_only():
        yield answers


def is_local(name: str) -> bool:
    """Whether a model name of transformers or sentence-transformers is a folder on this machine (or can only mean one)."""
    return is_path(name) or Path(name).is_dir()


def _advice(spec: EncoderSpec, local: bool) -> str:
    if local:
        return "The files in the folder are missing, damaged, or do not belong together; fetch the model again."
    if spec.kind == "open_clip" and not spec.name.startswith("hf-hub:"):
        model = spec.name.partition("/")[0]
        return (
            "Without a network, fetch the weights file on another machine and give its path: "
            f"open_clip:{model}//path/to/weights.safetensors (or a folder: open_clip:/path/to/folder)."
        )
    name = spec.name.removeprefix("hf-hub:")
    return (
        f"Check the name. Without a network, run `hf download {name} --local-dir FOLDER` on another machine, copy the "
        f"folder and give its path: {spec.kind}:/path/to/FOLDER."
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return (text if len(text) <= 300 else text[:300] + "...").rstrip(".")


def _hub_answers() -> bool:
    """Whether a connection to the hub (or to the proxy before it) can be opened; True where offline mode is set already,
    since nothing is asked of the network then.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return True
    address = urlsplit(constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(address.scheme)
    if proxy and not urllib.request.proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_SECONDS).close()
    except OSError as error:
        logger.info("the model hub does not answer (%s); looking into the cache only", error)
        return False
    return True


@contextmanager
def _as_is() -> Iterator[None]:
    yield


@contextmanager
def _cache_only() -> Iterator[None]:
    """Put huggingface_hub, through which all three libraries download, into offline mode."""
    from huggingface_hub import constants

    with _LOCK:
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = False
