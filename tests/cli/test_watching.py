"""`status`, `clear-stuck`, `watch`, `alerts` and `logs` as an on-call person uses them."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.control.location import control_url
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Workers
from convergence_assets.process import this_process
from tests import commands
from tests.assets.project import TENANTS, Project
from tests.clean_environment import clean_environment
from tests.dagster_homes import run_of

ROOT = Path(__file__).parents[2]
DAY = date(2026, 3, 10)
KEYS = frozenset(dg.AssetKey(["acme", "demo_costs", name]) for name in ("lines", "totals"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.at(tmp_path / "home")


def convergence(project: Project, *words: str, tenants: Path = TENANTS) -> subprocess.CompletedProcess[str]:
    own = {"CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(tenants), "COLUMNS": "200"}
    return commands.convergence(*words, environ=clean_environment() | own)


def instance_of(project: Project) -> dg.DagsterInstance:
    convergence(project, "status")  # makes the instance
    home = str(project.settings.dagster_home)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DAGSTER_HOME", home)  # where the shipped dagster.yaml has its files
        return dg.DagsterInstance.from_config(home)


def begun_run(project: Project, instance: dg.DagsterInstance, *, dead: bool) -> str:
    """A run that Dagster takes for started; its process is this one, or gone."""

    def nothing() -> None: ...

    assets = [dg.asset(key=key)(nothing) for key in KEYS]
    job = dg.Definitions(assets=assets).resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": str(DAY)}, asset_selection=KEYS
    )
    store = ControlStore(control_url(project.settings, {}))
    owner = replace(this_process(), started="1") if dead else this_process()
    Workers(store).record(run.run_id, owner)
    Locks(store, owner).acquire(Claim("acme", "demo_costs", DAY, DAY), run.run_id)
    instance.report_engine_event("it began", run)
    return run.run_id


def test_a_dead_run_is_shown_first_and_then_cleared_with_all_that_it_held(project: Project) -> None:
    with instance_of(project) as instance:
        run_id = begun_run(project, instance, dead=True)
        tried = convergence(project, "clear-stuck", "--run-id", run_id[:8], "--dry-run")
        assert tried.returncode == 0, tried.stderr
        assert run_id in tried.stdout
        assert "its process has ended and the run has not" in tried.stdout
        assert "would be ended" in tried.stdout
        assert run_of(instance, run_id).status == dg.DagsterRunStatus.STARTED
        done = convergence(project, "clear-stuck", "--pipeline-id", "acme/demo_costs")
        assert done.returncode == 0, done.stdout + done.stderr
        for phrase in ("FAILURE from outside", "1 locks released", "paused: not before it is resumed", "closed"):
            assert phrase in done.stdout
        assert run_of(instance, run_id).status == dg.DagsterRunStatus.FAILURE
        assert (
            json.loads("[" + ",".join(convergence(project, "locks", "list", "--json").stdout.splitlines()) + "]") == []
        )
        again = convergence(project, "clear-stuck", "--run-id", run_id)
        assert again.returncode == 2
        assert "there is nothing to end" in again.stderr
        (incident,) = (
            json.loads(line) for line in convergence(project, "alerts", "list", "--json").stdout.splitlines()
        )
        assert (incident["kind"], incident["run_id"], incident["partition"]) == ("run_stuck", run_id, str(DAY))
        logged = convergence(project, "logs", run_id[:8])
        assert "remediation" in logged.stdout
        assert convergence(project, "status").returncode == 1, "a critical alert is open"
        ended = convergence(project, "alerts", "resolve", incident["fingerprint"], "--reason", "seen to")
        assert ended.returncode == 0
        assert convergence(project, "alerts", "list", "--json").stdout == ""


def test_a_run_within_its_limits_is_left_alone_unless_a_person_insists(project: Project) -> None:
    with instance_of(project) as instance:
        run_id = begun_run(project, instance, dead=False)
        done = convergence(project, "clear-stuck", "--run-id", run_id)
        assert done.returncode == 1
        assert "within its limits: left alone; --force ends it all the same" in done.stdout
        assert run_of(instance, run_id).status == dg.DagsterRunStatus.STARTED
        assert "no run is stuck" in convergence(project, "clear-stuck").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pipeline-id", "acme/demo_cost"), "did you mean 'demo_costs'?"),
        (("--pipeline-id", "acm/demo_costs"), "did you mean 'acme'?"),
        (("--pipeline-id", "nothing_like_it"), "no tenant runs a pipeline 'nothing_like_it'; expected"),
        (("--run-id", "0123"), "there is no run"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_the_nearest(
    project: Project, words: tuple[str, ...], message: str
) -> None:
    found = convergence(project, "clear-stuck", *words)
    assert found.returncode == 2
    assert message in " ".join(found.stderr.replace("│", " ").split())
    assert "Traceback" not in found.stderr


def test_the_watchdog_tells_of_a_daemon_that_never_lived_and_status_says_so_too(project: Project) -> None:
    looked = convergence(project, "watch", "--once")
    assert looked.returncode == 1
    assert "No heartbeat of SENSOR (never seen)" in looked.stdout
    status = json.loads(convergence(project, "status", "--json").stdout)
    assert status["platform"]["daemon"].startswith("dead")
    assert status["open_alerts"] == {"critical": 1}
    assert [p["pipeline"] for p in status["pipelines"]] == ["demo_costs"]
    (incident,) = (json.loads(line) for line in convergence(project, "alerts", "list", "--json").stdout.splitlines())
    assert incident["kind"] == "daemon_dead"


def test_a_disabled_tenant_is_not_run_and_says_why(project: Project, tmp_path: Path) -> None:
    tenants = tmp_path / "tenants"
    shutil.copytree(TENANTS, tenants)
    file = tenants / "acme" / "tenant.yaml"
    file.write_text(file.read_text() + "enabled: false\n")
    for words in (("run", "--partition", str(DAY)), ("backfill", "--from", str(DAY), "--to", str(DAY))):
        done = convergence(project, words[0], "acme", "demo_costs", *words[1:], tenants=tenants)
        assert done.returncode == 2
        assert "tenant acme is disabled" in " ".join(done.stderr.replace("│", " ").split())
        assert "Traceback" not in done.stderr
