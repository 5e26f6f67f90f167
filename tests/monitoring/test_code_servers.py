"""Code servers are asked themselves: where they are known from, who is told of one that is silent, and how it is made
to load its code again."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus
from dagster._daemon.types import DaemonHeartbeat

from convergence_assets.dagster_internals.code_locations import CodeLocation
from convergence_assets.monitoring import code_servers
from convergence_assets.monitoring.automation import TICK_WITHIN, silent_locations
from convergence_assets.process import this_process
from convergence_assets.settings import Settings
from tests.clean_environment import clean_environment
from tests.dagster_homes import dagster_at
from tests.monitoring.test_automation import NOW, sensor

NAMED = "load_from:\n  - grpc_server: {host: code.internal, port: 4000, location_name: ours}\n"
OF_A_MODULE = "load_from:\n  - python_module: convergence_assets.definitions\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")})


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path) as found:
        yield found


def test_a_workspace_file_that_is_named_says_where_they_are_else_the_one_here(
    settings: Settings, tmp_path: Path
) -> None:
    assert code_servers.servers(settings) == []
    Path("workspace.yaml").write_text(OF_A_MODULE)
    assert code_servers.servers(settings) == [], "Dagster starts its server by itself, at an address of its own"
    Path("workspace.yaml").write_text(NAMED)
    (found,) = code_servers.servers(settings)
    assert (found.name, found.host, found.port) == ("ours", "code.internal", 4000)
    other = tmp_path / "other.yaml"
    other.write_text(NAMED.replace("4000", "4001"))
    (found,) = code_servers.servers(replace(settings, workspace=other))
    assert found.port == 4001


def test_those_of_a_supervisor_are_known_as_long_as_it_lives(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = CodeLocation("ours", socket="/tmp/of-up.sock")
    code_servers.write_workspace(settings, [location])
    (found,) = code_servers.servers(settings)
    assert (found.name, found.socket) == ("ours", "/tmp/of-up.sock")
    gone = replace(this_process(), started="1")
    monkeypatch.setattr(code_servers, "this_process", lambda: gone)
    code_servers.write_workspace(settings, [location])
    assert code_servers.servers(settings) == []


def test_a_server_that_is_not_there_is_told_of_as_soon_as_it_is_asked(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_servers, "AGAIN_SECONDS", 0.0)
    location = CodeLocation("ours", socket=str(tmp_path / "nobody.sock"))
    (alert,) = silent_locations(instance, [location], NOW)
    assert (alert.kind, alert.severity, alert.table) == ("location_dead", "critical", "ours")
    assert alert.happened.startswith("The server of code location ours does not answer: ")


def test_a_server_that_answers_when_it_is_asked_again_is_not_told_of(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["it is being started again", None])
    monkeypatch.setattr(CodeLocation, "why_silent", lambda *_: next(answers))
    monkeypatch.setattr(code_servers, "AGAIN_SECONDS", 0.0)
    assert list(silent_locations(instance, [CodeLocation("ours", port=4000)], NOW)) == []
    assert list(answers) == [], "it was asked twice"


def test_a_server_behind_tls_is_asked_over_tls(settings: Settings) -> None:
    Path("workspace.yaml").write_text(NAMED.replace("4000", "4000, ssl: true"))
    (found,) = code_servers.servers(settings)
    assert found.ssl
    code_servers.write_workspace(settings, [found])
    assert code_servers.servers(settings) == [found]


def test_a_daemon_that_lives_without_a_tick_for_a_minute_is_told_of(instance: dg.DagsterInstance) -> None:
    sensor(instance, "ledger", TickStatus.SKIPPED, last=NOW)
    later = NOW + TICK_WITHIN + timedelta(seconds=1)
    assert list(silent_locations(instance, [], later)) == [], "the daemon may be what is dead"
    instance.add_daemon_heartbeat(DaemonHeartbeat(later.timestamp(), "SENSOR", "id"))
    (alert,) = silent_locations(instance, [], later)
    assert "No sensor has ticked since 2026-11-20 12:00:00 UTC; the daemon itself lives." in alert.happened
    sensor(instance, "alerts", TickStatus.SKIPPED, last=later)
    assert list(silent_locations(instance, [], later)) == []


@pytest.mark.live
@pytest.mark.timeout(120)
def test_a_server_whose_process_was_killed_is_silent_until_it_is_reloaded(tmp_path: Path) -> None:
    import psutil

    (tmp_path / "empty_definitions.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    location = CodeLocation("ours", socket=str(tmp_path / "code.sock"))
    words = ["code-server", "start", "--socket", str(location.socket), "-f", "empty_definitions.py"]
    command = [str(Path(sys.executable).with_name("dagster")), *words]
    (tmp_path / "dagster").mkdir()
    environ = clean_environment() | {"DAGSTER_HOME": str(tmp_path / "dagster")}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=log)
    try:
        until_it_answers(location)
        for child in psutil.Process(server.pid).children():
            child.kill()
        assert location.why_silent(3.0)
        assert list(code_servers.reload([location])) == ["ours was reloaded"]
        until_it_answers(location)
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]:
            process.kill()
        server.wait()


def until_it_answers(location: CodeLocation) -> None:
    deadline = time.monotonic() + 60
    while why := location.why_silent(1.0):
        assert time.monotonic() < deadline, why
        time.sleep(0.1)
