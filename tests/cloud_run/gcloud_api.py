"""What `gcloud run`, `gcloud logging read` and `gcloud secrets` ask of Google, on loopback: it stores objects as Cloud
Run's API of version 1 does (https://cloud.google.com/run/docs/reference/rest/v1), and its controllers act at once.

A service, worker pool or job whose image is missing does not become ready.
"""

import copy
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT, REGION = "example-project", "europe-west1"
MISSING_IMAGE = "registry.example/convergence:missing"
WHEN = "2026-03-02T00:00:00.000000Z"
Object = dict[str, Any]


@dataclass
class GcloudApi:
    """`objects` by plural and name; `logs` are the filters that were asked for, `daemons` how many were to run, in turn."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)
    daemons: list[str] = field(default_factory=list)

    def start(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = api.answer(self.command, self.path, json.loads(body) if body else {})
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *line: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def answer(self, method: str, address: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(address)
        if parts.path == "/v2/entries:list":
            self.logs.append(body["filter"])
            return 200, {"entries": [{"logName": "a", "timestamp": WHEN, "textPayload": "a line"}]}
        if parts.path.startswith("/v1/projects/") and parts.path.endswith(PROJECT):
            return 200, {"projectId": PROJECT, "projectNumber": "123456789012"}
        if parts.path.endswith("/versions"):
            name = f"{parts.path.removeprefix('/v1/')}/1"
            return 200, {"versions": [{"name": name, "state": "ENABLED", "createTime": WHEN}]}
        plural, _, name = parts.path.partition("/namespaces/")[2].partition("/")[2].partition("/")
        if method in ("POST", "PUT") and not name.endswith(":run"):
            item = copy.deepcopy(body)
            if parse_qs(parts.query).get("dryRun") != ["all"]:
                self._store(plural, item)
            return 200, item
        if name.endswith(":run"):
            return 200, self._execute(name.removesuffix(":run"))
        if name:
            found = self.objects.get((plural, name))
            return (200, found) if found else (404, {"error": {"code": 404, "message": f"{name} not found"}})
        items = [item for (kind, _), item in self.objects.items() if kind == plural]
        return 200, {"items": items, "metadata": {}}

    def get(self, plural: str, name: str) -> Object:
        return self.objects[plural, name]

    def serving(self, service: str) -> Object:
        """The revision that gets a service's requests."""
        (target,) = self.get("services", service)["status"]["traffic"]
        return self.get("revisions", target["revisionName"])

    def _store(self, plural: str, item: Object) -> None:
        metadata = item["metadata"]
        former = self.objects.get((plural, metadata["name"]))
        generation = former["metadata"]["generation"] + 1 if former else 1
        metadata |= {
            "generation": generation,
            "creationTimestamp": WHEN,
            "uid": metadata["name"],
            "resourceVersion": "1",
        }
        ready = MISSING_IMAGE not in json.dumps(item)
        status: Object = {"observedGeneration": generation, "conditions": _conditions(ready)}
        if plural == "services":
            revision = self._revision(item, former)
            latest = revision if ready or not former else former["status"]["latestReadyRevisionName"]
            targets = item["spec"].get("traffic") or [{"latestRevision": True, "percent": 100}]
            traffic = [t | {"revisionName": t.get("revisionName") or latest} for t in targets]
            url = f"https://{metadata['name']}-123456789012.{REGION}.run.app"
            status |= {"latestCreatedRevisionName": revision, "latestReadyRevisionName": latest, "traffic": traffic}
            status |= {"url": url, "address": {"url": url}}
        if metadata["name"] == "convergence-daemon":
            self.daemons.append(metadata["annotations"]["run.googleapis.com/manualInstanceCount"])
        self.objects[plural, metadata["name"]] = item | {"status": status}
        item["status"] = status

    def _revision(self, service: Object, former: Object | None) -> str:
        """A new one where the template is another, by its number."""
        if former and former["spec"]["template"] == service["spec"]["template"]:
            return str(former["status"]["latestCreatedRevisionName"])
        name = f"{service['metadata']['name']}-{service['metadata']['generation']:05}"
        template = service["spec"]["template"]
        labels = template["metadata"].get("labels", {}) | {"serving.knative.dev/service": service["metadata"]["name"]}
        metadata = {"name": name, "namespace": PROJECT, "labels": labels, "creationTimestamp": WHEN, "generation": 1}
        metadata["annotations"] = template["metadata"].get("annotations", {})
        self.objects["revisions", name] = {
            "apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": metadata, "spec": template["spec"],
            "status": {"conditions": _conditions(True)},
        }  # fmt: skip
        return name

    def _execute(self, job: str) -> Object:
        template = self.get("jobs", job)["spec"]["template"]
        name = f"{job}-abcde"
        metadata = {"name": name, "namespace": PROJECT, "labels": {"run.googleapis.com/job": job}, "generation": 1}
        status = {"observedGeneration": 1, "succeededCount": 1, "startTime": WHEN, "completionTime": WHEN}
        conditions = [{"type": kind, "status": "True"} for kind in ("Completed", "Started", "ResourcesAvailable")]
        self.objects["executions", name] = {
            "apiVersion": "run.googleapis.com/v1", "kind": "Execution", "metadata": metadata | {"creationTimestamp": WHEN},
            "spec": template["spec"], "status": status | {"conditions": conditions},
        }  # fmt: skip
        return self.objects["executions", name]


def _conditions(ready: bool) -> list[Object]:
    state = {"status": "True"} if ready else {"status": "False", "message": "Image not found.", "reason": "Missing"}
    return [
        {"type": kind, "lastTransitionTime": WHEN} | state for kind in ("Ready", "ConfigurationsReady", "RoutesReady")
    ]
