"""A small Cloud Run API on loopback whose executions are processes of this machine: what the launcher asks for.

It answers as version 2 of the REST API does (https://cloud.google.com/run/docs/reference/rest/v2), and as the metadata
server from which a container gets its account. A cancelled execution gets SIGTERM, and SIGKILL ten seconds later.
"""

import itertools
import json
import os
import signal
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

GRACE_SECONDS = 10.0
PROJECT, REGION, JOB = "example-project", "europe-west1", "convergence-run"
PARENT = f"projects/{PROJECT}/locations/{REGION}/jobs/{JOB}"
_TOKEN = {"access_token": "a token", "expires_in": 3600, "token_type": "Bearer"}
_ACCOUNT = {"email": "convergence@example-project.iam.gserviceaccount.com", "scopes": ["a scope"], "aliases": []}


@dataclass
class Execution:
    """One execution, and the process that is its container; None while it waits."""

    name: str
    args: list[str]
    env: dict[str, str]
    process: "subprocess.Popen[bytes] | None"
    created: str
    cancelled: bool = False
    message: str = ""
    ended: str | None = None

    @property
    def code(self) -> int | None:
        """As `Popen.returncode`."""
        code = self.process.poll() if self.process else None
        if code is not None and self.ended is None:
            self.ended = _now()
        return code


@dataclass
class CloudRunApi:
    """`folder` holds the logs; `environ` is what containers have beside their own variables.

    `away`: the status with which every request is answered, 0: the connection is closed without an answer.
    `loses_answers`: executions start, and their requests are answered with 503. `starts_nothing`: executions wait.
    """

    folder: Path
    environ: Mapping[str, str]
    executions: dict[str, Execution] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    away: int | None = None
    loses_answers: bool = False
    starts_nothing: bool = False

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def start(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                status, answer = api.answer(self.command, path, json.loads(body) if body else {})
                if status == 0:
                    self.close_connection = True
                    return
                text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Metadata-Flavor", "Google")
                self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *line: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        for execution in self.executions.values():
            if execution.process:
                execution.process.kill()
                execution.process.wait()
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def of(self, run_id: str) -> Execution:
        """The one execution of a run."""
        (found,) = [e for e in self.executions.values() if any(run_id in argument for argument in e.args)]
        return found

    def send(self, execution: Execution, sign: signal.Signals, message: str = "") -> None:
        """What becomes of a container whose host ends it, or that takes too much memory."""
        assert execution.process is not None
        execution.message = message
        os.killpg(execution.process.pid, sign)
        execution.process.wait(60)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if not path.startswith("/v2/"):
            return _metadata(path)
        self.requests.append((method, path))
        if self.away is not None:
            return self.away, _error(self.away, "the service is away")
        name = path.removeprefix("/v2/")
        if method == "POST" and name == f"{PARENT}:run":
            started = self._run(body)
            return (503, _error(503, "no answer in time")) if self.loses_answers else (200, _operation(started))
        if name == f"{PARENT}/executions":
            return 200, {"executions": [_shown(e) for e in reversed(self.executions.values())]}
        execution = self.executions.get(name.removesuffix(":cancel").removesuffix("/tasks"))
        if execution is None:
            return 404, _error(404, f"{name} does not exist")
        if name.endswith("/tasks"):
            return 200, {"tasks": [_task(execution)]}
        if name.endswith(":cancel"):
            if execution.code is not None:
                return 400, _error(400, "the execution has completed", "FAILED_PRECONDITION")
            self._cancel(execution)
            return 200, _operation(execution)
        return 200, _shown(execution)

    def _run(self, body: Any) -> Execution:
        (overrides,) = body["overrides"]["containerOverrides"]
        name = f"{PARENT}/executions/{JOB}-{next(self._numbers):05}"
        args = overrides["args"]
        env = {variable["name"]: variable["value"] for variable in overrides.get("env", ())}
        process = None
        theirs = {"CLOUD_RUN_JOB": JOB, "CLOUD_RUN_EXECUTION": name.rpartition("/")[2]}
        if not self.starts_nothing:
            command = [str(Path(sys.executable).with_name(args[0])), *args[1:]]
            with (self.folder / f"{name.rpartition('/')[2]}.log").open("wb") as log:
                process = subprocess.Popen(
                    command, env={**self.environ, **theirs, **env}, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )  # fmt: skip
        self.executions[name] = Execution(name, args, env, process, _now())
        return self.executions[name]

    def _cancel(self, execution: Execution) -> None:
        execution.cancelled = True
        process = execution.process
        if process is None:
            execution.ended = _now()
            return

        def end() -> None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            process.kill()
            process.wait()

        process.terminate()
        threading.Thread(target=end, daemon=True).start()


def _shown(execution: Execution) -> Any:
    code = execution.code
    over = code is not None or execution.ended is not None
    counts: dict[str, int] = {}
    if execution.process is not None or over:
        state = "cancelled" if execution.cancelled else "succeeded" if code == 0 else "failed"
        counts = {f"{state if over else 'running'}Count": 1}
    condition = {"type": "Completed", "state": "CONDITION_SUCCEEDED" if code == 0 else "CONDITION_PENDING"}
    if over and code != 0:
        message = "The execution was cancelled." if execution.cancelled else "The container exited with an error."
        condition |= {"state": "CONDITION_FAILED", "message": execution.message or message}
    conditions = [condition]
    if not counts:
        message = "Waiting for resources: quota of the region is used up."
        conditions.append({"type": "ResourcesAvailable", "state": "CONDITION_PENDING", "message": message})
    env = [{"name": name, "value": value} for name, value in execution.env.items()]
    return {
        "name": execution.name, "job": PARENT, "createTime": execution.created, "taskCount": 1,
        "template": {"containers": [{"image": "here", "args": execution.args, "env": env}]},
        "conditions": conditions, "reconciling": not over, "logUri": f"https://console.example/{execution.name}",
    } | counts | ({"completionTime": execution.ended} if over else {})  # fmt: skip


def _task(execution: Execution) -> Any:
    code = execution.code or 0
    # As a container's exit code, a signal is 128 more (tini and shells).
    result = {"exitCode": code if code >= 0 else 128 - code, "status": {"message": execution.message}}
    return {"name": f"{execution.name}/tasks/{execution.name.rpartition('/')[2]}-task0", "lastAttemptResult": result}


def _operation(execution: Execution) -> Any:
    metadata = {"@type": "type.googleapis.com/google.cloud.run.v2.Execution"} | _shown(execution)
    return {"name": f"projects/{PROJECT}/locations/{REGION}/operations/1", "metadata": metadata, "done": False}


def _metadata(path: str) -> tuple[int, Any]:
    if path.endswith("/token"):
        return 200, _TOKEN
    if path.endswith("/project/project-id"):
        return 200, PROJECT
    if "service-accounts" in path:
        return 200, _ACCOUNT
    return 200, "computeMetadata/"


def _error(code: int, message: str, status: str = "") -> Any:
    return {"error": {"code": code, "message": message} | ({"status": status} if status else {})}


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
