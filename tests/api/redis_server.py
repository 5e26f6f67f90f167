"""A real Redis in a process of its own, which tests kill, hang and start again."""

import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.ports import free_port

START_SECONDS = 20


@dataclass
class Redis:
    """On a free loopback port; it keeps nothing once it has ended."""

    folder: Path
    program: str
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        words: list[str | Path] = [
            self.program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--dir", self.folder,
        ]  # fmt: skip
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def hang(self) -> None:
        """It takes connections and answers none of them."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connected:
            connected.sendall(b"PING\r\n")
            return connected.recv(16).startswith(b"+PONG")
        return False
