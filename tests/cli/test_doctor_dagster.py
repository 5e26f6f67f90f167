"""`convergence doctor` and Dagster: its home, daemon, code location and run queue, and the machine's clock."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from convergence_assets.diagnostics.doctor.examine import Setup
from convergence_assets.tenancy.registry import load_tenants
from tests.cli.doctor_findings import Doctor, found, fresh
from tests.ports import free_port
from tests.postgres.postgres_server import Postgres


def test_class_paths_of_a_former_release_are_named_in_dagster_yaml(setup: Setup) -> None:
    assert [finding.state for finding in found("Dagster", setup)] == ["ok"]
    file = setup.dagster_home / "dagster.yaml"
    former = "instance_class: {module: convergence_assets.operations.dagster_logs, class: Instance}\n"
    file.write_text(file.read_text() + former)
    ok, warning = found("Dagster", setup)
    assert (ok.state, warning.state) == ("ok", "warning")
    assert "names convergence_assets.operations.dagster_logs," in warning.seen
    assert "convergence_assets.dagster_instance" in warning.next_step


def test_patches_of_dagster_that_are_off_are_a_warning(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERGENCE_DAGSTER_PATCHES", "off")
    ok, warning = found("Dagster", setup)
    assert (ok.state, warning.state) == ("ok", "warning")
    assert "patches of Dagster are left out: CONVERGENCE_DAGSTER_PATCHES=off" in warning.seen
    assert warning.next_step.startswith("unset CONVERGENCE_DAGSTER_PATCHES")


def test_a_dead_daemon(setup: Setup) -> None:
    (never,) = found("daemon", setup)
    assert (never.state, "all are paused" in never.seen) == ("ok", True), "all tenants of the demo are paused"
    now = datetime.now(UTC)
    with setup.open_instance() as instance:
        for name in ("SENSOR", "SCHEDULER", "QUEUED_RUN_COORDINATOR"):
            instance.add_daemon_heartbeat(DaemonHeartbeat(now.timestamp(), name, "one", []))
    assert found("daemon", setup)[0].state == "ok"
    (dead,) = found("daemon", replace(setup, now=lambda: now + timedelta(minutes=4)))
    assert (dead.state, "last seen" in dead.seen, "dagster-daemon run" in dead.next_step) == ("broken", True, True)


def test_a_daemon_that_was_never_started_is_missed_once_a_tenant_is_not_paused(setup: Setup, tenants: Path) -> None:
    file = tenants / "acme" / "tenant.yaml"
    file.write_text(file.read_text().replace("paused: true", "paused: false"))
    (finding,) = found("daemon", setup)
    assert (finding.state, "no day of acme is requested" in finding.seen) == ("broken", True)
    assert "convergence up" in finding.next_step


@pytest.mark.live
def test_a_dagster_home_that_is_no_folder_and_a_storage_that_is_away(doctor: Doctor, tmp_path: Path) -> None:
    _, output = doctor(DAGSTER_HOME="/nowhere")
    assert "DAGSTER_HOME=/nowhere is no folder" in output["Dagster"][0]["seen"]
    assert [output[name][0]["seen"] for name in ("clock", "daemon", "run queue")] == [
        "not looked at, since Dagster is broken"
    ] * 3
    url = f"postgresql+psycopg2://nobody:secret@127.0.0.1:{free_port()}/nothing"
    (tmp_path / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n")
    code, output = doctor(DAGSTER_HOME=str(tmp_path), CONVERGENCE_WAREHOUSE="embedded")
    assert (code, output["Dagster"][0]["state"], output["control store"][0]["state"]) == (1, "broken", "broken")
    assert "secret" not in json.dumps(output)


def test_files_that_nothing_has_loaded_as_they_are(setup: Setup, tenants: Path) -> None:
    (never,) = found("code location", setup)
    assert "acme, globex, initech" in never.seen
    load_tenants(setup.settings)
    assert found("code location", fresh(setup))[0].state == "ok"
    (tenants / "globex" / "tenant.yaml").write_text((tenants / "globex" / "tenant.yaml").read_text() + "# edited\n")
    (stale,) = found("code location", fresh(setup))
    assert (stale.state, stale.seen) == ("broken", "nothing has loaded the files as they are of globex")
    assert stale.next_step.startswith("reload the code location")


def test_a_webserver_that_is_not_there_or_is_another_one(setup: Setup) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (finding,) = found("code location", replace(setup, settings=replace(setup.settings, dagster_url=url)))
    assert finding.state == "broken"
    assert f"no Dagster webserver answers at {url}" in finding.seen
    assert "CONVERGENCE_DAGSTER_URL" in finding.next_step


def off_by(difference: timedelta) -> datetime:
    return datetime.now(UTC) + difference


@pytest.mark.xdist_group("postgres")
def test_a_clock_that_is_not_the_control_stores(setup: Setup, postgres: Postgres) -> None:
    url = postgres.url(postgres.database())
    setup = replace(setup, settings=replace(setup.settings, control_url=url))
    (fine,) = found("clock", setup)
    assert (fine.state, "the control store" in fine.seen) == ("ok", True), fine
    for seconds, state, how in ((-12, "warning", "behind"), (90, "broken", "before")):
        wrong = replace(setup, now=partial(off_by, timedelta(seconds=seconds)))
        (finding,) = found("clock", wrong)
        assert (finding.state, f"s {how} that of the control store" in finding.seen) == (state, True), finding
        assert "synchronise it" in finding.next_step


def test_a_clock_behind_that_of_the_daemons_machine(setup: Setup) -> None:
    assert found("clock", setup)[0].state == "ok"
    later = datetime.now(UTC) + timedelta(minutes=2)
    with setup.open_instance() as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(later.timestamp(), "SENSOR", "one", []))
    (finding,) = found("clock", setup)
    assert (finding.state, "behind that of the daemon's machine" in finding.seen) == ("broken", True)


def test_runs_that_wait_too_long(setup: Setup) -> None:
    assert found("run queue", setup)[0].seen == "no run waits"
    with setup.open_instance() as instance:
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="x.py"))
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "nothing")
        for _ in range(3):
            instance.create_run_for_job(
                dg.job(name="nothing")(lambda: None), status=dg.DagsterRunStatus.QUEUED, remote_job_origin=origin
            )
    (young,) = found("run queue", setup)
    assert (young.state, young.seen.startswith("3 runs wait")) == ("ok", True)
    (old,) = found("run queue", replace(setup, now=lambda: datetime.now(UTC) + timedelta(hours=1)))
    assert (old.state, "max_concurrent_runs" in old.next_step) == ("broken", True)
