"""`convergence up`: the whole platform in one terminal, on a fresh home, and nothing of it left afterwards."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import psutil
import pytest

from convergence_assets.control.location import control_url
from convergence_assets.control.locks import Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.monitoring.automation import last_tick_at
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
RUN_LAUNCHER_TESTS = ROOT / "tests" / "run_launcher"
DAY = date(2026, 3, 2)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def family_of(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CONVERGENCE_HOME") == str(home) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


SUPERVISORS_WAIT_SECONDS = 30
"""What Kubernetes and systemd give, at the least, before they kill; here it takes 6 to 11."""


@dataclass
class Running:
    """`convergence up` at work."""

    project: Project
    process: "subprocess.Popen[bytes]"
    log: Path
    port: int
    api_port: int

    @property
    def home(self) -> Path:
        return self.project.settings.home

    def wait_for(self, what: Callable[[], object], seconds: float = 90) -> None:
        wait_for(what, self.process, self.log, seconds)

    def is_ready(self) -> bool:
        return answers(f"http://127.0.0.1:{self.api_port}/health/ready")


Start = Callable[[], Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def up() -> Running:
        project = Project.at(tmp_path / "home")
        project.load_bills([row for n in range(2) for row in hourly(DAY + timedelta(days=n), "Europe/Berlin", 1.0)])
        shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
        (tmp_path / "workspace.yaml").write_text("load_from:\n  - python_module: hanging_definitions\n")
        plan = tmp_path / "plan"
        plan.write_text(f"{DAY} sleep")
        port, api_port = free_port(), free_port()
        own = {
            "CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(TENANTS),
            "PYTHONPATH": os.pathsep.join([str(RUN_LAUNCHER_TESTS), os.environ["PYTHONPATH"]]), "HANGING_PLAN": str(plan),
        }  # fmt: skip
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("convergence"), "up", "--port", str(port), "--api-port", str(api_port)],
                env=clean_environment() | own, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        started.append(Running(project, process, tmp_path / "log", port, api_port))
        return started[-1]

    yield up
    for one in started:
        for process in family_of(one.home):
            process.kill()
        one.process.wait()


@pytest.mark.live
@pytest.mark.timeout(240)
@pytest.mark.parametrize("sign", [pytest.param(signal.SIGINT, marks=pytest.mark.soak), signal.SIGTERM])
def test_everything_starts_on_a_fresh_home_and_ends_in_time_with_a_run_at_work(
    start: Start, sign: signal.Signals
) -> None:
    up = start()
    up.wait_for(lambda: answers(f"http://127.0.0.1:{up.port}/server_info"))
    up.wait_for(up.is_ready)
    launch(up.port)
    store = ControlStore(control_url(up.project.settings, {}))
    up.wait_for(lambda: bool(Locks(store).all()))
    assert len(family_of(up.home)) > 5
    began = time.monotonic()
    up.process.send_signal(sign)
    assert up.process.wait(timeout=15) == 0
    assert time.monotonic() - began < SUPERVISORS_WAIT_SECONDS
    assert family_of(up.home) == []
    locks = Locks(store)
    assert [lock for lock in locks.all() if locks.free_because(lock) is None] == []
    assert "Traceback" not in up.log.read_text()


PARTS = {
    "code server's child": "api grpc", "code server": "code-server start", "daemon": "dagster-daemon",
    "webserver": "dagster-webserver", "api": "convergence serve",
}  # fmt: skip
"""Words of their command lines."""


def process_of(up: Running, part: str) -> psutil.Process | None:
    for process in family_of(up.home):
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if PARTS[part] in words and process.status() != psutil.STATUS_ZOMBIE and "multiprocessing" not in words:
                return process
    return None


def kill_and_see_it_back(up: Running, part: str) -> float:
    """How many seconds passed until sensors ticked again, all was ready and the part was there."""
    before = process_of(up, part)
    assert before is not None
    killed_at = datetime.now(UTC)
    before.kill()

    def ticks() -> bool:
        with patch.dict(os.environ, {"DAGSTER_HOME": str(up.home / "dagster")}), dg.DagsterInstance.get() as instance:
            last = last_tick_at(instance)
        if last is not None and (datetime.now(UTC) - last).total_seconds() > 66:  # asked once in five seconds
            assert not up.is_ready(), "green while nothing ticked for a minute"
        return last is not None and last > killed_at + timedelta(seconds=1)

    def is_back() -> bool:
        found = process_of(up, part)
        return found is not None and found.pid != before.pid

    up.wait_for(is_back)
    up.wait_for(ticks)
    up.wait_for(up.is_ready)
    return (datetime.now(UTC) - killed_at).total_seconds()


@pytest.mark.live
@pytest.mark.timeout(300)
def test_what_is_killed_comes_back_and_sensors_tick_again(start: Start) -> None:
    up = start()
    up.wait_for(up.is_ready)
    for part in ("code server's child", "daemon"):
        assert kill_and_see_it_back(up, part) < 60, part
    text = up.log.read_text()
    assert "code lost its process `api grpc`, which was killed or ran out of memory; it is started again in 1 s" in text
    assert "daemon ended by itself (SIGKILL); it is started again in 1 s" in text


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_ten_rounds_of_killing_any_process_are_survived(start: Start) -> None:
    up = start()
    up.wait_for(up.is_ready)
    drawn = random.Random(7)
    for number in range(10):
        part = drawn.choice(list(PARTS)) if number >= len(PARTS) else list(PARTS)[number]
        assert kill_and_see_it_back(up, part) < 60, (number, part)
    assert up.process.poll() is None


def wait_for(what: Callable[[], object], up: "subprocess.Popen[bytes]", log: Path, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert up.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.3)


def launch(port: int) -> None:
    import json

    params = {
        "selector": {
            "repositoryLocationName": "hanging_definitions", "repositoryName": "__repository__", "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["acme", "demo_costs", t]} for t in ("lines", "totals")],
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(DAY)}]},
    }  # fmt: skip
    query = "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
    body = json.dumps({"query": query, "variables": {"p": params}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"


def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [Path(sys.executable).with_name("convergence"), "up", "--port", str(port)],
            env=clean_environment() | {"CONVERGENCE_HOME": str(tmp_path)}, cwd=ROOT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"in use on 127.0.0.1: port {port} (--port)" in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
