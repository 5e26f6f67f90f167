"""Which tenants are served, and what is said of the others."""

import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import fsspec
import pytest

from convergence_assets.assets.schema_mapping import expectations
from convergence_assets.pipelines.catalog import load_template
from convergence_assets.tenancy.accepted_versions import AcceptedStore
from convergence_assets.tenancy.folder import UnreadableFolder
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.secrets import MissingSecret, Secret
from convergence_assets.tenancy.tenant import TenantRegistry

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 23)


def load(tenants: Path, accepted: Path | None = None) -> TenantRegistry:
    return load_registry(str(tenants), accepted, today=TODAY)


def edit(file: Path, old: str, new: str) -> int:
    """Replace once; the line (from 1) of the edit."""
    text = file.read_text()
    assert old in text, (old, text)
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


RULES: list[tuple[str, str, str]] = [
    ("timezone: Europe/Berlin", "timezon: Europe/Berlin", "unknown key; expected one of.*did you mean 'timezone'"),
    ("timezone: Europe/Berlin", "timezone: Europe/Berln", "no IANA timezone.*did you mean 'Europe/Berlin'"),
    ("tenant_id: acme", "tenant_id: acme2", "'acme2' is not the folder's name; expected 'acme'"),
    ("tenant_id: acme", "tenant_id: convergence_x", "reserved"),
    ("tenant_id: acme", "tenant_id: admin", "reserved"),
    ("tenant_id: acme", "tenant_id: Acme", "not valid here"),
    ("plan: enterprise", "plan: enterprize", "unknown plan 'enterprize'.*did you mean 'enterprise'"),
    ("template: gcp_billing", "template: gcp_biling", "unknown template.*did you mean 'gcp_billing'"),
    ("start_date: 2026-10-01", "start_date: 2027-10-01", "in the future"),
    ("start_date: 2026-10-01", "start_date: soon", "a date like 2026-10-01"),
    ("export_table:", "export_tabel:", "did you mean 'export_table'"),
    ("export_table: acme_billing_export.gcp", "export_table: gcp", "dataset.table or project.dataset.table"),
    ("owners: [finops@acme.example]", "owners: finops", "expected a list"),
    ("severities: [critical]", "severities: [critcal]", "did you mean 'critical'"),
    ("display_name: Acme Rockets", "display_name: [Acme]", "expected text"),
    ("    start_date: 2026-10-01", '    start_date: 2026-10-01\n    schedule: "61 * * * *"', "no cron schedule"),
    ("    start_date: 2026-10-01", "    start_date: 2026-10-01\n    thresholds: {gcp_cost_dayly: {a: {}}}",
     "no step makes this table.*did you mean 'gcp_cost_daily'"),
    ("    start_date: 2026-10-01", "    start_date: 2026-10-01\n    thresholds: {gcp_cost_daily: {no_such: {mostly: 1}}}",
     "no such check"),
    ("    start_date: 2026-10-01", "    start_date: 2026-10-01\n"
     "    thresholds: {gcp_focus: {BilledCost-C-003-N: {severity: info}}}", "did you mean 'BilledCost-C-003-M'"),
    ("    start_date: 2026-10-01", "    start_date: 2026-10-01\n"
     "    thresholds: {gcp_focus: {BilledCost-C-003-M: {severity: warn}}}", "did you mean 'warning'"),
    ("    start_date: 2026-10-01", "    start_date: 2026-10-01\n"
     "    thresholds: {gcp_focus: {BilledCost-C-003-M: {mostly: 1, severity: info}}}", "a rule has no such argument"),
    ("    start_date: 2026-10-01", "    start_date: 2026-10-01\n    expectations: {gcp_cost_daily: "
     "[{type: expect_column_values_to_not_be_nul, kwargs: {column: net_cost}}]}", "did you mean 'expect_column_values_to_not_be_null'"),
    ("    start_date: 2026-10-01", "    start_date: 2026-10-01\n    expectations: {gcp_cost_daily: "
     "[{type: expect_column_values_to_not_be_null, kwargs: {column: net_cots}}]}", "did you mean 'net_cost'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), RULES, ids=[n.strip().split("\n")[-1][:60] for _, n, _ in RULES])
def test_a_mistake_in_a_tenant_file_is_named_with_its_line(tenants: Path, old: str, new: str, message: str) -> None:
    import re

    file = tenants / "acme" / "tenant.yaml"
    line = edit(file, old, new) + new.count("\n")
    registry = load(tenants)
    assert set(registry.tenants) == {"globex", "initech"}
    problems = registry.rejected["acme"].problems
    matching = [p for p in problems if re.search(message, p.render())]
    assert matching, [p.render() for p in problems]
    assert matching[0].file.endswith("acme/tenant.yaml")
    assert matching[0].line is not None
    assert abs(matching[0].line - line) <= 1, (matching[0].render(), line)


def test_all_mistakes_are_reported_and_not_the_first_alone(tenants: Path) -> None:
    edit(tenants / "acme" / "tenant.yaml", "plan: enterprise", "plan: gold")
    edit(tenants / "acme" / "tenant.yaml", "start_date: 2026-10-01", "start_date: 2030-01-01")
    edit(tenants / "globex" / "tenant.yaml", "timezone:", "timezome:")
    problems_shown = [p.render() for p in load(tenants).problems]
    for mistake in ("'gold'", "2030-01-01", "timezome"):
        assert any(mistake in line for line in problems_shown), problems_shown


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: b"\xff\xfe" + text, "not UTF-8"),
        (lambda text: b"", "empty"),
        (lambda text: b"- a\n- b\n", "not a mapping"),
        (lambda text: text + b"tenant_id: acme\n", "key given twice"),
        (lambda text: text.replace(b"plan:", b"\tplan:"), "not YAML"),
        (lambda text: text + b"alias: &a [1]\nother: [*a, *a]\n", "anchors and aliases"),
        (lambda text: b"a: " + b"[" * 500 + b"]" * 500, "nested too deeply"),
    ],
)
def test_a_damaged_file_is_one_clear_problem(tenants: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    file = tenants / "acme" / "tenant.yaml"
    file.write_bytes(damage(file.read_bytes()))
    registry = load(tenants)
    assert "acme" not in registry.tenants
    assert any(message in p.render() for p in registry.rejected["acme"].problems), [
        p.render() for p in registry.problems
    ]


def test_a_bad_edit_leaves_the_tenant_on_its_last_accepted_version(tenants: Path, tmp_path: Path) -> None:
    accepted = tmp_path / "accepted"
    before = load(tenants, accepted).tenants["acme"]
    edit(tenants / "acme" / "tenant.yaml", "plan: enterprise", "plan: gold")
    registry = load(tenants, accepted)
    assert registry.tenants["acme"] == before
    assert registry.rejected["acme"].last_accepted == before.config_version
    edit(tenants / "acme" / "tenant.yaml", "plan: gold", "plan: starter")
    assert load(tenants, accepted).tenants["acme"].plan.max_concurrent_runs == 2


def test_a_broken_defaults_file_leaves_its_last_accepted_version(tenants: Path, tmp_path: Path) -> None:
    load(tenants, tmp_path / "accepted")
    (tenants / "_defaults.yaml").write_text("plans: 3\n")
    registry = load(tenants, tmp_path / "accepted")
    assert set(registry.tenants) == {"acme", "globex", "initech"}
    assert any("_defaults.yaml:1: plans" in p.render() for p in registry.problems)


def test_a_new_tenant_that_claims_anothers_dataset_is_the_one_that_is_rejected(tenants: Path) -> None:
    shutil.copytree(tenants / "acme", tenants / "aaa_first")
    edit(tenants / "aaa_first" / "tenant.yaml", "tenant_id: acme", "tenant_id: aaa_first")
    edit(tenants / "aaa_first" / "tenant.yaml", "ACME__SLACK_URL", "AAA_FIRST__SLACK_URL")
    edit(tenants / "aaa_first" / "tenant.yaml", "bigquery: {location: EU}", "bigquery: {dataset: acme}")
    edit(tenants / "aaa_first" / "tenant.yaml", "plan: enterprise", "plan: starter")
    registry = load(tenants)
    assert "acme" in registry.tenants
    (problem,) = registry.rejected["aaa_first"].problems
    assert "tenants acme and aaa_first share dataset acme" in problem.render()


def test_a_tenants_own_pipeline_replaces_the_shared_one_for_it_alone(tenants: Path) -> None:
    shared = ROOT / "convergence_assets" / "pipelines" / "library" / "gcp_billing"
    own = tenants / "acme" / "pipelines" / "gcp_billing"
    shutil.copytree(shared, own)
    edit(own / "pipeline.yaml", "description:", "description: 'acme''s own'\n# was:")
    registry = load(tenants)
    assert not registry.problems, [p.render() for p in registry.problems]
    assert registry.tenants["acme"].pipelines[0].description == "acme's own"
    assert registry.tenants["globex"].pipelines[0].description != "acme's own"


def test_a_folder_without_a_tenant_file_is_reported(tenants: Path) -> None:
    (tenants / "unfinished").mkdir()
    assert "no tenant.yaml" in load(tenants).rejected["unfinished"].problems[0].message


def test_a_missing_tenants_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFolder, match="does not exist; set CONVERGENCE_TENANTS"):
        load(tmp_path / "nowhere")


