"""The content of a response, within limits of size and kind, whatever its head promises."""

from __future__ import annotations

import http.client
import zlib
from collections.abc import Callable

from mella_retrieval.data.downloads import TryAgain
from mella_retrieval.data.image_store import image_suffix
from mella_retrieval.data.web.addresses import Refused

_BLOCK = 1 << 16
_BEGINNING = 64
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


def read_body(
    response: http.client.HTTPResponse, max_bytes: int, look: Callable[[bytes], None] | None = None, *, cut: bool = False
) -> bytes:
    """Read a response to its end, unpacked if it is packed.

    Args:
        response: to be read.
        max_bytes: limit of the content, as announced, as it comes and as it is unpacked.
        look: is shown the first bytes of the content and raises `Refused` if they are not what is wanted.
        cut: end at the limit instead of refusing.

    Raises:
        Refused: too large, empty, packed in a way that was not asked for, or refused by `look`.
        TryAgain: cut short.
    """
    announced = response.length
    if announced is not None and announced > max_bytes and not cut:
        raise Refused(f"too large: {announced} bytes, the limit is {max_bytes}")
    unpacking = _Unpacking(response.headers.get("Content-Encoding", ""))
    content, came, looked = bytearray(), 0, look is None
    while block := response.read(_BLOCK):
        came += len(block)
        content += unpacking.unpack(block, max_bytes + 1 - len(content))
        if look is not None and not looked and len(content) >= _BEGINNING:
            look(bytes(content[:_BEGINNING]))
            looked = True
        if max(len(content), came) > max_bytes:
            if cut:
                return bytes(content[:max_bytes])
            raise Refused(f"too large: the limit is {max_bytes} bytes")
    if came < (announced or 0) or not unpacking.complete:
        raise TryAgain(f"cut short: {came} bytes" + (f" of {announced}" if announced else ""))
    if not content and not cut:
        raise Refused("empty: 0 bytes")
    if look is not None and not looked:
        look(bytes(content))
    return bytes(content)


def look_for_picture(beginning: bytes) -> None:
    """Refuse what does not begin as a picture does, whatever it is called."""
    if image_suffix(beginning) == "bin":
        raise Refused(f"not a picture: it begins with {beginning[:16]!r}")


class _Unpacking:
    """Content as it was before it was packed; packed although `identity` was asked for, as some servers do."""

    def __init__(self, encoding: str) -> None:
        encoding = encoding.strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise Refused(f"unknown encoding: {encoding[:40]}")
        self._object = None if encoding in {"", "identity"} else zlib.decompressobj(_GZIP_OR_ZLIB)

    def unpack(self, block: bytes, most: int) -> bytes:
        """At most `most` (at least 1) bytes; if there would be more, the caller stops."""
        if self._object is None:
            return block
        try:
            return self._object.decompress(block, most)
        except zlib.error as error:
            raise Refused(f"broken encoding: {error}") from None

    @property
    def complete(self) -> bool:
        return self._object is None or self._object.eof
