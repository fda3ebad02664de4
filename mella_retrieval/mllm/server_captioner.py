"""Pictures described by a model behind an OpenAI-compatible chat server, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from PIL.Image import Image
from pydantic import field_validator

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.data.ling.contracts import Ask, Failed, Picture
from mella_retrieval.data.ling.plugins import Request
from mella_retrieval.encoders.picture_limits import Limits
from mella_retrieval.errors import EncoderError, UnavailableError
from mella_retrieval.mllm.captioners import Remarks, different, image_of, messages
from mella_retrieval.mllm.chat_server import ChatServer, ServerOptions
from mella_retrieval.mllm.decoding import Written, decoding_of, seed_of
from mella_retrieval.mllm.pictures import FORMATS, data_uri
from mella_retrieval.recipes import build_config, suggest


class ServerCaptionerOptions(ServerOptions, Limits):
    """Options of a spec, beside those of the server, of decoding, and the sizes of pictures.

    Attributes:
        images: whether the model is sent the picture.
        system: a message before the question.
        format: how pictures are sent, a key of `FORMATS`.
        version: to be changed where the server has another model under the same name: stored answers are not used then.
    """

    images: bool = True
    system: str = ""
    format: str = "jpeg"
    version: str = ""

    @field_validator("format")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FORMATS:
            raise ValueError(f"{name!r} is no format.{suggest(name, FORMATS)} Known: {', '.join(FORMATS)}")
        return name


# How a server is reached and how many are asked at once decides no answer.
_NOT_SAID = {"model", "parallel", "timeout", "retries"}


class ServerCaptioner:
    """See `Captioner`. Attributes: decoding: how answers are made; two arms are comparable only if it is the same."""

    def __init__(self, request: Request) -> None:
        options = build_config(ServerCaptionerOptions, request.options, repr(request.spec))
        self._options = options
        self._server = ChatServer(request.name, options)
        self.decoding = decoding_of(request.options, repr(request.spec))
        self.reads_pictures = options.images
        named = {name: value for name, value in request.options.items() if name not in _NOT_SAID}
        self.name = Request(request.kind, self._server.model_name, named).spec
        self.fingerprint = fingerprint({"server": self._server.model, **options.model_dump(exclude=_NOT_SAID)})
        self._remarks = Remarks(self.name, self.decoding)

    def prepare(self, image: Image) -> Image:
        """The picture within the limits of size."""
        return self._options.apply(image)

    def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
        """See `Captioner`; a picture of which one prompt fails is a failure."""
        views = different(ask, self.decoding.greedy)
        self._remarks.asked, self._remarks.wanted = len(views), len(ask.prompts)
        with ThreadPoolExecutor(self._options.parallel) as pool:
            asked = [[pool.submit(self._view, picture, ask, view) for view in views] for picture in pictures]
            try:
                return [self._together(futures) for futures in asked]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """See `Captioner`."""
        self._remarks.say()
        self._server.close()

    def _view(self, picture: Picture, ask: Ask, view: int) -> Written:
        options = self._options
        sent = None
        if options.images:
            address = data_uri(options.apply(image_of(picture)), options.format)
            sent = {"type": "image_url", "image_url": {"url": address}}
        question = messages(ask.prompts[view], options.system, sent)
        return self._server.write(question, seed=seed_of(ask.seed, (picture.image_id, view)))

    def _together(self, futures: Sequence[Future[Written]]) -> list[str] | Failed:
        try:
            found = [future.result() for future in futures]
        except UnavailableError:
            raise
        except EncoderError as error:
            return Failed(str(error))
        self._remarks.cut += sum(one.cut for one in found)
        return [one.text for one in found]