def test_tenants_may_lie_behind_a_url(tenants: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(tenants), "/deployed/tenants", recursive=True)
    registry = load_registry("memory://deployed/tenants", None, today=TODAY)
    assert set(registry.tenants) == {"acme", "globex", "initech"}, [p.render() for p in registry.problems]


def test_the_definition_hash_follows_what_defines_a_table_and_nothing_else(tenants: Path) -> None:
    def hashes() -> dict[str, str]:
        return {s.table: s.definition_hash for s in load(tenants).tenants["acme"].pipelines[0].steps}

    before = hashes()
    edit(tenants / "acme" / "tenant.yaml", "display_name: Acme Rockets", "display_name: Other")
    assert hashes() == before
    edit(
        tenants / "acme" / "tenant.yaml",
        "    start_date: 2026-10-01",
        "    start_date: 2026-10-01\n    thresholds: {gcp_cost_daily: {net_cost_is_plausible: {max_value: 5}}}",
    )
    after = hashes()
    assert after["gcp_cost_daily"] != before["gcp_cost_daily"]
    assert after["gcp_cost_line_items"] == before["gcp_cost_line_items"]


def test_a_tenant_sets_the_severity_of_one_rule_which_moves_to_another_check(tenants: Path) -> None:
    def checks() -> dict[str, set[str]]:
        step = next(s for s in load(tenants).tenants["acme"].pipelines[0].steps if s.table == "gcp_focus")
        groups = [e for e in expectations(step.suite) if e.type == "rules"]
        return {e.name: {rule["id"] for rule in e.kwargs["rules"]} for e in groups}

    before = checks()
    edit(
        tenants / "acme" / "tenant.yaml",
        "    start_date: 2026-10-01",
        "    start_date: 2026-10-01\n    thresholds: {gcp_focus: {BilledCost-C-003-M: {severity: warning}}}",
    )
    assert checks() == before | {
        "focus_money_critical": before["focus_money_critical"] - {"BilledCost-C-003-M"},
        "focus_money_warning": {"BilledCost-C-003-M"},
    }


