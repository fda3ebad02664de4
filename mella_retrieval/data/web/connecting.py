"""One request to one address: to the IP address that was checked, with every wait bounded, so that nothing can hold a thread."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urljoin

from mella_retrieval.data.downloads import reason
from mella_retrieval.data.web.addresses import Location, NoAnswer, Refused, Resolver, locate, refuse_private_literal
from mella_retrieval.data.web.proxies import Proxies, Proxy

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
_OVER = "not complete in the time that is allowed"

create_connection = socket.create_connection


class Budget:
    """What one request may cost: time in all, time in silence, and bytes that come in."""

    def __init__(self, seconds: float, silence: float, max_bytes: int) -> None:
        self._end, self._silence, self._max_bytes, self._bytes = time.monotonic() + seconds, silence, max_bytes, 0

    @property
    def left(self) -> float:
        """Seconds until the end, none below 0."""
        return max(self._end - time.monotonic(), 0.0)

    def wait(self) -> float:
        """Seconds that the next wait may take.

        Raises:
            TimeoutError: the time is over.
        """
        if not self.left:
            raise TimeoutError(_OVER)
        return min(self._silence, self.left)

    def spend(self, count: int) -> None:
        """Count bytes that came, whatever they mean: head, chunks and packed content may be twice what the content may.

        Raises:
            Refused: they are too many.
        """
        self._bytes += count
        if self._bytes > 2 * self._max_bytes + 1_000_000:
            raise Refused(f"too large: the limit is {self._max_bytes} bytes")


class Connector:
    """Makes requests; safe to use from many threads."""

    def __init__(self, allow_private: bool = False, proxies: bool = False) -> None:
        """Args:
        allow_private: whether hosts that are not public may be asked.
        proxies: whether to go through the proxies that the environment names; these then look up the hosts.
        """
        self._allow_private = allow_private
        self._resolver = Resolver(allow_private)
        self._proxies = Proxies() if proxies else None
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def get(self, location: Location, headers: Mapping[str, str], budget: Budget) -> Iterator[http.client.HTTPResponse]:
        """Ask for a location; the response is to be read inside the `with` block.

        Raises:
            Refused: a private address, no such host, or a certificate that is not valid for it.
            NoAnswer: no connection, silence, or a connection that breaks off.
        """
        with _explained(budget):
            proxy = self._proxies.find(location) if self._proxies else None
            sock = self._connect(location, budget) if proxy is None else self._through(proxy, location, budget)
            with sock, self._registered(sock):
                sent, target = {"Host": location.authority, "Connection": "close", **headers}, location.target
                if proxy is not None and location.scheme == "http":  # it makes the request itself
                    sent, target = {**sent, **proxy.headers}, location.url
                sock.settimeout(budget.wait())
                with self._secured(sock, location) as secured:
                    connection = http.client.HTTPConnection(location.host, location.port)
                    connection.sock = _Timed(secured, budget)
                    connection.request("GET", target, headers=sent)
                    with connection.getresponse() as response:
                        yield response

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def close(self) -> None:
        """Break off all requests that are under way; there can be no others."""
        with self._lock:
            self._closed = True
            for sock in self._sockets:
                _shut(sock)

    def _connect(self, location: Location, budget: Budget) -> socket.socket:
        """A connection to the first of the host's checked addresses that takes it."""
        addresses = self._resolver.addresses(location.host, budget.wait())[:4]
        for place, address in enumerate(addresses, 1):
            try:  # an address is no name: nothing is looked up here
                return create_connection((str(address), location.port), budget.wait() / (len(addresses) - place + 1))
            except OSError:
                if place == len(addresses):
                    raise
        raise AssertionError("the resolver gives at least one address")

    def _through(self, proxy: Proxy, location: Location, budget: Budget) -> socket.socket:
        if not self._allow_private:
            refuse_private_literal(location.host)
        sock = create_connection((proxy.host, proxy.port), budget.wait())
        if location.scheme == "https":
            try:
                proxy.open_tunnel(_Timed(sock, budget), location)
            except BaseException:
                sock.close()
                raise
        return sock

    def _secured(self, sock: socket.socket, location: Location) -> socket.socket:
        """The socket to speak through: with TLS, and a certificate that is valid for the host's name, where it is asked for."""
        return self._context.wrap_socket(sock, server_hostname=location.host) if location.scheme == "https" else sock

    @contextmanager
    def _registered(self, sock: socket.socket) -> Iterator[None]:
        """Known to `close` as long as it is used, under a handle of its own: wrapping a socket for TLS detaches it."""
        handle = sock.dup()
        with self._lock:
            self._sockets.add(handle)
            if self._closed:
                _shut(handle)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(handle)
            handle.close()


def redirected(location: Location, response: http.client.HTTPResponse) -> Location | None:
    """Where a response sends its reader, None if it is no redirect.

    Raises:
        Refused: to no address of the web, or from https to http: what was asked for under a certificate is not taken without.
    """
    target = response.headers.get("Location", "")
    if response.status not in REDIRECTS or not target:
        return None
    with suppress(UnicodeError):  # headers are read as Latin-1; what is not ASCII in them is UTF-8 where it is anything
        target = target.encode("latin-1").decode("utf-8")
    try:
        new = locate(urljoin(location.url, target))
    except ValueError as error:
        raise Refused(f"not an address: {error}, where it redirects to") from None
    except Refused as refused:
        raise Refused(f"{refused}, where it redirects to") from None
    if location.scheme == "https" and new.scheme == "http":
        raise Refused(f"insecure redirect: from https to {new.url[:200]}")
    return new


class _Timed:
    """What http.client needs of a socket, with the budget before every wait; closing is left to the owner of the socket."""

    def __init__(self, sock: socket.socket, budget: Budget) -> None:
        self._sock, self._budget = sock, budget

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_TimedStream(self._sock, self._budget))

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._budget.wait())
        self._sock.sendall(data)

    def close(self) -> None: ...


class _TimedStream(io.RawIOBase):
    def __init__(self, sock: socket.socket, budget: Budget) -> None:
        self._sock, self._budget = sock, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._budget.wait())
        count = self._sock.recv_into(buffer)
        self._budget.spend(count)
        return count


@contextmanager
def _explained(budget: Budget) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        what = "nothing came for too long" if str(error) == "timed out" else reason(error)
        raise NoAnswer(f"timeout: {what if budget.left else _OVER}") from error
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"bad certificate: {error.verify_message}") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"broken connection: {reason(error)}") from error


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
