"""Runs that meet on a day: the second ends at once, a killed one's day is free, one that lost its lock publishes nothing."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from convergence_assets.cli.run import Definitions, RunResult
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.run_requests import Requests
from convergence_assets.control.store import ControlStore
from convergence_assets.process import Owner
from convergence_assets.settings import Settings
from convergence_assets.tenancy.quota import quota_of
from convergence_assets.warehouse.duckdb.files import DatasetLock, Layout
from convergence_assets.warehouse.schema import Dataset
from tests import commands
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.dagster_homes import dagster_at, dagster_home, run_of
from tests.postgres.postgres_server import Postgres

DAY = date(2026, 3, 10)
CLAIM = Claim("acme", "demo_costs", DAY, DAY)
BIN = Path(sys.executable).parent


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One that tries failed runs again."""
    with dagster_at(tmp_path / "dagster", "run_retries: {enabled: true, max_retries: 2}\n") as found:
        yield found


@pytest.fixture
def store(project: Project) -> ControlStore:
    project.load_bills(hourly(DAY, "Europe/Berlin", 1.25))
    return ControlStore.open(project.settings, {})


@pytest.fixture
def source_is_locked(project: Project, store: ControlStore) -> Iterator[ExitStack]:
    """The export is closed to readers, so that a run waits in staging until the test closes the stack."""
    lock = DatasetLock(Layout(project.settings.warehouse_folder), Dataset("acme_export"))
    with ExitStack() as locked:
        locked.enter_context(lock.exclusive(10))
        yield locked


def run(project: Project, instance: dg.DagsterInstance) -> RunResult:
    return Definitions(project.settings).run(instance, project.tenant, project.tenant.pipelines[0], DAY, DAY)


def variables(project: Project) -> dict[str, str]:
    home = project.settings.home
    own = {"CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": str(TENANTS), "DAGSTER_HOME": str(home / "dagster")}
    return clean_environment() | own


