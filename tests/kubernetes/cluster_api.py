"""The API of a `Cluster` on loopback, for the real kubectl and Kubernetes' Python client.

Manifests are validated strictly, as an API server does, with the schemas of its version. There is no API server to be
had from PyPI or Debian.
"""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.kubernetes.cluster import Cluster, Object, Refused
from tests.kubernetes.discovery import VERSION, discovery
from tests.kubernetes.patches import json_merge, json_patch, strategic_merge
from tests.kubernetes.resources import Resource, resource_at
from tests.kubernetes.schemas import Invalid, validate

_PATCHES = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": json_merge,
    "application/strategic-merge-patch+json": strategic_merge,
}
_WATCHED_SECONDS = 30.0


class ClusterApi:
    """`logs` are what every pod has written."""

    def __init__(self, cluster: Cluster, logs: str = "") -> None:
        self.cluster = cluster
        self.logs = logs
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                try:
                    api.answer(self)
                except Refused as refused:
                    send(self, refused.code, _status(refused))

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *line: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, file: Path, namespace: str = "default") -> Path:
        """Write a file that leads here."""
        context = {"cluster": "here", "user": "me", "namespace": namespace}
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "contexts": [{"name": "here", "context": context}], "users": [{"name": "me", "user": {}}],
        }  # fmt: skip
        file.write_text(yaml.safe_dump(content))
        return file

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        words = parts.path.strip("/").split("/")
        document = discovery(words)
        if document is not None:
            send(request, 200, document)
            return
        resource, namespace, name, subresource = _where(words)
        length = int(request.headers.get("Content-Length") or 0)
        body: Any = json.loads(request.rfile.read(length)) if length else {}
        if subresource == "log":
            send_text(request, self._log(namespace, name))
        elif query.get("watch") in ("1", "true"):
            self._watch(request, resource, namespace, query)
        else:
            code, answer = self._do(request, resource, namespace, name, subresource, body, query)
            send(request, code, answer)

    def _do(
        self, request: BaseHTTPRequestHandler, resource: Resource, namespace: str, name: str, subresource: str,
        body: Any, query: Mapping[str, str],
    ) -> tuple[int, Object]:  # fmt: skip
        cluster = self.cluster
        match request.command, name:
            case "GET", "":
                return 200, self._list(resource, namespace, query)
            case "GET", _ if subresource == "scale":
                return 200, _scale(cluster.get(resource.kind, name, namespace))
            case "GET", _:
                return 200, cluster.get(resource.kind, name, namespace)
            case "POST", _ if subresource == "eviction":
                cluster.evict(name, namespace)
                return 201, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
            case "POST", _:
                created = body | {"apiVersion": resource.group_version, "kind": resource.kind}
                if resource.namespaced:
                    created["metadata"]["namespace"] = namespace
                created = _without_nulls(created)
                _validate(created, query)
                if cluster.has(resource.kind, created["metadata"]["name"], namespace):
                    raise Refused(
                        409, "AlreadyExists", f"{resource.plural} {created['metadata']['name']!r} already exists"
                    )
                return 201, cluster.put(created)
            case "PATCH" | "PUT", _:
                before = cluster.get(resource.kind, name, namespace)
                of_scale = subresource == "scale"
                shown = _scale(before) if of_scale else before
                kind_of_patch = request.headers["Content-Type"].partition(";")[0]
                after = body if request.command == "PUT" else _PATCHES[kind_of_patch](shown, body)
                if of_scale:
                    before["spec"]["replicas"] = after["spec"]["replicas"]
                    return 200, _scale(cluster.put(before))
                after = _without_nulls(after)
                _validate(after, query)
                return 200, cluster.put(after)
            case "DELETE", _:
                return 200, cluster.delete(resource.kind, name, namespace)
        raise Refused(405, "MethodNotAllowed", request.command)

    def _list(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> Object:
        if resource.kind == "PodMetrics":
            items = [_usage(pod) for pod in self._selected("Pod", namespace, query)]
        else:
            items = self._selected(resource.kind, namespace, query)
        version = str(self.cluster.changes[-1].version)
        return {
            "apiVersion": resource.group_version, "kind": f"{resource.kind}List",
            "metadata": {"resourceVersion": version}, "items": items,
        }  # fmt: skip

    def _selected(self, kind: str, namespace: str, query: Mapping[str, str]) -> list[Object]:
        return [item for item in self.cluster.all(kind, namespace) if _is_selected(item, query)]

    def _watch(
        self, request: BaseHTTPRequestHandler, resource: Resource, namespace: str, query: Mapping[str, str]
    ) -> None:
        if "sendInitialEvents" in query:  # kubectl then lists first
            raise Refused(422, "Invalid", "sendInitialEvents is forbidden for watch")
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.end_headers()
        last = int(query.get("resourceVersion") or 0)
        with suppress(BrokenPipeError, ConnectionResetError):
            while True:
                with self.cluster.changed:
                    new = [item for item in self.cluster.changes if item.version > last]
                    if not new and not self.cluster.changed.wait(_WATCHED_SECONDS):
                        return
                for item in new:
                    last = item.version
                    is_there = namespace in ("", item.object["metadata"].get("namespace", ""))
                    if item.resource is resource and is_there and _is_selected(item.object, query):
                        request.wfile.write(json.dumps({"type": item.type, "object": item.object}).encode() + b"\n")
                        request.wfile.flush()

    def _log(self, namespace: str, name: str) -> str:
        self.cluster.get("Pod", name, namespace)
        return self.logs


def send(request: BaseHTTPRequestHandler, code: int, answer: Object) -> None:
    text = json.dumps(answer).encode()
    request.send_response(code)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(text)))
    request.end_headers()
    request.wfile.write(text)


