"""The proxies that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`), for those who have to go through one."""

from __future__ import annotations

import base64
import http.client
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from mella_retrieval.data.web.addresses import Location
from mella_retrieval.errors import ConfigError


@dataclass(frozen=True)
class Proxy:
    """One proxy: where it is, and the headers by which it knows its users."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)

    def open_tunnel(self, sock: Any, location: Location) -> None:
        """Ask the proxy at the other end of `sock` to connect it with a location.

        Raises:
            OSError: it does not want to.
        """
        target = f"[{location.host}]" if ":" in location.host else location.host
        ask = [f"CONNECT {target}:{location.port} HTTP/1.1", f"Host: {target}:{location.port}"]
        ask += [f"{name}: {value}" for name, value in self.headers.items()]
        sock.sendall("\r\n".join([*ask, "", ""]).encode("latin-1"))
        response = http.client.HTTPResponse(sock, method="CONNECT")
        response.begin()
        if response.status != http.client.OK:
            raise OSError(f"the proxy answers with status {response.status}")


class Proxies:
    """The proxies of the environment."""

    def __init__(self) -> None:
        found = urllib.request.getproxies()
        self._proxies = {scheme: _parse(found[scheme]) for scheme in ("http", "https") if found.get(scheme)}

    def find(self, location: Location) -> Proxy | None:
        """The proxy for a location, None where it is to be asked directly."""
        bypassed = urllib.request.proxy_bypass(location.host)
        return None if bypassed else self._proxies.get(location.scheme)


def _parse(address: str) -> Proxy:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(
            f"the proxy of the environment, {parts.scheme}://{parts.hostname}, is not of the form http://HOST:PORT."
        )
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    headers = {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"} if user else {}
    return Proxy(parts.hostname, parts.port or 80, headers)
