"""A small Kubernetes API on loopback whose Jobs are processes of this machine: what K8sRunLauncher asks for.

Jobs, their pods, and the deletion of a pod: SIGTERM, after the grace period SIGKILL, then the pod is gone and its Job
has failed, as a drained node leaves it. There is no API server to be had here (PyPI and Debian alone).
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

GRACE_SECONDS = 20.0


@dataclass
class Pod:
    """One pod of a Job, and the process that is its container; None where it waits."""

    name: str
    job: str
    process: "subprocess.Popen[bytes] | None"
    deleted_at: str | None = None


@dataclass
class KubernetesApi:
    """`folder` holds the pods' logs; `environ` is what containers have beside their own variables.

    `away`: the status with which every request is answered, 0: the connection is closed without an answer.
    `loses_answers`: Jobs are made, and their requests are answered with 503. `waiting`: why new pods do not start, by
    reason and message.
    """

    folder: Path
    environ: Mapping[str, str]
    jobs: dict[str, Any] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    away: int | None = None
    loses_answers: bool = False
    waiting: tuple[str, str] | None = None

    def start(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, payload = api.asked(self.command, self.path, json.loads(body) if body else {})
                if status == 0:
                    self.close_connection = True
                    return
                text = json.dumps(payload).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *line: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        for pod in self.pods.values():
            if pod.process:
                pod.process.kill()
                pod.process.wait()
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self) -> Path:
        """A file that leads here."""
        file = self.folder / "kubeconfig"
        cluster = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{self._server.server_port}"}}
        context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here", "clusters": [cluster],
            "contexts": [context], "users": [{"name": "me", "user": {}}],
        }  # fmt: skip
        file.write_text(yaml.safe_dump(content))
        return file

    def asked(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self.away is not None:
            return self.away, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.away}
        parts = urlsplit(path)
        *_, kind = words = parts.path.strip("/").split("/")
        name = words[words.index("namespaces") + 3] if len(words) > words.index("namespaces") + 3 else None
        if method == "POST" and kind == "jobs":
            if body["metadata"]["name"] in self.jobs:
                return 409, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "AlreadyExists"}
            created = self._create(body)
            return (503, {"kind": "Status", "apiVersion": "v1"}) if self.loses_answers else (201, created)
        if method == "GET" and "jobs" in words and name:
            return (200, self._job(name)) if name in self.jobs else _absent(name)
        if method == "GET" and "pods" in words and name is None:
            selected = parse_qs(parts.query).get("labelSelector", [""])[0].removeprefix("job-name=")
            found = [self._shown(pod) for pod in self.pods.values() if pod.job == selected]
            return 200, {"kind": "PodList", "apiVersion": "v1", "items": found}
        if method == "DELETE" and "pods" in words and name in self.pods:
            shown = self._shown(self.pods[name])
            self.delete_pod(name)
            return 200, shown
        if method == "DELETE" and "jobs" in words and name in self.jobs:
            del self.jobs[name]
            return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        if method == "GET":
            return 200, {"kind": "List", "apiVersion": "v1", "items": []}
        return _absent(path)

    def delete_pod(self, name: str) -> None:
        """As a drain does; returns at once."""
        pod = self.pods[name]
        pod.deleted_at = _now()
        if pod.process is None:
            self.gone.add(pod.job)
            del self.pods[name]
            return
        pod.process.terminate()
        threading.Thread(target=self._end, args=(pod,), daemon=True).start()

    def pod_of(self, run_id: str) -> str:
        return next(name for name, pod in self.pods.items() if run_id in pod.job)

    def _end(self, pod: Pod) -> None:
        assert pod.process is not None
        with suppress(subprocess.TimeoutExpired):
            pod.process.wait(GRACE_SECONDS)
        pod.process.kill()
        pod.process.wait()
        self.gone.add(pod.job)
        del self.pods[pod.name]

    def _create(self, job: Any) -> Any:
        name = job["metadata"]["name"]
        container = job["spec"]["template"]["spec"]["containers"][0]
        own = {variable["name"]: variable.get("value", "") for variable in container.get("env") or ()}
        command = [str(Path(sys.executable).with_name(container["args"][0])), *container["args"][1:]]
        process = None
        if self.waiting is None:
            with (self.folder / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    command, env={**self.environ, **own}, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                    cwd=os.getcwd(), start_new_session=True,
                )  # fmt: skip
        self.jobs[name] = job | {"metadata": {"name": name, "creationTimestamp": _now()}}
        self.pods[f"{name}-0"] = Pod(f"{name}-0", name, process)
        return self._job(name)

    def _job(self, name: str) -> Any:
        codes = [pod.process and pod.process.poll() for pod in self.pods.values() if pod.job == name]
        status = {
            "active": codes.count(None), "succeeded": codes.count(0),
            "failed": sum(code not in (None, 0) for code in codes) + (name in self.gone),
        }  # fmt: skip
        return {"kind": "Job", "apiVersion": "batch/v1", "metadata": self.jobs[name]["metadata"], "status": status}

    def _shown(self, pod: Pod) -> Any:
        return _with_status(pod, self.waiting or ("ContainerCreating", ""))


def _with_status(pod: Pod, waiting: tuple[str, str]) -> Any:
    code = pod.process.poll() if pod.process else None
    metadata = {"name": pod.name, "labels": {"job-name": pod.job}, "creationTimestamp": _now()}
    state: dict[str, Any] = {"running": {"startedAt": _now()}}
    if pod.process is None:
        state = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
    if code is not None:
        state = {"terminated": {"exitCode": code if code >= 0 else 128 - code, "finishedAt": _now()}}
    container = {
        "name": "dagster", "state": state, "ready": code is None, "restartCount": 0, "image": "here", "imageID": "here",
    }  # fmt: skip
    phase = "Pending" if pod.process is None else "Running" if code is None else "Succeeded" if code == 0 else "Failed"
    deleted = {"deletionTimestamp": pod.deleted_at} if pod.deleted_at else {}
    return {
        "kind": "Pod", "apiVersion": "v1", "metadata": metadata | deleted,
        "status": {"phase": phase, "containerStatuses": [container]},
    }  # fmt: skip


def _absent(what: object) -> tuple[int, Any]:
    return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": f"{what} not found", "code": 404}


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
