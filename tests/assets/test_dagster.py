"""The assets as plain Dagster runs, shows and backfills them."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.cli.run import Definitions, RunResult
from tests.assets.dagster_server import dagster_dev, environment
from tests.assets.project import TENANTS, Project, hourly
from tests.dagster_homes import dagster_at

BERLIN = "Europe/Berlin"
DAY = date(2026, 3, 10)
WEEK = [DAY + timedelta(days=n) for n in range(7)]
THREE_DAYS = WEEK[:3]
LINES, TOTALS = dg.AssetKey(["acme", "demo_costs", "lines"]), dg.AssetKey(["acme", "demo_costs", "totals"])
BIN = Path(sys.executable).parent


def run(project: Project, instance: dg.DagsterInstance, first: date, last: date) -> RunResult:
    return Definitions(project.settings).run(instance, project.tenant, project.tenant.pipelines[0], first, last)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path / "dagster") as found:
        yield found


def test_a_run_reports_every_check_once_and_materialises_every_table(
    project: Project, instance: dg.DagsterInstance
) -> None:
    project.load_bills(hourly(DAY, BERLIN, 1.25))
    result = run(project, instance, DAY, DAY)
    assert result.succeeded, result.failure
    names = [(c.table, c.name) for c in result.checks]
    assert len(names) == len(set(names)) == 6 + 2
    assert all(c.passed for c in result.checks)
    assert result.published == {"lines": {"2026-03-10": 24}, "totals": {"2026-03-10": 1}}
    assert instance.get_materialized_partitions(LINES) == {"2026-03-10"}


def test_a_range_with_a_bad_day_records_the_good_days_alone_and_skips_what_is_downstream(
    project: Project, instance: dg.DagsterInstance
) -> None:
    bills = [row for day in WEEK for row in hourly(day, BERLIN, 9000.0 if day == WEEK[3] else 1.25)]
    project.load_bills(bills)
    result = run(project, instance, WEEK[0], WEEK[-1])
    assert not result.succeeded
    assert result.failure is not None
    for named in ("tenant acme", "pipeline demo_costs", "2026-03-13: cost_is_possible", "Next:"):
        assert named in result.failure
    good = {d.isoformat() for d in WEEK if d != WEEK[3]}
    assert instance.get_materialized_partitions(LINES) == good
    assert instance.get_materialized_partitions(TOTALS) == set()
    failed = [c for c in result.checks if not c.passed and c.severity == "critical"]
    assert [(c.name, c.partitions) for c in failed] == [("cost_is_possible", ("2026-03-13",))]


def test_a_range_with_good_days_materialises_each_of_its_partitions(
    project: Project, instance: dg.DagsterInstance
) -> None:
    project.load_bills([row for day in WEEK for row in hourly(day, BERLIN, 1.25)])
    result = run(project, instance, WEEK[0], WEEK[-1])
    assert result.succeeded, result.failure
    assert instance.get_materialized_partitions(TOTALS) == {d.isoformat() for d in WEEK}


def test_a_failed_warehouse_call_names_its_class_and_remedy(project: Project, instance: dg.DagsterInstance) -> None:
    result = run(project, instance, DAY, DAY)
    assert not result.succeeded
    assert result.failure is not None
    assert "dataset acme_export does not exist" in result.failure
    assert "Next: Check the name" in result.failure


@pytest.mark.live
def test_the_dagster_command_line_materialises_a_tenant_by_its_keys(project: Project) -> None:
    project.load_bills(hourly(DAY, BERLIN, 1.25))
    done = subprocess.run(
        [BIN / "dagster", "asset", "materialize", "-m", "convergence_assets.definitions",
         "--select", "key:acme/*", "--partition", DAY.isoformat()],
        env=environment(project), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert [r["n"] for r in project.read("SELECT COUNT(*) AS n FROM acme.totals")] == [1]


@pytest.mark.slow
def test_a_bad_tenant_is_marked_and_the_others_load_and_strict_mode_fails(project: Project, tmp_path: Path) -> None:
    tenants = tmp_path / "tenants"
    shutil.copytree(TENANTS, tenants)
    bad = tenants / "badco"
    bad.mkdir()
    (bad / "tenant.yaml").write_text("tenant_id: badco\ndisplay_name: Bad\ntimezon: UTC\npipelines: []\n")
    # A file manager's copy of a folder has a name that Dagster allows for no group.
    for name in ("acme (copy)", "acme [copy]"):
        shutil.copytree(tenants / "acme", tenants / name)
    code = (
        "import json, convergence_assets.definitions as d\n"
        "r = d.defs().get_repository_def() if callable(d.defs) else d.defs.get_repository_def()\n"
        "print(json.dumps([k.to_user_string() for k in r.asset_graph.get_all_asset_keys()]))\n"
    )
    environ = environment(project, CONVERGENCE_TENANTS=str(tenants))
    listed = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    keys = json.loads(listed.stdout.splitlines()[-1]) if listed.returncode == 0 else pytest.fail(listed.stderr[-2000:])
    assert {"badco/config", "acme/demo_costs/lines", "acme/demo_costs/totals"} <= set(keys)
    validate: list[str | Path] = [BIN / "dagster", "definitions", "validate", "-m", "convergence_assets.definitions"]
    strict = subprocess.run(
        validate, env=environ | {"CONVERGENCE_STRICT": "1"}, capture_output=True, text=True, check=False
    )
    assert strict.returncode != 0
    assert "badco/tenant.yaml:3: timezon: unknown key" in strict.stdout + strict.stderr


@pytest.mark.live
@pytest.mark.timeout(240)
def test_a_backfill_from_the_ui_publishes_every_day(project: Project) -> None:
    project.load_bills([row for day in THREE_DAYS for row in hourly(day, BERLIN, 1.25)])
    with dagster_dev(environment(project)) as ask:
        launched = ask(
            """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
                 __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            p={
                "assetSelection": [{"path": list(LINES.path)}, {"path": list(TOTALS.path)}],
                "partitionNames": [d.isoformat() for d in THREE_DAYS],
            },
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        status = "REQUESTED"
        deadline = time.monotonic() + 180
        while status in ("REQUESTED", "CANCELING") and time.monotonic() < deadline:
            time.sleep(1)
            found = ask(
                "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }",
                id=launched["backfillId"],
            )
            status = found["partitionBackfillOrError"]["status"]
    assert status == "COMPLETED_SUCCESS"
    assert [r["n"] for r in project.read("SELECT COUNT(*) AS n FROM acme.totals")] == [3]
