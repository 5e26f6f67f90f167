"""Connections to the API: how long a request may take to arrive, and how many may be open at once.

uvicorn bounds what is idle between two requests, and nothing before the first one is whole: a client that sends half a
request would keep its connection, and a file descriptor, for ever.
"""

import asyncio
import resource
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from convergence_assets.api.http_metrics import CONNECTIONS_CLOSED

HEADERS_SECONDS = 10
"""From a connection, or from a request's first byte, to the end of its headers."""
BODY_SECONDS = 20
"""From there to the end of its body, which has 64 KiB at most."""
REFUSAL_SECONDS = 1
"""How long a connection over the limit may take to send the request that is then refused."""
MOST = 1000
OF_AN_ADDRESS = 500
"""Connections whose request has not arrived. A load balancer is one address, so that this is no small number."""
_FILES_LEFT = 0.5
"""Of the process's file descriptors: the stores need some too."""
_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n"


class Connections:
    """The open connections. The one that has waited longest for the rest of a request is closed for a new one."""

    def __init__(self, most: int | None = None) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = most or max(10, min(MOST, int(files * _FILES_LEFT)))
        self._open: set[BoundedProtocol] = set()
        self._waiting: dict[BoundedProtocol, None] = {}
        self._waiting_of = Counter[str]()

    def opened(self, connection: "BoundedProtocol") -> bool:
        """False where the limit is reached: all others have a request that is being answered."""
        if len(self._open) >= self._most and not self._close_oldest(None):
            return False
        self._open.add(connection)
        self.waits(connection)
        return True

    def waits(self, connection: "BoundedProtocol") -> None:
        """It has sent no whole request, or none since its last one was answered."""
        if connection in self._waiting:
            return
        if self._waiting_of[connection.address] >= OF_AN_ADDRESS:
            self._close_oldest(connection.address)
        self._waiting[connection] = None
        self._waiting_of[connection.address] += 1

    def arrived(self, connection: "BoundedProtocol") -> None:
        """Its request is whole."""
        if connection in self._waiting:
            del self._waiting[connection]
            self._waiting_of[connection.address] -= 1

    def closed(self, connection: "BoundedProtocol") -> None:
        self.arrived(connection)
        self._open.discard(connection)

    def _close_oldest(self, address: str | None) -> bool:
        oldest = next((c for c in self._waiting if address in (None, c.address)), None)
        if oldest is None:
            return False
        CONNECTIONS_CLOSED.labels("no_room").inc()
        self.closed(oldest)
        oldest.transport.abort()
        return True


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines, and one among `open_connections`."""

    open_connections: Connections
    _deadline: asyncio.TimerHandle | None = None
    _refused = False
    address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if self.open_connections.opened(self):
            self._expect_within(HEADERS_SECONDS)
            return
        CONNECTIONS_CLOSED.labels("refused").inc()
        self._refused = True
        self._expect_within(REFUSAL_SECONDS)

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
        elif not self.transport.is_closing():
            # What is closed with something unread is reset, and the answer with it.
            self.transport.write(_FULL)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.open_connections.waits(self)
        self._expect_within(HEADERS_SECONDS)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._expect_within(BODY_SECONDS)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.open_connections.arrived(self)
        self._expect_nothing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            # uvicorn bounds how long it may be idle; others need not wait for that.
            self.open_connections.waits(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self.open_connections.closed(self)
        super().connection_lost(exc)

    def _expect_within(self, seconds: float) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if not self._refused:
            CONNECTIONS_CLOSED.labels("late").inc()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_LATE)
        self.transport.close()


def bounded(connections: Connections) -> type[asyncio.Protocol]:
    """The protocol for one server, which counts its own connections."""
    attributes: dict[str, Any] = {"open_connections": connections}
    return type("BoundedProtocol", (BoundedProtocol,), attributes)