def send_text(request: BaseHTTPRequestHandler, text: str) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "text/plain")
    request.end_headers()
    request.wfile.write(text.encode())


def _where(words: list[str]) -> tuple[Resource, str, str, str]:
    """Resource, namespace, name and subresource of a path; empty where it has none."""
    group, version, rest = ("", words[1], words[2:]) if words[0] == "api" else (words[1], words[2], words[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource = resource_at(group, version, rest[0])
    if resource is None:
        raise Refused(404, "NotFound", "the server could not find the requested resource")
    name, subresource = [*rest[1:], "", ""][:2]
    return resource, namespace, name, subresource


def _is_selected(item: Object, query: Mapping[str, str]) -> bool:
    labels = item["metadata"].get("labels", {})
    for part in filter(None, query.get("labelSelector", "").split(",")):
        name, _, value = part.replace("==", "=").partition("=")
        if labels.get(name) != value:
            return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        name, _, value = part.partition("=")
        actual: Any = item
        for word in name.split("."):
            actual = actual.get(word, "") if isinstance(actual, Mapping) else ""
        if actual != value:
            return False
    return True


def _validate(item: Object, query: Mapping[str, str]) -> None:
    if query.get("fieldValidation") == "Strict":
        try:
            validate(item, VERSION)
        except Invalid as error:
            raise Refused(422, "Invalid", str(error)) from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _scale(item: Object) -> Object:
    metadata = {name: item["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
    replicas = item["spec"]["replicas"]
    return {
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": replicas},
        "status": {"replicas": replicas},
    }  # fmt: skip


def _usage(pod: Object) -> Object:
    containers = [
        {"name": item["name"], "usage": {"cpu": "125m", "memory": "300Mi"}} for item in pod["spec"]["containers"]
    ]
    return {
        "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "metadata": pod["metadata"],
        "timestamp": pod["status"]["startTime"], "window": "30s", "containers": containers,
    }  # fmt: skip


def _status(refused: Refused) -> Object:
    return {
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": str(refused), "reason": refused.reason,
        "code": refused.code,
    }  # fmt: skip
