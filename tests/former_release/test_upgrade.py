"""What a former release has left behind goes on: its dagster.yaml, its home, and all that is stored in it."""

import json
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import commands
from tests.clean_environment import clean_environment
from tests.cli.test_up import answers, family_of, wait_for
from tests.ports import free_port
from tests.postgres.postgres_server import Postgres

FORMER = Path(__file__).parent
CONVERGENCE = Path(sys.executable).with_name("convergence")
TENANT, NEW_DAY = "globex", "2026-10-08"
NEW_TABLES = {"gcp_commitment_fees", "gcp_commitments", "gcp_charges"}
"""Those that the former release has not."""
TABLES = ("gcp_cost_line_items", "gcp_cost_daily", "gcp_focus", *NEW_TABLES)
RUN = tuple(table for table in TABLES if table != "gcp_focus")
"""Those that a run makes before the upgrade of the others."""
PUBLISHED = "SELECT COUNT(DISTINCT usage_date) AS days, SUM(net_cost) AS net FROM globex.gcp_cost_daily WHERE usage_date <= '2026-10-07'"


def unpacked(folder: Path) -> dict[str, str]:
    """The former release's tenants and home in a folder, and the variables that name them."""
    with tarfile.open(FORMER / "home.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    (folder / "workspace.yaml").write_text("load_from:\n  - python_module: convergence_assets.definitions\n")
    return {"CONVERGENCE_HOME": str(folder / "home"), "DAGSTER_HOME": str(folder / "home" / "dagster")}


def test_a_former_home_is_previewed_and_what_its_own_release_made_is_known_by_its_text(tmp_path: Path) -> None:
    environ = clean_environment() | unpacked(tmp_path) | {"CONVERGENCE_WAREHOUSE": "embedded"}

    def answer(*words: str) -> tuple[int, list[dict[str, Any]]]:
        done = commands.convergence(*words, "--json", environ=environ, folder=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    code, (preview,) = answer("preview", "--days", "2")
    touched = {one["table"] for one in preview["touched"]}
    assert touched <= set(TABLES)
    assert code in (0, 3)
    assert not [one["problem"] for one in preview["previewed"] if one["problem"]]
    why = {one["table"]: one["why"] for one in preview["previewed"]}
    assert {name for name, reason in why.items() if reason == "new"} <= NEW_TABLES
    changed = {name for name, reason in why.items() if reason == "by an unknown definition"}
    assert {name for name in touched - changed - NEW_TABLES if not why[name].startswith("reads gcp_")} == set()
    _, stale = answer("preview", "--stale")
    assert {(one["table"], tuple(one["differs"])) for one in stale} == {(name, ("unknown",)) for name in changed}
    assert [one["table"] for one in answer("upgrade", "--plan")[1]] == ["gcp_focus"]
    code, (plan,) = answer("backfill", "--stale", "--plan")
    assert (code, bool(plan["plan"])) == (0, bool(touched))


FIRST_MADE = ("gcp_cost_line_items", "gcp_commitment_fees", "gcp_commitments", "gcp_charges", "gcp_cost_daily")
BILLED = "SELECT {day} AS day, SUM(BilledCost) AS billed FROM globex.{table} GROUP BY 1 ORDER BY 1"


@pytest.mark.timeout(300)
def test_a_former_homes_focus_table_is_upgraded_and_rolled_back(tmp_path: Path) -> None:
    environ = clean_environment() | unpacked(tmp_path) | {"CONVERGENCE_WAREHOUSE": "embedded"}

    def convergence(*words: str) -> tuple[int, str]:
        done = commands.convergence(*words, environ=environ | {"COLUMNS": "400"}, folder=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def billed(day: str, table: str = "gcp_focus") -> list[dict[str, object]]:
        return state(environ, tmp_path, "query", BILLED.format(day=day, table=table))

    def exported() -> tuple[str, str]:
        code, output = convergence("export", "focus", TENANT, "--month", "2026-10", "--out", "exports")
        assert code == 0, output
        file = tmp_path / "exports" / f"{TENANT}-gcp_focus-2026-10-focus-1.2.csv"
        return file.read_text().partition("\n")[0].rpartition(",")[2].strip('"\n'), output

    before = billed("usage_date")
    (plan,) = state(environ, tmp_path, "upgrade", "--plan")
    assert (plan["table"], plan["from"], plan["to"], plan["days"]) == ("gcp_focus", 1, 2, len(before))
    assert plan["makes_first"] == dict.fromkeys(FIRST_MADE, len(before))
    column, output = exported()
    assert column == "x_UsageDate"
    assert "gcp_focus is version 1, and its step declares version 2" in output
    # A run before the upgrade: the other tables go on, and it says what to do.
    code, output = convergence("run", TENANT, "gcp_billing", "--partition", NEW_DAY)
    assert code == 1
    assert "table globex.gcp_focus is version 1, and its step declares version 2" in output
    assert "`convergence upgrade TENANT --plan`" in output
    sql = f"SELECT COUNT(*) AS n FROM globex.gcp_charges WHERE usage_date = '{NEW_DAY}'"
    assert int(query(environ, tmp_path, sql)["n"]) > 0
    # Purchases and credits are rows of their own now, and what they are for has other quantities.
    code, output = convergence("upgrade", TENANT, "--apply")
    assert code == 1
    assert "BilledCost" not in output
    digest = output.partition("--accept-changes gcp_focus=")[2].partition(",")[0]
    code, output = convergence("upgrade", TENANT, "--apply", "--accept-changes", f"gcp_focus={digest}")
    assert code == 0, output
    assert "version 1 -> 2; version 1 is kept as globex.gcp_focus__v1" in output
    assert billed("x_UsageDate") == billed("usage_date", "gcp_focus__v1") == before
    column, output = exported()
    assert (column, "declares version" in output) == ("x_UsageDate", False)
    assert state(environ, tmp_path, "upgrade", "--plan") == []
    code, output = convergence("upgrade", TENANT, "--rollback", "--table", "gcp_focus")
    assert code == 0, output
    assert billed("usage_date") == before


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("postgres")
@pytest.mark.parametrize("file", ["dagster.yaml", "dagster.postgres.yaml"])
def test_a_former_home_is_served_and_run_with_its_own_dagster_yaml(
    tmp_path: Path, file: str, request: pytest.FixtureRequest
) -> None:
    own = unpacked(tmp_path)
    (tmp_path / "home" / "dagster" / "dagster.yaml").write_text((FORMER / file).read_text())
    if file == "dagster.postgres.yaml":
        postgres: Postgres = request.getfixturevalue("postgres")
        own |= {
            "DAGSTER_PG_HOST": "127.0.0.1", "DAGSTER_PG_PORT": str(postgres.port), "DAGSTER_PG_USERNAME": "postgres",
            "DAGSTER_PG_PASSWORD": postgres.password, "DAGSTER_PG_DB": postgres.database(),
            "CONVERGENCE_WAREHOUSE": "embedded",
        }  # fmt: skip
    environ = clean_environment() | own
    before = query(environ, tmp_path, PUBLISHED)
    assert int(before["days"]) >= 5
    port, api_port = free_port(), free_port()
    with (tmp_path / "log").open("wb") as log:
        up = subprocess.Popen(
            [CONVERGENCE, "up", "--port", str(port), "--api-port", str(api_port)],
            cwd=tmp_path, env=environ, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def wait(what: Callable[[], object]) -> None:
        wait_for(what, up, tmp_path / "log")

    try:
        wait(lambda: answers(f"http://127.0.0.1:{port}/server_info"))
        wait(lambda: answers(f"http://127.0.0.1:{api_port}/health/ready"))
        launched = launch(port)
        wait(lambda: status_of(port, launched) == "SUCCESS")
        wait(lambda: last_run(environ, tmp_path) == ("succeeded", NEW_DAY))
        if file == "dagster.yaml":  # Postgres has nothing of the home's own store
            assert state(environ, tmp_path, "keys", "list", TENANT)
            assert pipeline(environ, tmp_path)["paused"]
    finally:
        up.terminate()
        up.wait(30)
        for process in family_of(tmp_path / "home"):
            process.kill()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert query(environ, tmp_path, PUBLISHED) == before
    rows = query(environ, tmp_path, f"SELECT COUNT(*) AS n FROM globex.gcp_cost_daily WHERE usage_date = '{NEW_DAY}'")
    assert int(rows["n"]) > 0


def state(environ: dict[str, str], folder: Path, *words: str) -> list[dict[str, object]]:
    """What a command shows, an object a line."""
    done = subprocess.run(
        [CONVERGENCE, *words, "--json"], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def query(environ: dict[str, str], folder: Path, sql: str) -> dict[str, str]:
    (row,) = state(environ, folder, "query", sql)
    return {name: str(value) for name, value in row.items()}


def pipeline(environ: dict[str, str], folder: Path) -> dict[str, object]:
    (platform,) = state(environ, folder, "status", TENANT)
    pipelines = platform["pipelines"]
    assert isinstance(pipelines, list)
    return dict(pipelines[0])


def last_run(environ: dict[str, str], folder: Path) -> tuple[str, str] | None:
    run = pipeline(environ, folder)["last_run"]
    return (run["status"], run["partition"]) if isinstance(run, dict) else None


def ask(port: int, text: str, **variables: object) -> dict[str, dict[str, object]]:
    """The webserver's answer."""
    body = json.dumps({"query": text, "variables": variables}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer)["data"])


def status_of(port: int, run_id: str) -> object:
    text = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    return ask(port, text, id=run_id)["runOrError"].get("status")


def launch(port: int) -> str:
    """Request a run of the day as the UI does; its id."""
    params = {
        "selector": {
            "repositoryLocationName": "convergence_assets.definitions", "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB", "assetSelection": [{"path": [TENANT, "gcp_billing", table]} for table in RUN],
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": NEW_DAY}]},
    }  # fmt: skip
    text = (
        "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) "
        "{ __typename ... on LaunchRunSuccess { run { runId } } } }"
    )
    launched = ask(port, text, p=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = launched["run"]
    assert isinstance(run, dict)
    return str(run["runId"])
