"""As much of Cloud Run's API as deploy/verify.sh asks of it through the real gcloud: services, and executions of jobs.

https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Body = dict[str, Any]
PROJECT = "peer-project"


@dataclass
class CloudRun:
    """`services` are their states by name; `executed` what jobs were given; a job among `failing` fails."""

    services: dict[str, Body] = field(default_factory=dict)
    executed: list[Body] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    port: int = 0

    def serve(self, name: str, *, ready: bool = True, newest: str = "00002", url: str = "") -> None:
        """Put a service whose newest revision is `newest`, and is the one that serves where it is `ready`."""
        serving = newest if ready else "00001"
        self.services[name] = {
            "apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": name, "namespace": PROJECT, "annotations": {}, "labels": {"cloud.googleapis.com/location": "us-central1"}, "generation": 2},
            "spec": {"template": {"spec": {"containers": [{"image": "an-image"}]}}, "traffic": [{"latestRevision": True, "percent": 100}]},
            "status": {
                "url": url, "observedGeneration": 2,
                "latestCreatedRevisionName": f"{name}-{newest}", "latestReadyRevisionName": f"{name}-{serving}",
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}, {"type": "RoutesReady", "status": "True"}],
            },
        }  # fmt: skip

    def environ(self, folder: Path) -> dict[str, str]:
        """What leads gcloud here, as somebody who is logged in."""
        token = folder / "token"
        token.write_text("a-token")
        return {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.test/", "CLOUDSDK_PROXY_TYPE": "http_no_tunnel",
            "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1", "CLOUDSDK_PROXY_PORT": str(self.port),
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token), "CLOUDSDK_CONFIG": str(folder / "gcloud"),
            "CLOUDSDK_CORE_PROJECT": PROJECT, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        }  # fmt: skip

    def answer(self, method: str, path: str, body: Body) -> tuple[int, Body]:
        self.requests.append(f"{method} {path}")
        words = path.partition("?")[0].removeprefix("http://run.test").strip("/").split("/")
        match words:
            case [*_, "services"]:
                return 200, {"apiVersion": "serving.knative.dev/v1", "items": list(self.services.values())}
            case [*_, "jobs", run] if run.endswith(":run"):
                name = run.removesuffix(":run")
                self.executed.append({"job": name} | body)
                return 200, self._execution(name)
            case [*_, "executions", execution]:
                return 200, self._execution(execution.rpartition("-")[0])
        return 404, {"error": {"code": 404, "message": f"not found: {path}", "status": "NOT_FOUND"}}

    def _execution(self, job: str) -> Body:
        state = "False" if job in self.failing else "True"
        return {
            "apiVersion": "run.googleapis.com/v1", "kind": "Execution",
            "metadata": {"name": f"{job}-1", "namespace": PROJECT, "labels": {"run.googleapis.com/job": job}, "generation": 1},
            "spec": {"taskCount": 1, "template": {"spec": {"containers": [{"image": "an-image"}]}}},
            "status": {"observedGeneration": 1, "conditions": [{"type": "Completed", "status": state, "message": "task 0 failed"}], "completionTime": "2026-10-01T00:00:00Z"},
        }  # fmt: skip


@contextmanager
def cloud_run() -> Iterator[CloudRun]:
    stub = CloudRun()

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = stub.answer(self.command, self.path, json.loads(raw or b"{}"))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _respond

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
