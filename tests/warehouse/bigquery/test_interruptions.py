"""Runs that are ended, and a server that is, while a query runs on the local BigQuery server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.main import app
from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse
from convergence_assets.warehouse.errors import WarehouseError, WarehouseUnavailable
from convergence_assets.warehouse.interface import Job, RunningJob, Warehouse
from convergence_assets.warehouse.schema import Query
from tests.dagster_homes import dagster_home
from tests.peer.peer_server import Peer
from tests.warehouse.bigquery.staging_process import DAY, SCHEMA, TABLE

pytestmark = [pytest.mark.peer, pytest.mark.slow]

NUMBERS = "SELECT i FROM UNNEST(GENERATE_DATE_ARRAY(DATE '1900-01-01', DATE '2100-01-01')) AS i"
ENDLESS = (
    f"SELECT DATE '2026-03-01' AS day, COUNT(*) AS n FROM ({NUMBERS}) AS a CROSS JOIN ({NUMBERS}) AS b "
    f"CROSS JOIN ({NUMBERS}) AS c"
)
SHORT = "SELECT DATE '2026-03-01' AS day, 7 AS n"


@pytest.fixture
def environment(peer: Peer, tmp_path: Path) -> dict[str, str]:
    return os.environ | peer.variables | {"CONVERGENCE_HOME": str(tmp_path / "home")}


@pytest.fixture
def own_server(peer_server: Peer, tmp_path: Path) -> Iterator[Peer]:
    """A server of the test's own: one that died within a job lists it as running ever after."""
    server = Peer(peer_server.environment, tmp_path / "own-server")
    server.start()
    yield server
    server.stop()


def staging(environment: dict[str, str], sql: str, run_id: str) -> "subprocess.Popen[str]":
    script = Path(__file__).parent / "staging_process.py"
    return subprocess.Popen(
        [sys.executable, str(script), sql, run_id],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(found: Callable[[], Sequence[RunningJob]], expected: bool, seconds: float = 30) -> Sequence[RunningJob]:
    deadline = time.monotonic() + seconds
    while bool(jobs := found()) != expected:
        assert time.monotonic() < deadline, jobs
        time.sleep(0.2)
    return jobs


def rows(warehouse: Warehouse) -> list[dict[str, object]]:
    found: list[dict[str, object]] = warehouse.read(Query("SELECT day, n FROM acme.costs"), Job("look")).to_pylist()
    return found


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_process_cancels_its_query(
    peer: Peer, tmp_path: Path, environment: dict[str, str], kind: signal.Signals
) -> None:
    with open_warehouse(peer.settings(tmp_path)) as warehouse:
        process = staging(environment, ENDLESS, f"run-{kind.name}")
        (job,) = until(warehouse.running_jobs, True)
        assert job.labels["run_id"].startswith("run-sig")
        process.send_signal(kind)
        process.wait(30)
        until(warehouse.running_jobs, False)
        assert rows(warehouse) == []


def test_the_query_of_a_killed_process_is_found_by_a_sweep_and_the_next_run_leaves_one_copy(
    peer: Peer, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(tmp_path / "dagster")))
    with open_warehouse(peer.settings(tmp_path)) as warehouse:
        process = staging(environment, ENDLESS, "run-killed")
        (job,) = until(warehouse.running_jobs, True)
        assert job.owner_is_gone is False
        assert CliRunner().invoke(app, ["jobs", "--sweep"]).exit_code == 0
        assert [j.job_id for j in warehouse.running_jobs()] == [job.job_id], "a living process keeps its job"
        process.kill()
        process.wait()
        (orphan,) = warehouse.running_jobs()
        assert orphan.owner_is_gone is True
        swept = json.loads(CliRunner().invoke(app, ["jobs", "--sweep", "--json"]).output)
        assert (swept["job_id"], swept["cancelled"]) == (job.job_id, True)
        until(warehouse.running_jobs, False)
        for _ in range(2):
            again = staging(environment, SHORT, "run-killed")
            assert again.communicate(timeout=60)[0].strip() == "1"
        assert rows(warehouse) == [{"day": DAY, "n": 7}]


def test_a_retry_attaches_to_the_query_that_a_killed_process_left_running(
    peer: Peer, tmp_path: Path, environment: dict[str, str]
) -> None:
    # A few seconds of work: long enough to be killed in, short enough to wait for.
    fewer = NUMBERS.replace("2100", "1925")
    slow = (
        f"SELECT DATE '2026-03-01' AS day, COUNT(*) AS n FROM ({NUMBERS}) AS a CROSS JOIN ({fewer}) AS b "
        "WHERE MOD(DATE_DIFF(a.i, b.i, DAY), 7) = 3"
    )
    job = Job("run-left", {"tenant": "acme", "asset": "costs", "partition": "2026-03-01", "run_id": "run-left"})
    with open_warehouse(peer.settings(tmp_path)) as warehouse:
        process = staging(environment, slow, "run-left")
        (left,) = until(warehouse.running_jobs, True)
        process.kill()
        process.wait()
        staged = warehouse.stage_query(TABLE, SCHEMA, [Query(slow)], job)
        (sent,) = [s for s in warehouse.statements if s.kind == "stage0"]
        assert (sent.job_id, sent.attached) == (left.job_id, True)
        warehouse.publish(staged, [DAY], job)
        assert len(rows(warehouse)) == 1


