"""`convergence doctor` on set-ups that are broken for real, one way each: it names what is wrong and what to do."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from convergence_assets.control import outbox
from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import VERSION_TABLE
from convergence_assets.operations.doctor.checks import CHECKS
from convergence_assets.operations.doctor.examine import Finding, Limits, Setup, examine
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from tests import commands
from tests.assets.dagster_server import await_listening
from tests.clean_environment import clean_environment
from tests.dagster_homes import dagster_home
from tests.peer.peer_server import Peer
from tests.ports import free_port
from tests.postgres.postgres_server import Postgres
from tests.unprivileged import as_anybody
from tests.warehouse.bigquery.fake_bigquery import FakeBigQuery, Refusal, fake_bigquery, refused

ROOT = Path(__file__).parents[2]

Said = dict[str, list[dict[str, str]]]
Doctor = Callable[..., tuple[int, Said]]


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))


@pytest.fixture
def variables(tmp_path: Path, tenants: Path) -> dict[str, str]:
    return {
        "CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(tenants), "COLUMNS": "400",
        "ACME__SLACK_URL": "slack://a/b/c", "API_PORT": str(free_port()),
    }  # fmt: skip


@pytest.fixture
def doctor(variables: dict[str, str]) -> Doctor:
    def run(first: Callable[[], None] | None = None, **more: str) -> tuple[int, Said]:
        done = commands.convergence("doctor", "--json", environ=clean_environment() | variables | more, first=first)
        assert "Traceback" not in done.stderr, done.stderr
        said: Said = {}
        for line in done.stdout.splitlines():
            finding = json.loads(line)
            assert finding["state"] == "ok" or finding["next_step"], finding
            said.setdefault(finding["check"], []).append(finding)
        return done.returncode, said

    return run


@pytest.fixture
def setup(variables: dict[str, str], tmp_path: Path) -> Setup:
    home = dagster_home(tmp_path / "dagster")
    return Setup(Settings.from_env(variables), lambda: dg.DagsterInstance.from_config(str(home)), home)


def found(name: str, setup: Setup) -> list[Finding]:
    return list(examine({name: CHECKS[name]}, setup))


def states(said: Said) -> dict[str, set[str]]:
    return {name: {finding["state"] for finding in findings} for name, findings in said.items()}


def test_every_check_says_something_and_a_person_reads_what_to_do_below_the_table(
    doctor: Doctor, variables: dict[str, str]
) -> None:
    code, said = doctor()
    assert (code, list(said)) == (1, list(CHECKS))
    wrong = {name for name, found in states(said).items() if "broken" in found}
    assert wrong == {"code location"}
    shown = commands.convergence("doctor", environ=clean_environment() | variables)
    assert shown.returncode == 1
    assert "code location: next: " in shown.stdout


def test_settings_that_cannot_be_read_are_the_only_finding(doctor: Doctor) -> None:
    code, said = doctor(CONVERGENCE_WAREHOUSE="oracle")
    assert (code, list(said)) == (1, ["settings"])
    assert "expected 'embedded' or 'bigquery'" in said["settings"][0]["next_step"] + said["settings"][0]["seen"]


def test_no_google_credentials(doctor: Doctor, tmp_path: Path) -> None:
    code, said = doctor(GCP_PROJECT_ID="a-project", HOME=str(tmp_path), NO_GCE_CHECK="true")
    assert code == 1
    (finding,) = said["Google credentials"]
    assert finding["state"] == "broken"
    assert "BigQuery is chosen (GCP_PROJECT_ID is set) and there are none" in finding["seen"]
    assert finding["next_step"].startswith("gcloud auth application-default login")
    assert {name for name, found in states(said).items() if "broken" in found} == {
        "Google credentials", "code location",
    }, "one cause is told once"  # fmt: skip
    for name in ("warehouse", "permissions"):
        assert said[name][0]["seen"] == "not looked at, since Google credentials is broken"


@pytest.fixture
def google(setup: Setup) -> Iterator[tuple[FakeBigQuery, Setup]]:
    with fake_bigquery() as fake:
        settings = replace(setup.settings, warehouse="bigquery", project="a-project", emulator=fake.url)
        yield fake, replace(setup, settings=settings)


@pytest.mark.parametrize(
    ("refusal", "seen", "next_step"),
    [
        (Refusal(404, "notFound", "Not found: Project a-project"), "project a-project is not known to BigQuery",
         "set GCP_PROJECT_ID to one that"),
        (Refusal(400, "invalid", "Invalid project ID 'a-project'"), "project a-project: Invalid project ID",
         "set GCP_PROJECT_ID to one that"),
        (Refusal(403, "accessDenied", "Access Denied: Project a-project: User does not have bigquery.jobs.create "
         "permission in project a-project."), "bigquery.jobs.create", "roles/bigquery.jobUser"),
        (Refusal(503, "backendError", "try later"), "try later", "network and status page"),
    ],
)  # fmt: skip
def test_a_wrong_project_and_a_missing_permission_are_told_apart(
    google: tuple[FakeBigQuery, Setup], refusal: Refusal, seen: str, next_step: str
) -> None:
    fake, setup = google
    fake.refusals = [refusal] * 5
    (finding,) = found("warehouse", setup)
    assert finding.state == "broken"
    assert seen in finding.seen
    assert next_step in finding.next_step


def test_a_table_that_may_not_be_read_is_named_with_its_tenant(google: tuple[FakeBigQuery, Setup]) -> None:
    fake, setup = google
    (fine,) = found("permissions", setup)
    assert fine.state == "ok", fine
    shutil.rmtree(setup.settings.home)  # what was looked at is remembered for the day
    said = "Access Denied: Table a-project:acme_billing_export.t: User does not have permission to query table"
    fake.dry_run = lambda body: refused(Refusal(403, "accessDenied", said))  # type: ignore[method-assign]
    findings = found("permissions", setup)
    assert {finding.state for finding in findings} == {"broken"}
    assert findings[0].seen.startswith("acme, table gcp_cost_line_items: access_denied: Access Denied: Table")
    assert "roles/bigquery.dataViewer on the sources" in findings[0].next_step


def test_class_paths_of_a_former_release_are_named_in_dagster_yaml(setup: Setup) -> None:
    assert [finding.state for finding in found("Dagster", setup)] == ["ok"]
    file = setup.dagster_home / "dagster.yaml"
    former = "instance_class: {module: convergence_assets.operations.dagster_logs, class: Instance}\n"
    file.write_text(file.read_text() + former)
    ok, warning = found("Dagster", setup)
    assert (ok.state, warning.state) == ("ok", "warning")
    assert "names convergence_assets.operations.dagster_logs," in warning.seen
    assert "convergence_assets.dagster_instance" in warning.next_step


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
    assert (finding.state, "no day of acme is asked for" in finding.seen) == ("broken", True)
    assert "convergence up" in finding.next_step


def test_a_route_without_its_variable_is_broken_where_runs_are_asked_for(
    variables: dict[str, str], setup: Setup, tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACME__SLACK_URL", raising=False)
    file = tenants / "acme" / "tenant.yaml"
    assert found("alert routes", setup)[0].state == "warning"
    file.write_text(file.read_text().replace("paused: true", "paused: false"))
    assert found("alert routes", replace(setup))[0].state == "broken"


@pytest.mark.live
def test_a_dagster_home_that_is_no_folder_and_a_storage_that_is_away(doctor: Doctor, tmp_path: Path) -> None:
    _, said = doctor(DAGSTER_HOME="/nowhere")
    assert "DAGSTER_HOME=/nowhere is no folder" in said["Dagster"][0]["seen"]
    assert [said[name][0]["seen"] for name in ("clock", "daemon", "run queue")] == [
        "not looked at, since Dagster is broken"
    ] * 3
    url = f"postgresql+psycopg2://nobody:secret@127.0.0.1:{free_port()}/nothing"
    (tmp_path / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n")
    code, said = doctor(DAGSTER_HOME=str(tmp_path), CONVERGENCE_WAREHOUSE="embedded")
    assert (code, said["Dagster"][0]["state"], said["control store"][0]["state"]) == (1, "broken", "broken")
    assert "secret" not in json.dumps(said)


def test_files_that_nothing_has_loaded_as_they_are(setup: Setup, tenants: Path) -> None:
    (never,) = found("code location", setup)
    assert "acme, globex, initech" in never.seen
    load_tenants(setup.settings)
    assert found("code location", fresh(setup))[0].state == "ok"
    (tenants / "globex" / "tenant.yaml").write_text((tenants / "globex" / "tenant.yaml").read_text() + "# edited\n")
    (stale,) = found("code location", fresh(setup))
    assert (stale.state, stale.seen) == ("broken", "nothing has loaded the files as they are of globex")
    assert stale.next_step.startswith("reload the code location")


def fresh(setup: Setup) -> Setup:
    """The same set-up, looked at anew."""
    return replace(setup)


def test_a_webserver_that_is_not_there_or_is_another_one(setup: Setup) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    (finding,) = found("code location", replace(setup, settings=replace(setup.settings, dagster_url=url)))
    assert finding.state == "broken"
    assert f"no Dagster webserver answers at {url}" in finding.seen
    assert "CONVERGENCE_DAGSTER_URL" in finding.next_step


def test_a_home_that_cannot_be_written(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = doctor(CONVERGENCE_HOME=str(tmp_path / "file" / "home"))
    assert code == 1
    assert "Not a directory" in said["home"][0]["seen"]
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    code, said = doctor(as_anybody, CONVERGENCE_HOME=str(locked))
    assert (code, "Permission denied" in said["home"][0]["seen"]) == (1, True)
    assert said["home"][0]["next_step"].startswith("make it writable")
    assert list(said) == list(CHECKS), "the other checks are made all the same"


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


def test_a_control_store_of_a_newer_version(doctor: Doctor, setup: Setup) -> None:
    ControlStore.open(setup.settings)
    with closing(sqlite3.connect(setup.settings.home / "control.db")) as store:
        store.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        store.commit()
    code, said = doctor()
    (finding,) = said["control store"]
    assert (code, finding["state"]) == (1, "broken")
    assert "was made by a newer version of Convergence" in finding["seen"]
    assert finding["next_step"] == "bring this installation to that version"


def test_a_control_store_that_is_away(setup: Setup) -> None:
    url = f"postgresql://nobody:secret@127.0.0.1:{free_port()}/nothing"
    (finding,) = found("control store", replace(setup, settings=replace(setup.settings, control_url=url)))
    assert finding.state == "broken"
    assert "secret" not in finding.seen
    assert finding.next_step == "see that it can be reached and written"


def test_a_bad_tenant_file(doctor: Doctor, tenants: Path, setup: Setup) -> None:
    load_tenants(setup.settings)
    (tenants / "acme" / "tenant.yaml").write_text("tenant_id: acme\ntimezon: UTC\n")
    (tenants / "newone").mkdir()
    code, said = doctor()
    acme, newone = said["tenant files"]
    assert (code, acme["state"], newone["state"]) == (1, "broken", "broken")
    assert "tenant acme is rejected, it is served on its last accepted version" in acme["seen"]
    assert "did you mean 'timezone'" in acme["seen"]
    assert acme["next_step"] == "correct it; `convergence validate --tenant acme` checks"
    assert "tenant newone is rejected, it is not served" in newone["seen"]
    (tenants / "_defaults.yaml").write_text("plan: none\n")
    assert any("_defaults.yaml" in finding["seen"] for finding in doctor()[1]["tenant files"])
    assert "does not exist" in doctor(CONVERGENCE_TENANTS="/nowhere")[1]["tenant folder"][0]["seen"]


def test_a_port_that_somebody_else_has(setup: Setup) -> None:
    assert found("API port", setup)[0].state == "ok"
    with socket.socket() as other:
        other.bind(("127.0.0.1", setup.settings.api_port))
        other.listen()
        (finding,) = found("API port", setup)
    assert finding.state == "broken"
    assert f"(pid {os.getpid()})" in finding.seen
    assert "API_PORT" in finding.next_step


def test_keys_that_have_expired_or_soon_will(setup: Setup) -> None:
    long_ago = Keys(ControlStore.open(setup.settings, now=lambda: datetime.now(UTC) - timedelta(days=10)))
    over, covered = long_ago.create("acme", "anna", days=1), long_ago.create("globex", "anna", days=1)
    revoked = long_ago.create("acme", "anna", days=1)
    long_ago.revoke(revoked.key_id, "anna")
    soon = long_ago.create("globex", "anna", days=15)
    said = {finding.seen.split()[0]: finding for finding in found("API keys", setup)}
    assert set(said) == {over.key_id, covered.key_id, soon.key_id}
    assert said[over.key_id].state == "broken"
    assert f"convergence keys extend {over.key_id}" in said[over.key_id].next_step
    assert said[covered.key_id].state == said[soon.key_id].state == "warning"
    assert found("API keys", replace(setup, limits=Limits(key_expires_within=timedelta(days=1))))


def test_a_route_whose_secret_is_missing_and_no_route_at_all(
    setup: Setup, tenants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACME__SLACK_URL", raising=False)
    missing, none = found("alert routes", setup)
    assert (missing.state, missing.seen) == (
        "warning", "acme/routes[0]: environment variable ACME__SLACK_URL is not set",
    )  # fmt: skip
    assert "convergence alerts test acme" in missing.next_step
    assert (none.state, "_defaults.yaml" in none.next_step) == ("warning", True)
    monkeypatch.setenv("ACME__SLACK_URL", "slack://a/b/c")
    routes = '\nalerts: {routes: [{severities: [critical, warning], to: "mailto://ops@here.example"}]}\n'
    (tenants / "_defaults.yaml").write_text((tenants / "_defaults.yaml").read_text() + routes)
    (fine,) = found("alert routes", fresh(setup))
    assert fine.state == "ok"


def test_messages_that_cannot_be_delivered(setup: Setup) -> None:
    store = ControlStore.open(setup.settings)
    now = store.now()
    with store.write() as connection:
        outbox.enqueue_message(connection, "one", "acme/routes[0]", "trigger", "{}", now)
        waiting = outbox.claim_next(connection, "acme/routes[0]", "me", now)
        assert waiting is not None
        outbox.mark_failed(connection, waiting, "me", now, error="404 no_such_channel", next_try_at=now, refused=False)
    finding = next(finding for finding in found("alert routes", setup) if "404 no_such_channel" in finding.seen)
    assert finding.state == "broken"
    assert "convergence alerts test acme" in finding.next_step


def test_a_disk_that_is_nearly_full(setup: Setup) -> None:
    free = shutil.disk_usage(setup.settings.home.parent).free
    (warned,) = found("disk", replace(setup, limits=Limits(free_bytes=2 * free, free_bytes_break=free // 2)))
    (broken,) = found("disk", replace(setup, limits=Limits(free_bytes=2 * free, free_bytes_break=2 * free)))
    assert (warned.state, broken.state) == ("warning", "broken")
    assert "CONVERGENCE_HOME" in broken.next_step


def test_a_check_that_raises_or_hangs_holds_up_no_other(setup: Setup) -> None:
    def raises(setup: Setup) -> Iterator[Finding]:
        raise RuntimeError("no luck")

    def hangs(setup: Setup) -> Iterator[Finding]:
        time.sleep(60)
        yield Finding("hangs", "ok", "at last")

    def fine(setup: Setup) -> Iterator[Finding]:
        yield Finding("fine", "ok", "as ever")

    checks = {"raises": raises, "hangs": hangs, "fine": fine, "left out": fine}
    said = list(examine(checks, setup, {"left out": ["fine", "hangs"], "fine": ["left out"]}, seconds=0.3))
    assert [(finding.check, finding.state) for finding in said] == [
        ("raises", "broken"), ("hangs", "broken"), ("fine", "ok"), ("left out", "warning"),
    ]  # fmt: skip
    assert "RuntimeError: no luck" in said[0].seen
    assert "no answer within" in said[1].seen


@contextmanager
def running(environ: Mapping[str, str], log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of Dagster's commands, ended at the end."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [Path(sys.executable).parent / words[0], *words[1:]],
            env=dict(environ), stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
            # `dagster dev` ends its children by SIGINT, which a shell's background jobs ignore, and theirs after them.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for_the_tenants(port: int, log: Path) -> None:
    """Until the webserver at this port shows assets."""
    deadline = time.monotonic() + 120
    while not _assets(port):
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.5)


def _assets(port: int) -> int:
    query = b'{"query": "{ assetNodes { id } }"}'
    with suppress(OSError):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql", query, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return len(json.load(answer)["data"]["assetNodes"])
    return 0


@pytest.fixture
def deployed(variables: dict[str, str], tenants: Path, tmp_path: Path) -> tuple[dict[str, str], int]:
    """The environment of Dagster's processes, and the port that the webserver is to have."""
    port = free_port()
    routes = '\nalerts: {routes: [{severities: [critical, warning], to: "mailto://ops@here.example"}]}\n'
    (tenants / "_defaults.yaml").write_text((tenants / "_defaults.yaml").read_text() + routes)
    variables["CONVERGENCE_DAGSTER_URL"] = f"http://127.0.0.1:{port}"
    dagster_home = tmp_path / "home" / "dagster"
    dagster_home.mkdir(parents=True)
    shutil.copy(ROOT / "dagster.yaml", dagster_home)
    return clean_environment() | variables | {"DAGSTER_HOME": str(dagster_home)}, port


