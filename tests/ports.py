"""Ports of the loopback for what tests start: none is soon given again, and none is of those that the kernel gives to
connections."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

_FIRST, _SHARES, _SHARE = 20_000, 6, 2_000  # below 32 768, where Linux begins to give them


def _own() -> Iterator[int]:
    """Of a worker of pytest-xdist, which does not know what the others give out."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return (_FIRST + worker % _SHARES * _SHARE + n % _SHARE for n in count(os.getpid() * 97))


_PORTS = _own()


def free_port() -> int:
    for port in _PORTS:
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is always another one")


def free_ports(count: int) -> list[int]:
    """Neighbours."""
    while True:
        ports = [free_port() for _ in range(count)]
        if ports[-1] - ports[0] == count - 1:
            return ports
