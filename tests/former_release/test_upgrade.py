"""What a former release has left behind goes on: its dagster.yaml, its home, and all that is stored in it."""

import json
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import convergence_assets
from tests import commands
from tests.clean_environment import clean_environment
from tests.cli.test_up import answers, family_of, wait_for
from tests.ports import free_port
from tests.postgres.postgres_server import Postgres

FORMER = Path(__file__).parent
LIBRARY = Path(convergence_assets.__file__).parent / "pipelines" / "library"
CONVERGENCE = Path(sys.executable).with_name("convergence")
TENANT, NEW_DAY = "globex", "2026-10-08"
NEW_TABLES = {"gcp_commitment_fees", "gcp_commitments", "gcp_charges"}
"""Those that the former release has not."""
TABLES = ("gcp_cost_line_items", "gcp_cost_daily", "gcp_focus", *NEW_TABLES)
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
    assert answer("upgrade", "--plan") == (0, [])
    code, (plan,) = answer("backfill", "--stale", "--plan")
    assert (code, bool(plan["plan"])) == (0, bool(touched))


def test_a_table_of_a_former_home_is_upgraded_and_rolled_back(tmp_path: Path) -> None:
    environ = clean_environment() | unpacked(tmp_path) | {"CONVERGENCE_WAREHOUSE": "embedded"}

    def convergence(*words: str) -> tuple[int, str]:
        done = commands.convergence(*words, environ=environ, folder=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    before = query(environ, tmp_path, PUBLISHED)
    own = tmp_path / "tenants" / TENANT / "pipelines" / "gcp_billing"
    shutil.copytree(LIBRARY / "gcp_billing", own)
    for file in (own / "pipeline.yaml", own / "gcp_cost_daily.sql", own / "expectations" / "gcp_cost_daily.yaml"):
        text = file.read_text().replace("adjustment_line_items", "corrections")
        file.write_text(text.replace("    table: gcp_cost_daily\n", "    table: gcp_cost_daily\n    version: 2\n"))
    code, output = convergence("validate")
    assert code == 0, output
    code, output = convergence("upgrade", TENANT, "--apply")
    assert code == 0, output
    assert "version 1 -> 2; version 1 is kept as globex.gcp_cost_daily__v1" in output
    assert query(environ, tmp_path, PUBLISHED) == before
    assert query(environ, tmp_path, PUBLISHED.replace("gcp_cost_daily", "gcp_cost_daily__v1")) == before
    assert "corrections" in query(environ, tmp_path, "SELECT * FROM globex.gcp_cost_daily LIMIT 1")
    code, output = convergence("upgrade", TENANT, "--rollback", "--table", "gcp_cost_daily")
    assert code == 0, output
    assert "adjustment_line_items" in query(environ, tmp_path, "SELECT * FROM globex.gcp_cost_daily LIMIT 1")
    assert query(environ, tmp_path, PUBLISHED) == before


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
            "jobName": "__ASSET_JOB", "assetSelection": [{"path": [TENANT, "gcp_billing", table]} for table in TABLES],
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
