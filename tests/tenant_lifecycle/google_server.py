"""Google's APIs on loopback, as far as grants need them: BigQuery's statements, datasets and tables, and IAM."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = "our-project"


@dataclass
class Google:
    """`statements` are what BigQuery was asked to run, `access` a dataset's list, `policies` who may act as whom.

    `hidden` counts down how often a new account is not seen yet; `denied` is a text that refuses what holds it.
    """

    statements: list[str] = field(default_factory=list)
    access: list[Any] = field(default_factory=list)
    accounts: set[str] = field(default_factory=set)
    policies: dict[str, list[Any]] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    hidden: int = 0
    denied: str | None = None

    def start(self) -> None:
        google = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, payload = google.asked(self.command, self.path.partition("?")[0], json.loads(body or b"{}"))
                text = json.dumps(payload).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *line: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self.denied and self.denied in path + json.dumps(body):
            return _error(403, "Permission denied: setIamPolicy", "accessDenied")
        if path.startswith("/v1/"):
            return self._iam(path, body)
        resource = path.removeprefix("/bigquery/v2/projects/").split("/")[1:]
        match method, resource:
            case "POST", ["jobs"]:
                self.statements.append(body["configuration"]["query"]["query"])
                return 200, _done(body)
            case "GET", ["jobs", job_id]:
                return 200, _done({"jobReference": {"projectId": PROJECT, "jobId": job_id}})
            case "GET", ["queries", job_id]:
                job = {"projectId": PROJECT, "jobId": job_id}
                return 200, {"jobReference": job, "jobComplete": True, "schema": {"fields": []}, "totalRows": "0"}
            case "GET", ["datasets", _, "tables"]:
                listed = [
                    {"tableReference": _table(name), "labels": {"managed_by": "convergence"}} for name in self.tables
                ]
                return 200, {"tables": listed}
            case "DELETE", ["datasets", _, "tables", name]:
                del self.tables[name]
                return 200, {}
            case "GET", ["datasets", _, "tables", name]:
                return 200, {"tableReference": _table(name), "type": self.tables.get(name, "TABLE")}
            case "GET", ["datasets", name]:
                return 200, self._dataset(name)
            case "PATCH", ["datasets", name]:
                self.access = body["access"]
                return 200, self._dataset(name)
        return _error(404, f"{method} {path}", "notFound")

    def _iam(self, path: str, body: Any) -> tuple[int, Any]:
        if path.endswith("/serviceAccounts"):
            account = f"{body['accountId']}@{path.split('/')[3]}.iam.gserviceaccount.com"
            if account in self.accounts:
                return _error(409, "already exists", "alreadyExists")
            self.accounts.add(account)
            return 200, {"email": account}
        account, _, verb = path.rpartition("/")[2].partition(":")
        if account not in self.accounts or self.hidden > 0:
            self.hidden -= 1
            return _error(404, f"{account} is not found", "notFound")
        if verb == "setIamPolicy":
            self.policies[account] = body["policy"]["bindings"]
        return 200, {"bindings": self.policies.get(account, []), "etag": "BwY="}

    def _dataset(self, name: str) -> Any:
        return {
            "datasetReference": {"projectId": PROJECT, "datasetId": name}, "access": self.access, "etag": "1",
        }  # fmt: skip


def _table(name: str) -> dict[str, str]:
    return {"projectId": PROJECT, "datasetId": "a_dataset", "tableId": name}


def _done(body: Any) -> Any:
    configuration = body.get("configuration", {"query": {"query": ""}})
    return {
        "jobReference": body["jobReference"] | {"location": "EU"}, "configuration": configuration,
        "status": {"state": "DONE"}, "statistics": {"query": {}},
    }  # fmt: skip


def _error(status: int, message: str, reason: str) -> tuple[int, Any]:
    return status, {"error": {"code": status, "message": message, "errors": [{"message": message, "reason": reason}]}}
