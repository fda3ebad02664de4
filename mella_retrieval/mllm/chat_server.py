"""The client of an OpenAI-compatible chat server (vLLM, SGLang, llama.cpp, `transformers serve`, a provider's)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from mella_retrieval.data.text import excerpt
from mella_retrieval.encoders.specs import is_path
from mella_retrieval.errors import ConfigError, EncoderError, UnavailableError
from mella_retrieval.mllm.decoding import Decoding, Written
from mella_retrieval.mllm.extra import mllm_package

KEY = "OPENAI_API_KEY"
"""Environment variable with the key, where a server asks for one. It is read from nowhere else and written nowhere."""

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_CONNECT = 10.0
"""Seconds until a host that does not react counts as one that does not answer."""

_NOT_NOW = frozenset({429, 502, 503, 504})  # overloaded or starting: not the fault of what was asked
_FOR_ALL = frozenset({401, 403, 404, 405})  # the key, the address or the model's name is wrong


class ServerOptions(Decoding):
    """Options of specs that name a server, beside those of decoding.

    Attributes:
        model: its name on the server; "" asks the server, which must have just one.
        parallel: requests at once.
        timeout: seconds in which nothing comes; servers send nothing before the whole answer.
        retries: how often a request is sent again after errors of traffic, timeouts, 429 and 5xx, waiting longer each time.
    """

    model: str = ""
    parallel: int = Field(default=16, ge=1, le=1024)
    timeout: float = Field(default=120.0, gt=0)
    retries: int = Field(default=4, ge=0, le=100)


class ChatServer:
    """Asks one model of one server; safe to be used from many threads.

    Args:
        url: up to `/v1`.
        options: model, timeout, retries, and how answers are decoded; `parallel` is for who asks.

    Raises:
        ConfigError: no http(s) address, or a key that no header can hold.
        UnavailableError: the model is not named, and the server cannot be asked or has several.
        MissingDependencyError: openai is not installed.
    """

    def __init__(self, url: str, options: ServerOptions) -> None:
        address = urlsplit(url)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise ConfigError(f"{url!r} is no address of a server: http://HOST:PORT/v1 is needed.")
        if address.username or address.password or address.query:
            raise ConfigError(f"an address has no key in it; put the key into the environment variable {KEY}.")
        self.url, self._options = url.rstrip("/"), options
        self._key = _key()
        self._openai = mllm_package("openai")
        self._here = address.hostname in _HERE
        self._opened: Any = None
        self._opening = Lock()
        self.model = options.model or self._only_model()

    @property
    def model_name(self) -> str:
        """The model's name without where it lies on the server's machine, as records carry it."""
        return self.model.rstrip("/").rpartition("/")[2] if is_path(self.model) else self.model

    def ask(self, messages: Sequence[Any], *, seed: int | None = None) -> str:
        """The answer to a conversation; arguments and errors as for `write`."""
        return self.write(messages, seed=seed).text

    def write(self, messages: Sequence[Any], *, seed: int | None = None) -> Written:
        """The answer to a conversation, and whether it was cut at the longest length.

        Args:
            messages: as the protocol has them: role and content.
            seed: sent where answers are drawn.

        Raises:
            UnavailableError: nobody answers, refuses the key, does not know the model, or is still overloaded after all retries.
            EncoderError: it answered with an error about this question, or with nothing that can be read.
        """
        options, openai = self._options, self._openai
        drawn = {"seed": seed} if seed is not None and not options.greedy else {}
        # What is not of OpenAI's protocol is refused by some servers, so it is sent only where the user named it.
        named = "repetition_penalty" in options.model_fields_set
        try:
            answer = self._client().chat.completions.create(
                model=self.model,
                messages=list(messages),
                max_tokens=options.max_new_tokens,
                temperature=options.temperature,
                top_p=options.top_p,
                extra_body={"repetition_penalty": options.repetition_penalty} if named else None,
                **drawn,
            )
        except openai.APITimeoutError as error:
            if type(error.__cause__).__name__ == "ConnectTimeout":
                raise self._down(error) from None
            raise EncoderError(f"no answer within {options.timeout:g} s{self._after()}") from None
        except openai.APIConnectionError as error:
            raise self._down(error) from None
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except Exception as error:  # a page of HTML, broken JSON: the package passes on what its parsers raise
            raise EncoderError(f"the answer cannot be read ({type(error).__name__}: {self._excerpt(error)})") from None
        return self._read(answer)

    def close(self) -> None:
        """Close connections; they are opened again with the next question."""
        with self._opening:
            if self._opened:
                self._opened.close()
            self._opened = None

    def _client(self) -> Any:
        with self._opening:
            if not self._opened:
                options, openai = self._options, self._openai
                timeout = openai.Timeout(options.timeout, connect=min(options.timeout, _CONNECT))
                # What listens on this machine is asked itself, whatever proxy the environment names.
                direct = {"http_client": openai.DefaultHttpxClient(trust_env=False, timeout=timeout)} if self._here else {}
                self._opened = openai.OpenAI(
                    base_url=self.url, api_key=self._key or "none", timeout=timeout, max_retries=options.retries, **direct
                )
            return self._opened

    def _only_model(self) -> str:
        try:
            found = [model.id for model in self._client().models.list().data]
        except self._openai.APIConnectionError as error:
            raise self._down(error) from None
        except Exception as error:
            raise UnavailableError(
                f"{self.url} does not say which models it has ({self._excerpt(error)}); name one: ?model=NAME."
            ) from None
        if len(found) != 1:
            known = ", ".join(found[:10]) or "none"
            raise UnavailableError(f"{self.url} has {len(found)} models ({known}); name one: ?model=NAME.")
        return str(found[0])

    def _down(self, error: Exception) -> UnavailableError:
        reason = f"{error} {error.__cause__ or ''}".strip()
        return UnavailableError(
            f"no server answers at {self.url}{self._after()} ({reason}). Is it running? What was finished is kept: run the same "
            "command again to continue."
        )

    def _refused(self, error: Any) -> EncoderError:
        said = f"{error.status_code}: {self._excerpt(_message(error))}"
        if error.status_code in _NOT_NOW:
            return UnavailableError(f"{self.url} is overloaded or not ready{self._after()} ({said}). Run the same command again.")
        if error.status_code in {401, 403}:
            return UnavailableError(f"{self.url} refuses the key in {KEY} ({said}).")
        if error.status_code in _FOR_ALL:
            return UnavailableError(
                f"{self.url} has no model {self.model!r}, or is no chat server: up to /v1 is needed ({said})."
            )
        return EncoderError(f"the server answered {said}")

    def _read(self, answer: Any) -> Written:
        """What stands in an answer; a server's junk may lack any part of it."""
        try:
            choice = answer.choices[0]
            text = choice.message.content
            cut = choice.finish_reason == "length"
        except (AttributeError, IndexError, TypeError):
            text, cut = None, False
        if not isinstance(text, str):
            raise EncoderError(f"the answer has no text ({self._excerpt(answer)})")
        return Written(text.strip(), cut)

    def _excerpt(self, said: object) -> str:
        """What a server said, for messages and lists: without the key, which some say back."""
        text = str(said)
        return excerpt(text.replace(self._key, "***") if self._key else text)

    def _after(self) -> str:
        return f" after {self._options.retries + 1} tries" if self._options.retries else ""


def _key() -> str:
    """The key of the environment, "" for none.

    Raises:
        ConfigError: it cannot be sent; what the package says of that has the key in it.
    """
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the environment variable {KEY} holds no key: a key is one line of ASCII letters and digits.")
    return key


def _message(error: Any) -> str:
    """What the server says is wrong, without the frame around it."""
    body = error.body
    for key in ("message", "detail", "error"):
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    return body if isinstance(body, str) and body else str(error)
