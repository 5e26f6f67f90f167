"""The middleware around every request: it counts, times and logs, limits the body's size and adds headers."""

import json
import logging
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convergence_assets.api.deployment import Deployment
from convergence_assets.api.http_metrics import METHODS, REQUESTS, SECONDS, UNMATCHED

LARGEST_BODY_BYTES = 64 * 1024
LARGEST_DISCARDED_BYTES = 16 * 2**20
"""How much of a body that is too large is read: a client that still sends does not read the answer."""
_CONTENT_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_CONTENT_POLICY_OF_DOCUMENTS = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"font-src 'self'; connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'"
)
_DOCUMENTS = frozenset({"/docs", "/redoc"})
_POLLED_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})
_log = logging.getLogger("convergence.access")
_TOO_LARGE = json.dumps(
    {"error": "too_large", "message": f"The body is larger than {LARGEST_BODY_BYTES} bytes.", "next": "Send less."}
).encode()


class AccessMiddleware:
    """Around the whole application."""

    def __init__(self, app: ASGIApp, deployment: Deployment) -> None:
        self._app = app
        self._deployment = deployment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500
        limited = _Limited(receive)
        scope["state"] = dict(scope.get("state") or {})

        async def send_response(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *self._headers(scope)]}
            await send(message)

        async def send_unless_too_large(message: Message) -> None:
            if not limited.is_too_large:
                await send_response(message)

        try:
            if _declares_too_large(scope):
                if not any(name == b"expect" for name, _ in scope["headers"]):  # such a client sends nothing yet
                    await _discard_body(receive)
                await _send_too_large(send_response)
                return
            await self._app(scope, limited, send_unless_too_large)
            if limited.is_too_large:
                await _send_too_large(send_response)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            path = getattr(scope.get("route"), "path", UNMATCHED)
            took = time.perf_counter() - began
            REQUESTS.labels(method, path, str(status)).inc()
            SECONDS.labels(method, path).observe(took)
            _log_access(method, path, status, took, scope["state"].get("asked_by", {}))

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        headers = [(name.lower().encode(), value.encode()) for name, value in scope["state"].get("limits", {}).items()]
        policy = _CONTENT_POLICY_OF_DOCUMENTS if scope["path"] in _DOCUMENTS else _CONTENT_POLICY
        headers += [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
        headers += [(b"content-security-policy", policy), (b"referrer-policy", b"no-referrer")]
        if self._deployment.draining.is_set():
            # A client that keeps the connection would send its next request here, where it is not taken.
            headers.append((b"connection", b"close"))
        return headers


class _Limited:
    """A body that ends where it gets too large: what the application makes of it is not sent."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = LARGEST_BODY_BYTES
        self.is_too_large = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.is_too_large = True
                if message.get("more_body"):
                    await _discard_body(self._receive)
                return {"type": "http.request", "body": b"\0", "more_body": False}
        return message


def _log_access(method: str, path: str, status: int, seconds: float, asked_by: Mapping[str, str]) -> None:
    """A line of the access log, in which paths are those of the routes: what clients send may be a secret."""
    level = logging.ERROR if status >= 500 else logging.INFO
    if path in _POLLED_PATHS and status < 500:
        level = logging.DEBUG
    request = {"requestMethod": method, "requestUrl": path, "status": status, "latency": f"{seconds:.6f}s"}
    fields = {"method": method, "path": path, "status": status, "duration_ms": round(seconds * 1000, 1), **asked_by}
    _log.log(level, "%s %s: %s", method, path, status, extra=fields | {"httpRequest": request})


def _declares_too_large(scope: Scope) -> bool:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return length.isdigit() and int(length) > LARGEST_BODY_BYTES


async def _discard_body(receive: Receive) -> None:
    """Read the rest of a body, up to what is still worth an answer."""
    left = LARGEST_DISCARDED_BYTES
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return


async def _send_too_large(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": _TOO_LARGE})
