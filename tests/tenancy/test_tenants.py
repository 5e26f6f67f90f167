"""What a tenant's files make of it: whose value wins, what defines a table, what loading costs."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.pipelines.catalog import LoadedTemplate, library, load_template
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.tenancy.tenant_file import valid_cron

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 23)

Load = Callable[..., TenantRegistry]
Edit = Callable[[str, str, str], int]


def test_a_tenants_own_value_wins_over_the_shared_one(load: Load) -> None:
    tenants = load().tenants
    assert tenants["acme"].pipelines[0].schedule == "0 6 * * *"
    assert tenants["globex"].pipelines[0].schedule == "30 5 * * *"
    assert tenants["globex"].plan.max_concurrent_runs == 4
    assert tenants["acme"].plan.max_concurrent_runs == 8


def test_shared_alert_routes_hold_where_a_tenant_says_none(tenants: Path, load: Load) -> None:
    with (tenants / "_defaults.yaml").open("a") as file:
        file.write('alerts: {routes: [{severities: [warning], to: "${env:SHARED}"}]}\n')
    found = {t.tenant_id: [r.to.variables for r in t.alert_routes] for t in load().tenants.values()}
    assert found == {"acme": [("ACME__SLACK_URL",)], "globex": [("SHARED",)], "initech": [("SHARED",)]}


def test_a_tenant_that_is_not_enabled_is_known_and_marked(load: Load, edit: Edit) -> None:
    edit("acme/tenant.yaml", "plan: enterprise", "enabled: false")
    assert load().tenants["acme"].enabled is False


@pytest.mark.parametrize("dataset", ["information_schema", "convergence_meta", "Admin"])
def test_a_reserved_name_is_no_dataset_either(load: Load, edit: Edit, dataset: str) -> None:
    line = edit("acme/tenant.yaml", "{location: EU}", f"{{dataset: {dataset}}}")
    (problem,) = load().rejected["acme"].problems
    assert "is reserved" in problem.message
    assert problem.line == line


@pytest.mark.parametrize("start", ["1026-10-01", "2027-01-01"])
def test_a_pipeline_starts_in_our_time(load: Load, edit: Edit, start: str) -> None:
    line = edit("acme/tenant.yaml", "start_date: 2026-10-01", f"start_date: {start}")
    assert [p.line for p in load().rejected["acme"].problems] == [line]


@pytest.mark.parametrize(
    "cron", ["0 0 * * 5L", "0 0 LW * *", "0 0 * * 5#2", "@daily", "0 24 * * *", "0 0 30 2 *", "* * *"]
)
def test_a_schedule_that_schedulers_read_differently_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match="no cron schedule"):
        valid_cron(cron)


@pytest.mark.parametrize("cron", ["0 6 * * *", "*/15 0-5 1,15 JAN,jul MON-FRI", "1/2 * * * 7"])
def test_dagster_takes_every_schedule_that_is_accepted(cron: str) -> None:
    import dagster as dg

    schedule = dg.ScheduleDefinition(name="s", cron_schedule=valid_cron(cron), job_name="j")
    assert schedule.cron_schedule == cron


@pytest.mark.parametrize("owner", ["bill@sub_domain.example", "bill@x.technology", "bill", "team:", "team:a b"])
def test_an_owner_that_dagster_would_refuse_is_a_problem_of_its_file(load: Load, edit: Edit, owner: str) -> None:
    line = edit("acme/tenant.yaml", "finops@acme.example", f'"{owner}"')
    (problem,) = load().rejected["acme"].problems
    assert problem.expected == "an e-mail address or team:name"
    assert problem.line == line


def test_two_pipelines_cannot_make_one_table(tenants: Path, load: Load) -> None:
    own = tenants / "initech" / "pipelines"
    shutil.copytree(own / "total_cost", own / "other_cost")
    text = (own / "other_cost" / "pipeline.yaml").read_text()
    (own / "other_cost" / "pipeline.yaml").write_text(text.replace("name: total_cost", "name: other_cost", 1))
    with (tenants / "initech" / "tenant.yaml").open("a") as file:
        file.write("  - {template: other_cost, start_date: 2026-10-01}\n")
    messages = [p.message for p in load().rejected["initech"].problems]
    assert "pipelines total_cost and other_cost both make table licences" in messages


def test_a_changed_threshold_is_checked_like_the_suite_itself(load: Load, edit: Edit) -> None:
    cases = {
        "{min_value: -2000000, max_value: 2000000}": "{min_value: 5, max_value: 1}",
        "{min_value: 5, max_value: 1}": "{min_value: [5]}",
        "{min_value: [5]}": "{mostly: 95}",
        "{mostly: 95}": "{severity: fatal}",
        "{severity: fatal}": "{column: net_cots}",
        "{column: net_cots}": "{max_valeu: 5}",
    }
    for old, new in cases.items():
        line = edit("initech/tenant.yaml", old, new)
        assert [p.line for p in load().rejected["initech"].problems] == [line], new


def test_a_changed_query_is_checked_in_the_tenants_file(load: Load, edit: Edit) -> None:
    line = edit(
        "initech/tenant.yaml",
        "        net_cost_is_plausible:",
        "        net_cost_equals_the_line_items: {unexpected_rows_query: SELECT usage_date FROM nowhere WHERE}\n"
        "        net_cost_is_plausible:",
    )
    (problem,) = load().rejected["initech"].problems
    assert problem.line == line
    edit("initech/tenant.yaml", "FROM nowhere WHERE}", "FROM nowhere}")
    (problem,) = load().rejected["initech"].problems
    assert (problem.line, problem.key) == (line, "nowhere")


DEFINING = [
    ("total_cost_daily.sql", "s.total AS net_cost", "s.total + 0 AS net_cost", {"total_cost_daily"}),
    ("pipeline.yaml", "{name: vendor, type: STRING, mode: REQUIRED}", "{name: vendor, type: STRING}", {"licences"}),
    ("pipeline.yaml", "/licences/{date}", "/elsewhere/{date}", {"licences"}),
    ("expectations/licences.yaml", "value_set: [INR]", "value_set: [INR, EUR]", {"licences"}),
    ("total_cost_daily.sql", "-- The cloud's", "--  The cloud's", {"total_cost_daily"}),
    ("pipeline.yaml", "name: total_cost\n", "# The sum of it all.\nname: total_cost\n", set()),
    ("pipeline.yaml", "max_pipeline_duration_minutes: 30", "max_pipeline_duration_minutes: 40", set()),
]


@pytest.mark.parametrize(("file", "old", "new", "changed"), DEFINING, ids=[f"{d[0]}: {d[2]}" for d in DEFINING])
def test_a_tables_hash_follows_its_sql_schema_suite_and_parameters(
    load: Load, edit: Edit, file: str, old: str, new: str, changed: set[str]
) -> None:
    def hashes() -> dict[str, str]:
        return {s.table: s.definition_hash for p in load().tenants["initech"].pipelines for s in p.steps}

    before = hashes()
    edit(f"initech/pipelines/total_cost/{file}", old, new)
    after = hashes()
    assert {table for table in before if before[table] != after[table]} == changed


def test_a_file_url_is_a_tenants_folder(tenants: Path) -> None:
    assert set(load_registry(f"file://{tenants}", None, today=TODAY).tenants) == {"acme", "globex", "initech"}


def test_hidden_files_and_folders_are_no_tenants(tenants: Path, load: Load) -> None:
    before = load().tenants["acme"].config_version
    (tenants / ".git").mkdir()
    (tenants / "acme" / ".backup").mkdir()
    (tenants / "acme" / ".backup" / "tenant.yaml").write_text("not: read")
    registry = load()
    assert not registry.problems
    assert registry.tenants["acme"].config_version == before


def test_a_hundred_tenants_load_in_a_moment_of_cpu(tmp_path: Path) -> None:
    (tmp_path / "_defaults.yaml").write_bytes((ROOT / "tenants" / "_defaults.yaml").read_bytes())
    text = (ROOT / "tenants" / "initech" / "tenant.yaml").read_text()
    for i in range(100):
        folder = tmp_path / f"tenant_{i:03}"
        folder.mkdir()
        own = text.replace("tenant_id: initech", f"tenant_id: {folder.name}")
        (folder / "tenant.yaml").write_text(own.replace("initech_billing", f"{folder.name}_billing"))
    own_files = ROOT / "tenants" / "initech" / "pipelines" / "total_cost"
    files = {f.relative_to(own_files).as_posix(): f.read_bytes() for f in own_files.rglob("*") if f.is_file()}
    shared: dict[str, LoadedTemplate] = {**library(), "total_cost": load_template("total_cost", "library/x", files)}
    begun = time.process_time()
    registry = load_registry(str(tmp_path), None, today=TODAY, templates=shared)
    assert len(registry.tenants) == 100, [p.render() for p in registry.problems[:3]]
    assert time.process_time() - begun < 3


def test_loading_tenants_imports_nothing_heavy() -> None:
    heavy = ("great_expectations", "pandas", "google.cloud", "scipy", "duckdb", "pyarrow")
    code = (
        "import sys, datetime\nfrom convergence_assets.tenancy.registry import load_registry\n"
        f"r = load_registry({str(ROOT / 'tenants')!r}, None, today=datetime.date(2026, 11, 23))\n"
        f"print(len(r.tenants), [m for m in {heavy!r} if m in sys.modules])\n"
    )
    for _ in range(2):  # the first load may have to work out what became of the SQL
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "3 []\n", done.stderr[-2000:]
