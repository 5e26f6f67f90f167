"""The API as a process: uvicorn, with a shutdown that loses no accepted request."""

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from types import FrameType

import uvicorn

from convergence_assets.api.app import build_app
from convergence_assets.api.connections import Connections, bounded
from convergence_assets.api.deployment import Deployment
from convergence_assets.settings import Settings, SettingsError

DRAIN_SECONDS = 1.5
"""How long it goes on taking requests after the signal, and tells each client to close its connection: kept connections
meet no closed one, and load balancers see that it is not ready."""
SETTLING_SECONDS = 0.5
"""How long it still answers on open connections after it has stopped listening: their request may be on its way."""
GRACE_SECONDS = 20
"""How long requests in flight may then take; Kubernetes kills after 30."""
SHORTEST_SECRET = 16
_log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Ends in three steps: clients are told to disconnect, then none can connect, then no request is taken; a second
    signal ends it at once."""

    def __init__(self, config: uvicorn.Config, deployment: Deployment) -> None:
        super().__init__(config)
        self._deployment = deployment
        self._ends_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would send itself the signals that it keeps here once it has ended, and not exit with 0.
        if self._ends_at is not None:
            self.should_exit = self.force_exit = True
            return
        self._deployment.draining.set()
        self._ends_at = time.monotonic() + DRAIN_SECONDS

    async def on_tick(self, counter: int) -> bool:
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            await self._stop_listening()
            self.should_exit = time.monotonic() >= self._ends_at + SETTLING_SECONDS
        return await super().on_tick(counter)

    async def _stop_listening(self) -> None:
        """Accept waiting connections first: the kernel resets those in its queue."""
        waiting: list[socket.socket] = []
        for server in self.servers:
            for listening in server.sockets:
                with socket.socket(fileno=os.dup(listening.fileno())) as queue, suppress(BlockingIOError):
                    queue.setblocking(False)
                    while True:
                        waiting.append(queue.accept()[0])
            server.close()
        for connected in waiting:
            connected.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connected)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def check_secrets(settings: Settings) -> None:
    """Raises `SettingsError` for an admin key or metrics token that can be guessed."""
    secrets = {"CONVERGENCE_ADMIN_KEY": settings.admin_key, "CONVERGENCE_METRICS_TOKEN": settings.metrics_token}
    for name, secret in secrets.items():
        if secret is not None and len(secret) < SHORTEST_SECRET:
            raise SettingsError(
                f"{name} is shorter than {SHORTEST_SECRET} characters; make one with "
                "`python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
            )


def listen(host: str, port: int) -> socket.socket:
    """Raises OSError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=512)
    # asyncio sets it for sockets that it makes itself; without it an answer of two packets takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def config_of(deployment: Deployment) -> uvicorn.Config:
    """Without uvicorn's line a request: it holds what clients send, which may be a secret in the wrong place."""
    logging.getLogger("uvicorn.access").disabled = True
    return uvicorn.Config(
        build_app(deployment), log_config=None, access_log=False, server_header=False, timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_SECONDS, lifespan="off", http=bounded(Connections()), ws="none",
    )  # fmt: skip


def serve(deployment: Deployment, host: str, port: int) -> None:
    """Serve until the process is told to end. Raises `SettingsError` for a port in use."""
    try:
        listening = listen(host, port)
    except OSError as error:
        raise SettingsError(f"port {port} on {host}: {error.strerror}; end what uses it, or set API_PORT") from None
    with listening:
        _log.info("the API answers on http://%s:%s, its routes are at /docs", *listening.getsockname()[:2])
        asyncio.run(Server(config_of(deployment), deployment).serve([listening]))
    _log.info("the API has ended")
