"""Which addresses may be asked: http and https to public hosts, in plain spelling, looked up once and checked.

A page or a list of URLs is written by strangers. Without these checks it could make this machine ask its own services, its
neighbours or the metadata service of a cloud. Checked is what the name means, not how it looks, and the connection goes to
the very address that was checked: a name server that answers differently the second time is never asked a second time.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urlsplit

from mella_retrieval.data.downloads import TryAgain

IpAddress = IPv4Address | IPv6Address

LONGEST = 8000
_PORTS = {"http": 80, "https": 443}
_NETLOC = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]@:/?#\\%]+))(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_KEPT = "/%:@!$&'()*+,;=~?"

# IANA's registry of special addresses; 224.0.0.0/3 is multicast and all that is reserved, 168.63.129.16 Azure's own services.
_SPECIAL_4 = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
            *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/3", "168.63.129.16/32"),
        ),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
# Protocol assignments with Teredo, documentation, 6to4, documentation. Nobody serves pictures from a tunnel.
_SPECIAL_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")

_KNOWN_HOSTS = 4096
_KNOWN_FOR = 60.0


class Refused(Exception):
    """What will not be fetched, now or later; the message is the reason, its kind before the first colon."""


class UnknownHost(Refused):
    """There is no such name."""


class NoAnswer(TryAgain):
    """The host does not answer, or breaks off."""


@dataclass(frozen=True, slots=True)
class Location:
    """An address in the one spelling in which it is asked for.

    Attributes:
        scheme: http or https.
        host: a name in ASCII and lower case, or an IP address (without brackets).
        port: 1 to 65535.
        target: path and query, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and, where it is not the usual one, port; the value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a robots.txt is valid for."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The address as a text, without a fragment."""
        return self.origin + self.target


def locate(url: str) -> Location:
    """Take an address apart.

    Raises:
        Refused: not http or https, a user name in it, or a host in an unusual spelling (`0x7f.1`, `2130706433`, `127.1`, a
            dot at the end, ...), which other programs read differently.
    """
    if len(url) > LONGEST:
        raise Refused(f"not an address: longer than {LONGEST} characters")
    try:
        parts = urlsplit(url.strip())
        if parts.scheme not in _PORTS:
            raise Refused(f"not an address: {parts.scheme or 'without a scheme, it'} is not http or https")
        found = _NETLOC.fullmatch(parts.netloc)
        if found is None:
            raise Refused(f"not an address: {parts.netloc[:100]!r} is no plain host name")
        host = str(IPv6Address(found["six"])) if found["six"] else _host(found["name"])
        port = int(found["port"] or _PORTS[parts.scheme])
        target = quoted(parts.path or "/") + (f"?{quoted(parts.query)}" if parts.query else "")
    except ValueError as error:  # halves of brackets, letters that no name can have, lone surrogates
        raise Refused(f"not an address: {error}") from None
    if not 0 < port < 1 << 16:
        raise Refused(f"not an address: there is no port {port}")
    return Location(parts.scheme, host, port, target)


def quoted(target: str) -> str:
    """A path or query in ASCII; what is percent-encoded already stays as it is."""
    return quote(target, safe=_KEPT)


def host_of(url: str) -> str:
    """The host of an address, "" where it has none that can be asked."""
    try:
        return locate(url).host
    except Refused:
        return ""


def _host(name: str) -> str:
    if len(name) > 253:
        raise Refused("not an address: the host name is longer than 253 characters")
    host = (name if name.isascii() else name.encode("idna").decode("ascii")).lower()
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # then browsers take the whole for an IP address, in any of its old spellings
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise Refused(f"not an address: {host} is no IP address in its usual spelling") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Refused(f"not an address: {host[:100]!r} is no plain host name")
    return host


def is_public(address: IpAddress) -> bool:
    """Whether an address belongs to the public internet; an IPv4 address within an IPv6 address is looked at itself."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)


def ask_dns(host: str) -> list[str]:
    """The IP addresses of a name, as the system knows them: the one place where names are looked up."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Resolver:
    """Finds the addresses of hosts and checks them; safe to use from many threads. Answers are kept for a minute."""

    def __init__(self, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._known: OrderedDict[str, tuple[float, list[IpAddress]]] = OrderedDict()
        self._lock = threading.Lock()

    def addresses(self, host: str, seconds: float) -> list[IpAddress]:
        """All addresses of a host, every one of them public.

        Args:
            host: as in `Location`.
            seconds: how long to wait for the answer.

        Raises:
            Refused: one of them is not public, or there is no such name.
            TimeoutError: no answer.
            NoAnswer: no name server can tell now.
        """
        with self._lock:
            until, addresses = self._known.get(host, (0.0, []))
        if time.monotonic() >= until:
            addresses = _look_up(host, seconds)
        for address in addresses:
            if not self._allow_private and not is_public(address):
                named = "" if str(address) == host else f", an address of {host}"
                raise Refused(f"private address: {address}{named}")
        if time.monotonic() >= until:
            self._remember(host, addresses)
        return addresses

    def _remember(self, host: str, addresses: list[IpAddress]) -> None:
        with self._lock:
            self._known[host] = (time.monotonic() + _KNOWN_FOR, addresses)
            self._known.move_to_end(host)
            if len(self._known) > _KNOWN_HOSTS:
                self._known.popitem(last=False)


def refuse_private_literal(host: str) -> None:
    """For hosts that somebody else looks up (a proxy): at least no private address that is written out.

    Raises:
        Refused: it is one.
    """
    if host == "localhost" or host.endswith(".localhost"):
        raise Refused(f"private address: {host}")
    if (address := _literal(host)) is not None and not is_public(address):
        raise Refused(f"private address: {address}")


def _literal(host: str) -> IpAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _look_up(host: str, seconds: float) -> list[IpAddress]:
    """Ask in a thread of its own: the system's resolver knows no time limit but its own, which is long."""
    if (literal := _literal(host)) is not None:
        return [literal]
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(ask_dns(host))
        except OSError as error:
            answers.put(error)
        except UnicodeError:  # the codec of host names
            answers.put(socket.gaierror(socket.EAI_NONAME, "not a host name"))

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no name server tells the address of {host}") from None
    if isinstance(answer, socket.gaierror) and answer.errno != socket.EAI_AGAIN:
        raise UnknownHost(f"unknown host: {host}") from None
    if isinstance(answer, OSError):
        raise NoAnswer(f"broken connection: no name server answers for {host}")
    addresses = [ip_address(text) for text in dict.fromkeys(answer)]
    if not addresses:
        raise UnknownHost(f"unknown host: {host}")
    return addresses
