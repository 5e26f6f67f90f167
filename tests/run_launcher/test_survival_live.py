"""Processes of the platform that die: runs go on, are found again, and can still be ended."""

import signal
from datetime import date, timedelta

import psutil
import pytest

from tests.assets.project import Project
from tests.run_launcher.platform_in_a_process import running

DAY = date(2026, 3, 2)
DAYS = tuple(DAY + timedelta(days=n) for n in range(4))
TICKS = """{ sensorOrError(sensorSelector: {repositoryLocationName: "hanging_definitions",
  repositoryName: "__repository__", sensorName: "ledger"}) {
  ... on Sensor { sensorState { ticks(limit: 1) { timestamp status } } } } }"""


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_runs_outlive_the_daemon_and_the_code_server_and_are_found_again(project: Project) -> None:
    with running(project, days=DAYS, HANGING_SLOW_SECONDS="12") as platform:
        platform.plan({DAYS[0]: "slow", DAYS[1]: "held", DAYS[2]: "swallow"})
        first = platform.launch(DAYS[0])
        platform.wait_for_start(first)
        servers = [p for p in psutil.process_iter() if _is_a_code_server(p, platform.environ["DAGSTER_HOME"])]
        assert servers
        for server in servers:
            server.send_signal(signal.SIGKILL)
        assert platform.wait_for_end(first) == "SUCCESS"

        def last_tick() -> float:
            at: float = platform.ask(TICKS)["sensorOrError"]["sensorState"]["ticks"][0]["timestamp"]
            return at

        before = last_tick()
        platform.wait_for(lambda: last_tick() > before + 5, 120)  # sensors tick again, by themselves

        second, deaf = platform.launch(DAYS[1]), platform.launch(DAYS[2])
        workers = [platform.wait_for_start(run) for run in (second, deaf)]
        platform.restart()
        assert all(worker.is_running() for worker in workers)
        platform.plan({})
        assert platform.wait_for_end(second) == "SUCCESS"
        assert platform.terminate(deaf) == "TerminateRunSuccess"
        assert platform.wait_for_end(deaf) == "CANCELED"
        third = platform.launch(DAYS[3])
        assert platform.wait_for_end(third) == "SUCCESS"
    assert [r["n"] for r in project.read("SELECT COUNT(*) AS n FROM acme.totals")] == [3]


def _is_a_code_server(process: psutil.Process, dagster_home: str) -> bool:
    try:
        words = process.cmdline()
        return (
            "hanging_definitions" in words
            and ("grpc" in words or "code-server" in words)
            and (process.environ().get("DAGSTER_HOME") == dagster_home)
        )
    except psutil.Error:
        return False
