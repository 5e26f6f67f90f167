"""Connections to a host that a tenant's file names: only to public addresses, resolved once, and to no other host."""

import ipaddress
import re
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

SCHEMES = (
    "slack", "https", "pagerduty", "pagerduty+http", "opsgenie", "workflows", "gchat", "discord", "mailto",
    "mailtos", "json", "jsons", "alertmanager", "alertmanagers",
)  # fmt: skip
"""Schemes that a tenant's alert route may have: they send messages to a host and touch nothing on this machine."""

_READS_FILES = ("template", "pgp", "wkd")
"""The prefixes of such Apprise options."""
_UNQUOTED = 5
_NO_LETTER = re.compile(r"[^a-z0-9]+")


def reads_files(address: str) -> bool:
    """Whether an alert address makes Apprise read a file of this machine: a message's template, a key.

    Apprise also accepts an option's name with signs and spaces around it, and escaped more than once.
    """
    for _ in range(_UNQUOTED):
        address = unquote(address)
    keys = (part.partition("=")[0] for part in re.split(r"[?&;]", address)[1:])
    return any(_NO_LETTER.sub("", key.lower()).startswith(_READS_FILES) for key in keys)


_resolve = socket.getaddrinfo
_Found = list[Any]


class HostRefused(OSError):
    """A host that a tenant may not connect to; the message names it and says why."""


class Guard:
    """One host's addresses, resolved once: those checked are those connected to; `refused` says why there are none."""

    def __init__(self, host: str | None, allowed: Collection[str]) -> None:
        self.refused: str | None = None
        self._host = host.lower().rstrip(".") if host else None
        self._allowed = {name.lower() for name in allowed}
        self._answers: dict[tuple[Any, ...], _Found] = {}

    def resolve(self, host: Any, *rest: Any, **more: Any) -> _Found:
        name = host.decode("ascii") if isinstance(host, bytes) else str(host)
        name = name.lower().rstrip(".")
        if (name, str(rest[0]) if rest else "") in _proxies():
            return _resolve(host, *rest, **more)
        self._host = self._host or name
        try:
            return self._checked(name, host, *rest, **more)
        except HostRefused as error:
            self.refused = str(error)
            raise

    def _checked(self, name: str, host: Any, *rest: Any, **more: Any) -> _Found:
        if name != self._host:
            raise HostRefused(f"{name} is not the host that the address names, and is not followed to")
        key = (*rest, *more.items())
        if key not in self._answers:
            addresses = _resolve(host, *rest, **more)
            if name not in self._allowed:
                for *_, address in addresses:
                    _refuse_private(name, str(address[0]))
            self._answers[key] = addresses
        return self._answers[key]


class _Current(threading.local):
    guard: Guard | None = None


_current = _Current()


@contextmanager
def to_public_addresses(host: str | None = None, allowed: Collection[str] = ()) -> Iterator[Guard]:
    """Limit this thread to one host, and to that only where its addresses are public or it is in `allowed`.

    The host is `host`, or the first one that is resolved.

    This covers every library that resolves names by `socket.getaddrinfo`: requests, httpx, smtplib. A proxy that the
    environment names is the operator's and stays reachable. Raises `HostRefused` from within the library.
    """
    if socket.getaddrinfo is not _guarded:
        socket.getaddrinfo = _guarded
    guard = Guard(host, allowed)
    before, _current.guard = _current.guard, guard
    try:
        yield guard
    finally:
        _current.guard = before


def _guarded(host: Any, *rest: Any, **more: Any) -> _Found:
    guard = _current.guard
    return _resolve(host, *rest, **more) if guard is None else guard.resolve(host, *rest, **more)


def _proxies() -> set[tuple[str, str]]:
    """Host and port of each proxy that the environment names."""
    proxies = set()
    for url in getproxies().values():
        parts = urlsplit(url if "://" in url else f"http://{url}")
        proxies.add(((parts.hostname or "").lower(), str(parts.port or (443 if parts.scheme == "https" else 80))))
    return proxies


def _refuse_private(host: str, text: str) -> None:
    address = ipaddress.ip_address(text.partition("%")[0])
    # An IPv6 address may carry an IPv4 one: mapped, 6to4, or behind NAT64.
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    hidden = isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _NOT_PUBLIC)
    for one in filter(None, (address, inner)):
        if hidden or not one.is_global or one.is_multicast:
            raise HostRefused(f"{host} has the address {one}, which is not public")


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Site-local, local-use NAT64 (RFC 8215), and the deprecated form of IPv4 within IPv6: global to Python 3.11.
_NOT_PUBLIC = tuple(map(ipaddress.IPv6Network, ("fec0::/10", "64:ff9b:1::/48", "::/96")))
