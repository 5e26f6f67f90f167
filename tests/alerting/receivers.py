"""What stands at the other end: an HTTP receiver, an SMTP server and an Alertmanager, all real and on loopback."""

import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.ports import free_port

Answer = tuple[int, str, dict[str, str]]
OK: Answer = (200, "ok", {})  # as Slack says it


class Receiver:
    """Takes POSTs; `answer` decides what it says, `got` holds the path and body of what it accepted."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        self.asked = 0
        self.answer: Callable[[Any], Answer] = lambda body: OK
        self._lock = threading.Lock()
        self.port = 0
        self.start()

    def start(self) -> None:
        """Also after `stop`, on the same port."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(text)
                with receiver._lock:
                    receiver.asked += 1
                    status, content, headers = receiver.answer(body)
                    if status < 300:
                        receiver.got.append((self.path, body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[Any]:
        return [body for _, body in self.got]


class Mailbox:
    """An SMTP server; `got` holds what it was given."""

    def __init__(self) -> None:
        from aiosmtpd.controller import Controller

        self.got: list[EmailMessage] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self._controller.start()
        self.port = self._controller.port

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.got.append(message)
        return "250 OK"

    def stop(self) -> None:
        self._controller.stop()


class Alertmanager:
    """Debian's, with a folder of its own."""

    def __init__(self, program: str, folder: Path, receiver: str) -> None:
        config = folder / "alertmanager.yml"
        config.write_text(
            "route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}\n"
            f"receivers: [{{name: hook, webhook_configs: [{{url: 'http://{receiver}/hook', send_resolved: true}}]}}]\n"
        )
        self.port = free_port()
        with open(folder / "alertmanager.log", "wb") as log:
            self._process = subprocess.Popen(
                [
                    program, f"--config.file={config}", f"--storage.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        ends_at = time.monotonic() + 30
        while not self._ready():
            assert self._process.poll() is None, (folder / "alertmanager.log").read_text()
            assert time.monotonic() < ends_at, "Alertmanager does not answer"
            time.sleep(0.05)

    def alerts(self) -> list[dict[str, Any]]:
        """The active ones."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1):
                return True
        except OSError:
            return False