def convergence(environ: Mapping[str, str], *words: str) -> str:
    done = commands.convergence(*words, environ=environ)
    return done.stdout + done.stderr


HOOLI = (
    "tenants", "onboard", "hooli", "--display-name", "Hooli", "--timezone", "UTC", "--template", "gcp_billing", "--with",
    "export_table=a.b", "--start-date", "2026-10-01", "--yes",
)  # fmt: skip


@pytest.mark.soak
def test_a_running_platform_is_well_takes_up_a_new_tenant_and_is_stale_after_an_edit(
    doctor: Doctor, deployed: tuple[dict[str, str], int], tenants: Path, tmp_path: Path
) -> None:
    environ, port = deployed
    log = tmp_path / "dev.log"
    with running(environ, log, "dagster", "dev", "-m", "convergence_assets.definitions", "-p", str(port)):
        wait_for_the_tenants(port, log)
        deadline = time.monotonic() + 120
        code, said = doctor()
        while code and time.monotonic() < deadline:  # the daemon's first heartbeats
            time.sleep(1)
            code, said = doctor()
        assert code == 0, [f for findings in said.values() for f in findings if f["state"] != "ok"]
        assert "has loaded what the files say" in said["code location"][0]["seen"]
        made = convergence(environ, *HOOLI)
        assert f"loaded the code location anew at http://127.0.0.1:{port}" in made
        assert doctor()[1]["code location"][0]["state"] == "ok"
        file = tenants / "hooli" / "tenant.yaml"
        file.write_text(file.read_text().replace("export_table: a.b", "export_table: c.d"))
        _, said = doctor()
        assert said["code location"][0]["state"] == "broken"
        assert "hooli/gcp_billing/gcp_cost_line_items" in said["code location"][0]["seen"]
        ended = convergence(environ, "tenants", "offboard", "hooli")
        assert "loaded the code location anew" in ended
        assert doctor()[1]["code location"][0]["state"] == "ok"


