"""A loopback HTTP server that speaks as much of BigQuery's REST as a test's script says, and remembers every request.

A stand-in for the answers that neither Google's service nor the local server gives on demand: documented errors, and
copy jobs to partition decorators.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

PROJECT = "fake-project"


@dataclass(frozen=True)
class Refusal:
    """An HTTP error as the API documents it."""

    status: int
    reason: str
    message: str = "said the server"


@dataclass
class FakeBigQuery:
    """`refusals` are given to the next job inserts, one each; `job_errors` to the jobs that are accepted then.

    Dry runs take `dry_run_seconds` each; `dry_runs_at_once` is how many were answered at the same time at most.
    """

    refusals: list[Refusal] = field(default_factory=list)
    job_errors: list[Refusal] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    inserted: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    url: str = ""
    dry_run_seconds: float = 0.0
    dry_runs: list[dict[str, Any]] = field(default_factory=list)
    dry_runs_at_once: int = 0
    _answering: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> bigquery.Client:
        anybody = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return bigquery.Client(PROJECT, anybody, location="EU", client_options=ClientOptions(api_endpoint=self.url))

    def dry_run(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._counting:
            self.dry_runs.append(body)
            self._answering += 1
            self.dry_runs_at_once = max(self.dry_runs_at_once, self._answering)
        time.sleep(self.dry_run_seconds)  # what the service takes for a plan
        with self._counting:
            self._answering -= 1
        planned = {"totalBytesProcessed": "1000", "schema": {"fields": []}}
        body["configuration"]["jobType"] = "QUERY"
        return 200, {
            **body,
            "status": {"state": "DONE"},
            "statistics": {"totalBytesProcessed": "1000", "query": planned},
        }

    def insert(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["configuration"].get("dryRun"):
            return self.dry_run(body)
        self.inserted.append(body)
        if self.refusals:
            return refused(self.refusals.pop(0))
        job_id = body["jobReference"]["jobId"]
        if job_id in self.jobs:
            return refused(Refusal(409, "duplicate", f"Already Exists: Job {job_id}"))
        times = {"creationTime": "1000", "startTime": "1000", "endTime": "2000"}
        kind = next(k for k in ("query", "copy", "load") if k in body["configuration"])
        job = {
            **body,
            "status": {"state": "DONE"},
            "statistics": {**times, kind: {"totalBytesProcessed": "7", "totalBytesBilled": "10485760"}},
        }
        job["configuration"]["jobType"] = kind.upper()
        job["jobReference"].setdefault("location", "EU")
        if self.job_errors:
            error = self.job_errors.pop(0)
            failure = {"reason": error.reason, "message": error.message}
            job["status"] |= {"errorResult": failure, "errors": [failure]}
        self.jobs[job_id] = job
        return 200, job

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        path = path.split("?", maxsplit=1)[0]
        if method == "POST" and path.endswith("/jobs"):
            return self.insert(body)
        if found := re.search(r"/jobs/([^/]+)/cancel$", path):
            self.cancelled.append(found[1])
            return 200, {"job": self.jobs.get(found[1], {})}
        if found := re.search(r"/jobs/([^/]+)$", path):
            return (200, self.jobs[found[1]]) if found[1] in self.jobs else refused(Refusal(404, "notFound"))
        if found := re.search(r"/queries/([^/]+)$", path):
            job = self.jobs[found[1]]
            if error := job["status"].get("errorResult"):
                return refused(Refusal(400, error["reason"], error["message"]))
            return 200, {
                "jobReference": job["jobReference"],
                "jobComplete": True,
                "totalRows": "0",
                "schema": {"fields": []},
            }
        if found := re.search(r"/datasets/([^/]+)/tables/([^/]+)$", path):
            name = f"{found[1]}.{found[2]}"
            return (200, self.tables[name]) if name in self.tables else refused(Refusal(404, "notFound"))
        return refused(Refusal(404, "notFound", f"the test's script knows no {method} {path}"))


def refused(refusal: Refusal) -> tuple[int, dict[str, Any]]:
    error = {"reason": refusal.reason, "message": refusal.message, "domain": "global"}
    return refusal.status, {"error": {"code": refusal.status, "message": refusal.message, "errors": [error]}}


@contextmanager
def fake_bigquery() -> Iterator[FakeBigQuery]:
    fake = FakeBigQuery()

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, answer_body = fake.answer(self.command, self.path, body)
            content = json.dumps(answer_body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _respond

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
