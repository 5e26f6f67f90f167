"""Containers of the image as production runs them: a read-only root, /tmp in memory, no capability, the image's user."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

HARDENED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host")
STARTS_WITHIN_SECONDS = 120


def _command() -> list[str]:
    """docker or podman, whichever works here and has the image."""
    image = os.environ["TEST_IMAGE"]
    # crun, podman's first choice, does not work with control groups of both versions.
    runtime = ["--runtime=runc"] if shutil.which("runc") else []
    for command in (["docker"], ["podman", *runtime]):
        inspected = [*command, "image", "inspect", image]
        if shutil.which(command[0]) and subprocess.run(inspected, capture_output=True, check=False).returncode == 0:
            return command
    raise AssertionError(f"neither docker nor podman has the image {image}")


class Image:
    def __init__(self) -> None:
        self.name = os.environ["TEST_IMAGE"]
        self._command = _command()
        # The limits of a machine's service may be lower than those that podman asks for.
        self._limits = ["--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096"]

    def inspected(self) -> Any:
        return json.loads(self.tool("image", "inspect", self.name).stdout)[0]

    def tool(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0 or not check, f"{words}: {done.stderr[-3000:]}"
        return done

    def run(
        self, *words: str, environ: Mapping[str, str] | None = None, mounts: Mapping[Path, str] | None = None,
        options: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """A container to its end."""
        arguments = [*_arguments(environ or {}, mounts or {}), *options]
        return self.tool("run", "--rm", *HARDENED, *self._limits, *arguments, self.name, *words, check=False)

    @contextmanager
    def started(
        self, *words: str, environ: Mapping[str, str], mounts: Mapping[Path, str], options: Sequence[str] = ()
    ) -> Iterator["Container"]:
        name = f"convergence-test-{uuid4().hex[:8]}"
        arguments = [f"--name={name}", *HARDENED, *self._limits, *_arguments(environ, mounts), *options]
        self.tool("run", "--detach", *arguments, self.name, *words)
        try:
            yield Container(self, name)
        finally:
            self.tool("rm", "--force", name)


def _arguments(environ: Mapping[str, str], mounts: Mapping[Path, str]) -> list[str]:
    return [
        *(f"--env={name}={value}" for name, value in environ.items()),
        *(f"--volume={path}:{target}" for path, target in mounts.items()),
    ]


class Container:
    def __init__(self, image: Image, name: str) -> None:
        self._image, self._name = image, name

    def until(self, is_ready: Callable[[], bool], what: str, seconds: float = STARTS_WITHIN_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not is_ready():
            assert self._state()["Running"], f"{what}: it has ended.\n{self.logs()}"
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s.\n{self.logs()}"
            time.sleep(0.5)

    def succeeds(self, *words: str) -> bool:
        """Whether a command in this container does, as a probe of Kubernetes is one."""
        return self._image.tool("exec", self._name, *words, check=False).returncode == 0

    def terminate(self) -> tuple[int, float]:
        """SIGTERM to pid 1; the exit code, and the seconds until then."""
        began = time.monotonic()
        self._image.tool("kill", "--signal=TERM", self._name)
        code = int(self._image.tool("wait", self._name).stdout)
        return code, time.monotonic() - began

    def logs(self) -> str:
        done = self._image.tool("logs", self._name)
        return (done.stdout + done.stderr)[-6000:]

    def _state(self) -> Any:
        return json.loads(self._image.tool("container", "inspect", self._name).stdout)[0]["State"]