@pytest.mark.soak
def test_a_code_server_that_answers_a_reload_and_loads_nothing_is_found_out(
    doctor: Doctor, deployed: tuple[dict[str, str], int], tmp_path: Path
) -> None:
    environ, port = deployed
    grpc, workspace, log = free_port(), tmp_path / "workspace.yaml", tmp_path / "webserver.log"
    workspace.write_text(f"load_from: [{{grpc_server: {{host: 127.0.0.1, port: {grpc}, location_name: tenants}}}}]\n")
    serve = ("dagster", "api", "grpc", "-m", "convergence_assets.definitions", "-h", "127.0.0.1", "-p", str(grpc))
    with running(environ, tmp_path / "grpc.log", *serve) as server:
        await_listening(grpc, server, tmp_path / "grpc.log")
        with running(environ, log, "dagster-webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)):
            wait_for_the_tenants(port, log)
            made = convergence(environ, *HOOLI)
            assert "tenant hooli is onboarded" in made
            assert "restart the code server" in made, made
            _, said = doctor()
            assert "hooli/gcp_billing/gcp_cost_daily" in said["code location"][0]["seen"]


@pytest.mark.peer
@pytest.mark.slow
def test_on_the_local_bigquery_server_the_warehouse_its_clock_and_permissions_are_well(
    doctor: Doctor, peer: Peer
) -> None:
    _, said = doctor(**peer.variables)
    assert states({name: said[name] for name in ("Google credentials", "warehouse", "permissions", "clock")}) == {
        "Google credentials": {"ok"}, "warehouse": {"ok"}, "permissions": {"ok"}, "clock": {"ok"},
    }  # fmt: skip