def test_another_run_after_the_source_changed_has_the_new_rows(peer: Peer, tmp_path: Path) -> None:
    query = Query("SELECT day, n + 1 AS n FROM acme.source")
    with open_warehouse(peer.settings(tmp_path)) as warehouse, peer.client() as client:
        warehouse.ensure_table(TABLE, SCHEMA)
        client.query_and_wait("CREATE TABLE acme.source AS SELECT DATE '2026-03-01' AS day, 1 AS n")
        for run_id, value in (("run-a", 1), ("run-a", 5), ("run-b", 5)):
            client.query_and_wait(f"UPDATE acme.source SET n = {value} WHERE TRUE")
            staged = warehouse.stage_query(TABLE, SCHEMA, [query], Job(run_id))
            warehouse.publish(staged, [DAY], Job(run_id))
        attached = [s.attached for s in warehouse.statements if s.kind == "stage0"]
        assert attached == [False, True, False]
        assert rows(warehouse) == [{"day": DAY, "n": 6}]


@pytest.mark.parametrize("seconds", [12, pytest.param(120, marks=pytest.mark.soak)])
def test_a_run_waits_for_a_server_that_is_away_and_finishes(
    peer_server: Peer, peer: Peer, tmp_path: Path, seconds: int
) -> None:
    with open_warehouse(peer.settings(tmp_path)) as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        peer_server.stop()
        back = threading.Timer(seconds, peer_server.start)
        back.start()
        try:
            staged = warehouse.stage_query(TABLE, SCHEMA, [Query(SHORT)], Job("run-away"))
            warehouse.publish(staged, [DAY], Job("run-away"))
        finally:
            back.join()
        assert rows(warehouse) == [{"day": DAY, "n": 7}]


@pytest.mark.parametrize("seconds", [12, pytest.param(120, marks=pytest.mark.soak)])
def test_a_server_that_dies_within_a_query_leaves_the_old_partition_or_the_new_one(
    own_server: Peer, tmp_path: Path, seconds: int
) -> None:
    slow = f"SELECT DATE '2026-03-01' AS day, COUNT(*) AS n FROM ({NUMBERS}) AS a CROSS JOIN ({NUMBERS}) AS b"
    with (
        open_warehouse(own_server.settings(tmp_path)) as warehouse,
        open_warehouse(own_server.settings(tmp_path)) as other,
    ):
        warehouse.ensure_table(TABLE, SCHEMA)
        before = warehouse.stage_query(TABLE, SCHEMA, [Query(SHORT)], Job("run-before"))
        warehouse.publish(before, [DAY], Job("run-before"))

        def die_within_the_query() -> None:
            until(other.running_jobs, True)
            own_server.stop(signal.SIGKILL)
            threading.Event().wait(seconds)
            own_server.start()

        death = threading.Thread(target=die_within_the_query)
        death.start()
        try:
            # The local server may forget a job that it died in and let the client wait: then the time limit ends it.
            cut = Job("run-cut", timeout_seconds=2 * seconds + 10)
            staged = warehouse.stage_query(TABLE, SCHEMA, [Query(slow)], cut)
            warehouse.publish(staged, [DAY], cut)
            failure = None
        except WarehouseError as error:
            failure = error
        finally:
            death.join()
        assert rows(warehouse) == [{"day": DAY, "n": 7 if failure else 73_050**2}]
        assert failure is None or failure.error_class in ("unavailable", "timeout")


def test_a_run_gives_up_on_a_server_that_stays_away_and_publishes_nothing(
    peer_server: Peer, peer: Peer, tmp_path: Path
) -> None:
    with BigQueryWarehouse(peer.client(), decorators=False, budget_seconds=3) as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        staged = warehouse.stage_query(TABLE, SCHEMA, [Query(SHORT)], Job("run-lost"))
        peer_server.stop(signal.SIGKILL)
        try:
            with pytest.raises(WarehouseUnavailable) as caught:
                warehouse.publish(staged, [DAY], Job("run-lost"))
            assert caught.value.retryable
            assert caught.value.remedy
        finally:
            peer_server.start()
        assert rows(warehouse) == []