def start(project: Project, *words: str | Path, **environ: str) -> subprocess.Popen[str]:
    home = project.settings.home / "dagster"
    if not home.exists():
        dagster_home(home)
    return subprocess.Popen(
        words, env=variables(project) | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def published(project: Project) -> int:
    count = project.read("SELECT COUNT(*) AS n FROM acme.lines")[0]["n"]
    assert isinstance(count, int)
    return count


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_ends_at_once_naming_the_first_and_is_not_tried_again(
    project: Project, instance: dg.DagsterInstance, store: ControlStore
) -> None:
    first = Locks(store).acquire(CLAIM, "the-first-run")
    refused = run(project, instance)  # which ends although the first one never does
    assert not refused.succeeded
    assert refused.failure is not None
    for named in ("tenant acme, pipeline demo_costs, partition 2026-03-10", "run the-first-run (host ", "holds the lock",
                  "Next: wait for that run", "convergence locks release acme demo_costs --partition 2026-03-10"):  # fmt: skip
        assert named in refused.failure
    assert "Traceback" not in refused.failure
    events = [e.event_type_value for e in (r.dagster_event for r in instance.all_logs(refused.run_id)) if e]
    assert events.count("STEP_START") == 1
    assert "STEP_UP_FOR_RETRY" not in events
    assert run_of(instance, refused.run_id).tags["dagster/will_retry"] == "false"
    assert Locks(store).all() == [first]
    Locks(store).release([first.fence])
    assert run(project, instance).succeeded


def test_a_run_gives_its_lock_back_though_its_process_goes_on(
    project: Project, instance: dg.DagsterInstance, store: ControlStore
) -> None:
    assert run(project, instance).succeeded
    assert Locks(store).all() == []


def test_a_run_that_dagster_knows_to_be_over_blocks_nobody(
    project: Project, instance: dg.DagsterInstance, store: ControlStore
) -> None:
    over = instance.create_run_for_job(dg.job(name="nothing")(lambda: None), status=dg.DagsterRunStatus.FAILURE)
    Locks(store).acquire(CLAIM, over.run_id)
    assert run(project, instance).succeeded


@pytest.mark.slow
def test_a_run_whose_lock_another_took_over_publishes_nothing_and_names_it(
    project: Project, store: ControlStore, source_is_locked: ExitStack
) -> None:
    dagster_home(project.settings.home / "dagster")
    words = ("run", "acme", "demo_costs", "--partition", DAY.isoformat(), "--json")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(commands.convergence, *words, environ=variables(project))
        locks = Locks(store)
        while not locks.all():
            assert not running.done(), running.result()
            time.sleep(0.02)
        (held,) = locks.all()
        locks.release([held.fence])
        second = locks.acquire(CLAIM, "the-second-run")
        source_is_locked.close()
        first = running.result()
    assert first.returncode == 1, first.stderr
    failure = json.loads(first.stdout)["failure"]
    assert f"run {held.run_id} lost its lock" in failure
    assert "now run the-second-run holds it" in failure
    assert published(project) == 0
    assert locks.all() == [second]


@pytest.mark.live
def test_a_killed_dagster_command_line_does_not_lock_for_ever(
    project: Project, instance: dg.DagsterInstance, store: ControlStore, source_is_locked: ExitStack
) -> None:
    killed = start(
        project, BIN / "dagster", "asset", "materialize", "-m", "convergence_assets.definitions",
        "--select", "key:acme/*", "--partition", DAY.isoformat(),
    )  # fmt: skip
    locks = Locks(store)
    wait_until(lambda: bool(locks.all()), killed)
    (held,) = locks.all()
    assert held.owner.process == killed.pid
    assert locks.free_because(held) is None
    killed.kill()
    killed.communicate()
    assert locks.free_because(held) == "its process has ended"
    source_is_locked.close()
    result = run(project, instance)
    assert result.succeeded, result.failure
    assert published(project) == 24


@pytest.mark.soak
@pytest.mark.xdist_group("postgres")
def test_a_dagster_on_postgres_and_the_locks_share_a_database(
    project: Project, store: ControlStore, postgres: Postgres
) -> None:
    url = postgres.url(postgres.database())
    (project.settings.home / "dagster").mkdir()
    (project.settings.home / "dagster" / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nstorage:\n  postgres:\n    postgres_url: {env: PG_URL}\n"
    )
    process = start(
        project, BIN / "dagster", "asset", "materialize", "-m", "convergence_assets.definitions",
        "--select", "key:acme/*", "--partition", DAY.isoformat(),
        PG_URL=url.replace("postgresql", "postgresql+psycopg2"), CONVERGENCE_WAREHOUSE="embedded",
    )  # fmt: skip
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors[-3000:]
    shared = ControlStore.open(Settings.from_env({"CONVERGENCE_CONTROL_URL": url}), {})
    with shared.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM runs WHERE status = 'SUCCESS'")) == 1
        taken = connection.scalar(sa.text("SELECT last_value FROM convergence_locks_fence_seq"))
    assert taken == 1
    assert Locks(shared).all() == []
    with store.read() as connection:
        assert not connection.execute(sa.text("SELECT 1 FROM sqlite_sequence")).all()


def test_the_command_lists_locks_and_releases_a_living_ones_only_by_force(
    project: Project, store: ControlStore
) -> None:
    def convergence(*words: str) -> tuple[int, str]:
        done = commands.convergence(*words, environ=variables(project))
        return done.returncode, done.stdout + done.stderr

    assert convergence("locks", "list", "--json") == (0, "")  # a first command may take longer than a heartbeat lasts
    locks = Locks(store)
    living = locks.acquire(CLAIM, "living")
    dead = Locks(store, Owner(living.owner.host, living.owner.boot_id, living.owner.space, 2**22 + 1, "0"))
    dead.acquire(Claim("acme", "other", DAY, DAY), "dead")
    code, output = convergence("locks", "list", "--json")
    shown = {row["run_id"]: row["free_because"] for row in map(json.loads, output.splitlines())}
    assert (code, shown) == (0, {"living": None, "dead": "its process has ended"})
    assert convergence("locks", "release", "acme", "other") == (
        0, "released: tenant acme, pipeline other, partition 2026-03-10, run dead\n",
    )  # fmt: skip
    code, output = convergence("locks", "release", "acme", "demo_costs")
    assert code == 1
    assert "is alive. Next: wait for it, end it, or say --force" in output
    code, output = convergence("locks", "release", "acme", "demo_costs", "--partition", "2026-03-11", "--force")
    assert "no run holds a lock of tenant acme, pipeline demo_costs on 2026-03-11" in output
    assert convergence("locks", "release", "acme", "demo_costs", "--partition", "2026-03-10", "--force")[0] == 0
    assert convergence("locks", "list") == (0, "no run holds a lock\n")
    code, output = convergence("locks", "release", "acme", "demo_costs", "--partition", "soon")
    assert code == 2
    assert "--partition: " in output


def test_a_run_over_its_tenants_plan_ends_before_any_work_and_says_when_to_try_again(
    project: Project, instance: dg.DagsterInstance, store: ControlStore
) -> None:
    claim = Claim("acme", "another", DAY, DAY)
    quota = replace(quota_of(project.tenant), daily_runs=10**6)
    for n in range(project.tenant.plan.daily_runs):
        Requests(store).record_outcome(
            Requests(store).begin(claim, f"run{n}", "manual", quota, lambda _: None), "succeeded"
        )
    refused = run(project, instance)
    assert not refused.succeeded
    assert refused.failure is not None
    for named in ("tenant acme, pipeline demo_costs, partition 2026-03-10", "all 100 runs of the day are used",
                  "nothing was done here", "Next: run it again after 20"):  # fmt: skip
        assert named in refused.failure
    assert run_of(instance, refused.run_id).tags["dagster/will_retry"] == "false"
    Requests(store).record_outcome("run:run7:acme", "failed")
    assert run(project, instance).succeeded
