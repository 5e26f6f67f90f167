"""The tenants shared out over code locations: each in one, its days requested by that one alone."""

import re
import shlex
import shutil
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.settings import Settings, SettingsError, Shard
from tests.assets.dagster_server import BIN, await_listening, dagster_dev, environment
from tests.assets.project import TENANTS, Project, hourly
from tests.ports import free_ports

BERLIN = "Europe/Berlin"
RUNS = "{ runsOrError { ... on Runs { results { status tags { key value } } } } }"
LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
  ... on RepositoryLocation { repositories { assetNodes { assetKey { path } } sensors { name } } }
  ... on PythonError { message } } } } } }"""


@given(tenant_id=st.text(min_size=1), of=st.integers(1, 64))
def test_every_tenant_is_in_exactly_one_part(tenant_id: str, of: int) -> None:
    assert sum(Shard(number, of).holds(tenant_id) for number in range(1, of + 1)) == 1


def test_a_thousand_tenants_are_shared_out_evenly() -> None:
    parts = Counter(next(n for n in range(1, 5) if Shard(n, 4).holds(f"tenant{i:04d}")) for i in range(1000))
    assert min(parts.values()) > 200


@pytest.mark.parametrize("part", ["0/4", "5/4", "4", "1/", "/4", "a/b", "1/0", "-1/4", "1/4/2"])
def test_a_part_that_cannot_be_is_refused_with_what_is_expected(part: str) -> None:
    with pytest.raises(SettingsError, match=r"CONVERGENCE_SHARD=.*expected a part of the tenants such as 1/4"):
        Settings.from_env({"CONVERGENCE_SHARD": part})


def test_hosts_of_their_own_share_a_port() -> None:
    words = ["workspace", "--shards", "2", "--host", "code-{n}", "--port", "3030"]
    output = subprocess.run([BIN / "convergence", *words], check=True, capture_output=True, text=True).stdout
    servers = [entry["grpc_server"] for entry in yaml.safe_load(output)["load_from"]]
    assert [(s["host"], s["port"]) for s in servers] == [("code-1", 3030), ("code-2", 3030)]
    assert "CONVERGENCE_SHARD=2/2 dagster code-server start" in output


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_a_generated_workspace_serves_each_tenant_once_and_its_days_arrive(project: Project, tmp_path: Path) -> None:
    yesterday = datetime.now(UTC).astimezone(ZoneInfo(BERLIN)).date() - timedelta(days=1)
    names = [
        "acme",
        next(f"other{n}" for n in range(99) if Shard(1, 2).holds(f"other{n}") != Shard(1, 2).holds("acme")),
    ]
    for name in names:
        shutil.copytree(TENANTS / "acme", tmp_path / "tenants" / name)
        file = tmp_path / "tenants" / name / "tenant.yaml"
        content = (
            file.read_text().replace("paused: true", "paused: false").replace("tenant_id: acme", f"tenant_id: {name}")
        )
        file.write_text(
            content.replace("start_date: 2026-03-01", f'start_date: {yesterday}\n    schedule: "* * * * *"')
        )
    defaults = (TENANTS / "_defaults.yaml").read_text()
    shared = 'access: {"*": {tables: [acme_export.bills]}}\n'
    (tmp_path / "tenants" / "_defaults.yaml").write_text(defaults + shared)
    project.load_bills(list(hourly(yesterday, BERLIN, 1.25)))
    environ = environment(project, CONVERGENCE_TENANTS=str(tmp_path / "tenants"))
    ports = free_ports(2)
    words: list[str | Path] = [BIN / "convergence", "workspace", "--shards", "2", "--port", str(ports[0])]
    generated = subprocess.run(words, check=True, env=environ, capture_output=True, text=True).stdout
    (tmp_path / "workspace.yaml").write_text(generated)
    with dg.DagsterInstance.from_config(environ["DAGSTER_HOME"]) as instance:
        instance.get_runs(limit=1)  # processes that make Dagster's SQLite files at once break them
    servers: list[tuple[subprocess.Popen[bytes], Path]] = []
    with ExitStack() as stack:
        for command in re.findall(r"#   (CONVERGENCE_SHARD=.*)", generated):
            shard, _, *rest = shlex.split(command)
            log = tmp_path / f"{shard[-3]}.log"
            server = subprocess.Popen(
                [BIN / "dagster", *rest], env=environ | dict([shard.split("=")]), cwd=tmp_path,
                stdout=stack.enter_context(log.open("wb")), stderr=subprocess.STDOUT,
            )  # fmt: skip
            stack.callback(server.wait, 120)  # it lets questions end, for up to a minute
            stack.callback(server.terminate)
            servers.append((server, log))
        # A webserver that finds a code server missing shows that error until somebody reloads the location.
        for port, (server, log) in zip(ports, servers, strict=True):
            await_listening(port, server, log)
        ask = stack.enter_context(dagster_dev(environ, workspace=tmp_path / "workspace.yaml"))
        loaded: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + 120
        while not all("repositories" in found for found in loaded.values()) or not loaded:
            assert time.monotonic() < deadline, loaded
            time.sleep(1)
            entries = ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
            loaded = {entry["name"]: entry["locationOrLoadError"] or {} for entry in entries}
        repositories = {name: found["repositories"][0] for name, found in loaded.items()}
        tenants = {
            name: {node["assetKey"]["path"][0] for node in found["assetNodes"]} - {"source"}
            for name, found in repositories.items()
        }
        assert sorted(tenants) == ["tenants-1-of-2", "tenants-2-of-2"]
        assert sorted(map(sorted, tenants.values())) == sorted([name] for name in names)
        sensors = {name: {sensor["name"] for sensor in found["sensors"]} for name, found in repositories.items()}
        assert {"ledger", "stuck_runs", "alerts", "catch_up"} <= sensors["tenants-1-of-2"]
        assert sensors["tenants-2-of-2"] == {"catch_up", "late_data"}
        runs: list[dict[str, Any]] = []
        deadline = time.monotonic() + 200
        while len(runs) < 2 or not all(run["status"] in ("SUCCESS", "FAILURE") for run in runs):
            assert time.monotonic() < deadline, runs
            time.sleep(1)
            runs = ask(RUNS)["runsOrError"]["results"]
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
    assert sorted(tag["tenant"] for tag in tags) == sorted(names)
