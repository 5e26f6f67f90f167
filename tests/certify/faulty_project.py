"""A proxy before the local BigQuery server, with faults that the server cannot have and Google APIs that it lacks."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.warehouse.bigquery.fake_bigquery import Refusal, refused

Body = dict[str, Any]
Answer = tuple[int, Body]


@dataclass
class FaultyProject:
    """`refuse` gives a refusal for a request, or None; `change` is given what the server answers."""

    server: str
    url: str = ""
    denied: set[str] = field(default_factory=set)
    query_mebibytes_per_day: int = -1
    refuse: Callable[[str, str, Body, str], Refusal | None] = lambda method, path, body, account: None
    change: Callable[[str, str, Body], Body] = lambda method, path, answer: answer

    def answer(self, method: str, path: str, raw: bytes, headers: Message) -> tuple[int, bytes]:
        body: Body = json.loads(raw) if raw[:1] == b"{" else {}
        account = (headers["Authorization"] or "").removeprefix("Bearer ")
        refusal = self.refuse(method, path, body, account)
        if refusal is not None:
            status, said = refused(refusal)
        elif path.endswith(":testIamPermissions") and "/tables/" not in path:
            status, said = 200, {"permissions": sorted(set(body["permissions"]) - self.denied)}
        elif "/consumerQuotaMetrics/" in path:
            bucket = {"effectiveLimit": str(self.query_mebibytes_per_day)}
            status, said = 200, {"consumerQuotaLimits": [{"unit": "1/d/{project}", "quotaBuckets": [bucket]}]}
        else:
            return self._passed_on(method, path, raw, headers)
        return status, json.dumps(said).encode()

    def _passed_on(self, method: str, path: str, raw: bytes, headers: Message) -> tuple[int, bytes]:
        kept = {name: headers[name] for name in ("Content-Type",) if name in headers}
        request = urllib.request.Request(self.server + path, raw or None, kept, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        if content[:1] == b"{":
            content = json.dumps(self.change(method, path.partition("?")[0], json.loads(content))).encode()
        return status, content


@contextmanager
def faulty_project(server: str) -> Iterator[FaultyProject]:
    project = FaultyProject(server)

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = project.answer(self.command, self.path, raw, self.headers)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _respond

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the test's output."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    project.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield project
    finally:
        http.shutdown()
        http.server_close()
