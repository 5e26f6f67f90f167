"""`convergence doctor` beside a running platform: Dagster's own processes, and a tenant that comes and goes."""

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests import commands
from tests.assets.dagster_server import await_listening
from tests.clean_environment import clean_environment
from tests.cli.doctor_findings import Doctor
from tests.ports import free_port

ROOT = Path(__file__).parents[2]


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
        code, output = doctor()
        while code and time.monotonic() < deadline:  # the daemon's first heartbeats
            time.sleep(1)
            code, output = doctor()
        assert code == 0, [f for findings in output.values() for f in findings if f["state"] != "ok"]
        assert "has loaded what the files say" in output["code location"][0]["seen"]
        done = convergence(environ, *HOOLI)
        assert f"loaded the code location anew at http://127.0.0.1:{port}" in done
        assert doctor()[1]["code location"][0]["state"] == "ok"
        file = tenants / "hooli" / "tenant.yaml"
        file.write_text(file.read_text().replace("export_table: a.b", "export_table: c.d"))
        _, output = doctor()
        assert output["code location"][0]["state"] == "broken"
        assert "hooli/gcp_billing/gcp_cost_line_items" in output["code location"][0]["seen"]
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
            done = convergence(environ, *HOOLI)
            assert "tenant hooli is onboarded" in done
            assert "restart the code server" in done, done
            _, output = doctor()
            assert "hooli/gcp_billing/gcp_cost_daily" in output["code location"][0]["seen"]
