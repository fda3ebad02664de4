"""The content of an HTTP response that was stored as it was sent: out of its chunks (RFC 9112) and unpacked (RFC 9110)."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from importlib import import_module

_BLOCK = 1 << 14
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]*)?\r?")
_MAX_SIZE_LINE = 4096
_GZIP = b"\x1f\x8b"


class CannotUnpack(Exception):
    """The content cannot be had; the text says why, as a `Rejected` has it."""


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a response, and a note where less came of it than was sent ("" where all did)."""

    data: bytes
    note: str = ""


def http_body(sent: bytes, transfer_encoding: str, content_encoding: str, limit: int) -> Body | None:
    """The content of a response, None if it is longer than `limit` bytes.

    Crawlers often store content that is unpacked already below headers that call it packed: it is taken as it is.

    Args:
        sent: what stood behind the headers.
        transfer_encoding: the header, "" if there is none.
        content_encoding: the header.
        limit: bytes.

    Raises:
        CannotUnpack: it is packed in a way that nobody here knows.
    """
    body = _joined(sent) if "chunked" in transfer_encoding.lower() else Body(sent)
    for name in reversed(content_encoding.lower().split(",")):
        unpacked = _unpacked(body.data, name.strip(), limit + 1)
        body = Body(unpacked.data, body.note or unpacked.note)
        if len(body.data) > limit:
            return None
    return body


def _joined(sent: bytes) -> Body:
    pieces: list[bytes] = []
    at = 0
    while True:
        end = sent.find(b"\n", at, at + _MAX_SIZE_LINE)
        size = _CHUNK_SIZE.fullmatch(sent, at, end) if end >= 0 else None
        if size is None:
            if at == 0:  # not in chunks, whatever the header says
                return Body(sent)
            return Body(b"".join(pieces), "cut short: broken chunks" if at < len(sent) else "cut short: a chunk is missing")
        length = int(size[1], 16)
        if length == 0:
            return Body(b"".join(pieces))
        piece = sent[end + 1 : end + 1 + length]
        pieces.append(piece)
        if len(piece) < length:
            return Body(b"".join(pieces), "cut short: the last chunk is")
        at = end + 1 + length
        at += 2 if sent.startswith(b"\r\n", at) else sent.startswith(b"\n", at)


def _unpacked(data: bytes, encoding: str, most: int) -> Body:
    if encoding in {"", "identity"} or not data:
        return Body(data)
    if encoding in {"gzip", "x-gzip"}:
        return _inflated(data, zlib.MAX_WBITS | 16, most) if data.startswith(_GZIP) else Body(data)
    if encoding == "deflate":  # zlib's wrapping by the standard, none by many servers
        wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return _inflated(data, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, most)
    if data.lstrip()[:1] == b"<":  # unpacked already
        return Body(data)
    if encoding == "br":
        return _brotli(data, most)
    raise CannotUnpack(f"unknown packing: {encoding[:20]}")


def _inflated(data: bytes, wbits: int, most: int) -> Body:
    unpacking = zlib.decompressobj(wbits)
    unpacked = bytearray()
    for at in range(0, len(data), _BLOCK):
        try:
            unpacked += unpacking.decompress(data[at : at + _BLOCK], most - len(unpacked))
        except zlib.error:
            return Body(bytes(unpacked), "cut short: broken packing") if unpacked else Body(data)
        if len(unpacked) >= most or unpacking.eof:
            return Body(bytes(unpacked))
    return Body(bytes(unpacked), "cut short: the packing is")


def _brotli(data: bytes, most: int) -> Body:
    try:
        brotli = import_module("brotli")
    except ModuleNotFoundError:
        raise CannotUnpack("unknown packing: br (pip install brotli)") from None
    unpacking = brotli.Decompressor()
    try:
        unpacked: bytes = unpacking.process(data, output_buffer_limit=most)
    except brotli.error:
        return Body(data)
    return Body(unpacked, "" if unpacking.is_finished() or len(unpacked) >= most else "cut short: the packing is")
