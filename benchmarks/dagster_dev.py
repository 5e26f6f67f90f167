"""The real processes of a deployment: `dagster dev` with its daemon, code server and webserver."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

MODULE = "convergence_assets.definitions"


class Processes:
    """`pid` is the one that started the others."""

    def __init__(self, pid: int, url: str) -> None:
        self.pid = pid
        self._url = url

    def ask(self, query: str, **variables: object) -> Any:
        """GraphQL; raises `OSError` where the webserver does not answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        http_request = urllib.request.Request(f"{self._url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(http_request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def has_loaded(self) -> bool:
        """Whether the code location is there."""
        try:
            payload = self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        except OSError:
            return False
        return bool(payload["repositoriesOrError"].get("nodes"))


@contextmanager
def dagster_dev(home: Path, environ: Mapping[str, str]) -> Iterator[Processes]:
    """Started with `home` for its folder and its log, and ended as Ctrl-C ends them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["dev", "-m", MODULE, "-h", "127.0.0.1", "-p", str(port)]
    with (home / "dev.log").open("w") as out:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("dagster"), *words],
            env=dict(environ), stdout=out, stderr=subprocess.STDOUT, cwd=home,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    try:
        yield Processes(server.pid, f"http://127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(timeout=120)
