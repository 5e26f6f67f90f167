"""The launcher without a daemon: which tenants a worker loads, whether it lives, and its end asked from another host."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Workers
from convergence_assets.dagster_internals.run_launchers import WorkerStatus
from convergence_assets.process import Owner, is_gone, this_process
from convergence_assets.run_launcher.launcher import WarmRunLauncher, tenants_of
from convergence_assets.settings import Settings
from tests.dagster_homes import run_of


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    launcher = "{module: convergence_assets.dagster_instance, class: WarmRunLauncher}"
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\nrun_launcher: {launcher}\n")
    with dg.DagsterInstance.get() as found:
        assert isinstance(found.run_launcher, WarmRunLauncher)
        yield found


@pytest.fixture
def workers(instance: dg.DagsterInstance) -> Workers:
    return Workers(ControlStore.open(Settings.from_env()))


@pytest.fixture
def sleeper() -> Iterator[Owner]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    yield replace(this_process(), process=process.pid, started=started)
    process.kill()
    process.wait()


def begun(instance: dg.DagsterInstance, *keys: tuple[str, ...]) -> dg.DagsterRun:
    def nothing() -> None: ...

    chosen = [dg.AssetKey(list(key)) for key in keys or [("acme", "costs", "lines")]]
    job = dg.Definitions(assets=[dg.asset(key=key)(nothing) for key in chosen]).resolve_implicit_global_asset_job_def()
    return instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset(chosen))


def test_a_worker_loads_the_tenants_of_its_runs_assets_and_all_where_that_cannot_be_told(
    instance: dg.DagsterInstance,
) -> None:
    assert tenants_of(begun(instance, ("acme", "costs", "a"), ("acme", "costs", "b"))) == ["acme"]
    assert tenants_of(begun(instance, ("acme", "costs", "a"), ("globex", "costs", "a"))) == ["acme", "globex"]
    assert tenants_of(begun(instance, ("acme", "config"))) == [], "a rejected tenant's mark"
    assert tenants_of(instance.create_run_for_job(dg.job(name="other")(lambda: None))) == []


def test_a_worker_is_failed_once_its_process_is_gone_and_never_before(
    instance: dg.DagsterInstance, workers: Workers
) -> None:
    def health(owner: Owner | None) -> WorkerStatus:
        run = begun(instance)
        if owner:
            workers.record(run.run_id, owner)
        status: WorkerStatus = instance.run_launcher.check_run_worker_health(run).status
        return status

    assert health(None) == WorkerStatus.RUNNING, "nothing is known"
    assert health(this_process()) == WorkerStatus.RUNNING
    assert health(replace(this_process(), host="elsewhere")) == WorkerStatus.RUNNING, "only its own host can tell"
    assert health(replace(this_process(), started="1")) == WorkerStatus.FAILED


def test_a_worker_of_another_host_is_ended_by_that_hosts_launcher_when_it_looks(
    instance: dg.DagsterInstance, workers: Workers, sleeper: Owner
) -> None:
    run = begun(instance)
    workers.record(run.run_id, replace(sleeper, host="elsewhere"))
    assert instance.run_launcher.terminate(run.run_id) is True
    found = workers.find(run.run_id)
    assert found is not None
    assert found.end_requested_at is not None
    assert is_gone(sleeper) is False
    # The same, as the other host sees it.
    workers.record(run.run_id, sleeper)
    workers.request_end(run.run_id)
    instance.run_launcher.check_run_worker_health(run_of(instance, run.run_id))
    for _ in range(1200):
        if is_gone(sleeper) and run_of(instance, run.run_id).is_finished:
            break
        time.sleep(0.05)
    assert is_gone(sleeper)
    assert run_of(instance, run.run_id).status == dg.DagsterRunStatus.CANCELED


def test_a_run_without_a_process_cannot_be_ended_here_and_one_that_is_gone_is_closed(
    instance: dg.DagsterInstance, workers: Workers
) -> None:
    unknown, gone, over = begun(instance), begun(instance), begun(instance)
    assert instance.run_launcher.terminate(unknown.run_id) is False
    workers.record(gone.run_id, replace(this_process(), started="1"))
    assert instance.run_launcher.terminate(gone.run_id) is False
    assert run_of(instance, gone.run_id).status == dg.DagsterRunStatus.CANCELED
    instance.report_run_failed(over)
    assert instance.run_launcher.terminate(over.run_id) is False