def test_a_table_under_rules_has_the_columns_that_they_demand() -> None:
    files = {
        "pipeline.yaml": b"name: own_focus\nsteps: [{kind: bigquery, table: rows, description: Rows, when_empty: fail, "
        b"partition_column: day, columns: [{name: day, type: DATE}, {name: BiledCost, type: NUMERIC}]}]",
        "rows.sql": b"SELECT DATE '2026-10-01' AS day, NUMERIC '1' AS BiledCost",
        "expectations/rows.yaml": b"name: rows\nrules: focus\nexpectations: []",
    }
    problems = [problem.render() for problem in load_template("own_focus", "own_focus", files).problems]
    named = next(problem for problem in problems if "BilledCost" in problem)
    assert named.startswith("own_focus/expectations/rows.yaml:2")
    assert "which the rules of focus demand (CostAndUsage-D-006-M)" in named
    assert "did you mean 'BiledCost'" in named


def test_a_secret_is_resolved_when_used_and_never_shown() -> None:
    secret = Secret("https://hooks.example/${env:TOKEN_FOR_TEST}")
    assert secret.resolve({"TOKEN_FOR_TEST": "s3cr3t"}) == "https://hooks.example/s3cr3t"
    assert "hooks" not in repr(secret)
    with pytest.raises(MissingSecret, match="TOKEN_FOR_TEST") as caught:
        secret.resolve({})
    assert "s3cr3t" not in str(caught.value)


def keep_version(folder: Path, n: int) -> None:
    store = AcceptedStore(folder)
    for i in range(30):
        store.keep_version("acme", f"v{(i + n) % 3}", {"tenant.yaml": f"v{(i + n) % 3}".encode() * 1000})


def test_processes_that_accept_at_once_leave_one_whole_version(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    tmp_path.joinpath("accepted").mkdir()
    writers = [context.Process(target=keep_version, args=(tmp_path / "accepted", n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [w.exitcode for w in writers] == [0] * 4
    store = AcceptedStore(tmp_path / "accepted")
    version = store.version("acme") or ""
    assert store.files("acme") == {"tenant.yaml": version.encode() * 1000}


def test_loading_definitions_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = (
        "great_expectations",
        "pandas",
        "google.cloud",
        "scipy",
        "duckdb",
        "pyarrow",
        "nise",
        "wasmtime",
        "zetasql",
    )
    code = (
        "import sys, convergence_assets.definitions as d\n"
        "(d.defs() if callable(d.defs) else d.defs).get_repository_def()\n"
        f"print([m for m in {heavy!r} if m in sys.modules])\n"
    )
    environ = {"CONVERGENCE_HOME": str(tmp_path), "CONVERGENCE_TENANTS": str(ROOT / "tenants"), "PATH": ""}
    for _ in range(2):  # the first load may have to work out what became of the SQL
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[]"
