"""`convergence up`: the whole platform in one terminal, on a fresh home, and nothing of it left afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import psutil
import pytest

from convergence_assets.control.location import control_url
from convergence_assets.control.locks import Locks
from convergence_assets.control.store import ControlStore
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "tests" / "operations"
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


@pytest.mark.live
@pytest.mark.timeout(240)
@pytest.mark.parametrize("sign", [pytest.param(signal.SIGINT, marks=pytest.mark.soak), signal.SIGTERM])
def test_everything_starts_on_a_fresh_home_and_ends_in_time_with_a_run_at_work(
    tmp_path: Path, sign: signal.Signals
) -> None:
    project = Project.at(tmp_path / "home")
    project.load_bills([row for n in range(2) for row in hourly(DAY + timedelta(days=n), "Europe/Berlin", 1.0)])
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    (tmp_path / "workspace.yaml").write_text("load_from:\n  - python_module: hanging_definitions\n")
    plan = tmp_path / "plan"
    plan.write_text(f"{DAY} sleep")
    port, api_port = free_port(), free_port()
    own = {
        "CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(TENANTS),
        "PYTHONPATH": os.pathsep.join([str(OPERATIONS), os.environ["PYTHONPATH"]]), "HANGING_PLAN": str(plan),
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        up = subprocess.Popen(
            [Path(sys.executable).with_name("convergence"), "up", "--port", str(port), "--api-port", str(api_port)],
            env=clean_environment() | own, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    said = tmp_path / "log"
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/server_info"), up, said)
        wait_for(lambda: answers(f"http://127.0.0.1:{api_port}/health/ready"), up, said)
        launch(port)
        store = ControlStore(control_url(project.settings, {}))
        wait_for(lambda: bool(Locks(store).all()), up, said)
        assert len(family_of(project.settings.home)) > 5
        began = time.monotonic()
        up.send_signal(sign)
        assert up.wait(timeout=15) == 0
        assert time.monotonic() - began < SUPERVISORS_WAIT_SECONDS
        assert family_of(project.settings.home) == []
        locks = Locks(store)
        assert [lock for lock in locks.all() if locks.free_because(lock) is None] == []
        assert "Traceback" not in said.read_text()
    finally:
        for process in family_of(project.settings.home):
            process.kill()
        up.wait()


def wait_for(what: Callable[[], object], up: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 90
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
