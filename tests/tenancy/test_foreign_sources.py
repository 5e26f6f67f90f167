"""A tenant reads no other tenant's dataset, nor what the platform keeps, unless the operator's file says so."""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.control.published_locations import PublishedLocation
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry

TODAY = date(2026, 11, 23)
EXPORT = "acme_billing_export.gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C"
Edit = Callable[[str, str, str], int]


def loaded(tenants: Path, accepted: Path | None = None, **more: object) -> TenantRegistry:
    return load_registry(str(tenants), accepted, today=TODAY, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("table", ["globex.gcp_cost_daily", "GLOBEX.gcp_cost_daily", "globex.x_meta_pipeline_runs"])
def test_another_tenants_dataset_is_refused_at_the_line_that_names_it(tenants: Path, edit: Edit, table: str) -> None:
    line = edit("acme/tenant.yaml", EXPORT, table)
    registry = loaded(tenants)
    assert set(registry.tenants) == {"globex", "initech"}
    (problem,) = registry.problems
    assert (problem.file, problem.line) == (f"{tenants}/acme/tenant.yaml", line)
    assert problem.key == "pipelines[0].with.export_table"
    assert problem.message == f"{table} is in the dataset of tenant globex"
    assert f"access: {{acme: {{tables: [{table}]}}}}" in (problem.expected or "")


def test_the_dataset_of_a_tenant_that_is_refused_itself_is_no_more_open(tenants: Path, edit: Edit) -> None:
    edit("acme/tenant.yaml", EXPORT, "globex.gcp_cost_daily")
    edit("initech/tenant.yaml", "export_table: initech_billing_export", "export_table: acme # ")
    edit("initech/tenant.yaml", "export_table: acme # ", "export_table: acme.bills # ")
    assert set(loaded(tenants).rejected) == {"acme", "initech"}


def test_one_of_a_list_is_found_too(tenants: Path, edit: Edit) -> None:
    edit("acme/tenant.yaml", EXPORT, f"[{EXPORT}, initech.gcp_focus]")
    (problem,) = loaded(tenants).problems
    assert problem.message == "initech.gcp_focus is in the dataset of tenant initech"


def test_a_tenants_own_pipeline_names_it_in_a_line_of_its_own(tenants: Path, edit: Edit) -> None:
    folder = tenants / "acme" / "pipelines" / "spying"
    folder.mkdir(parents=True)
    (folder / "spying.sql").write_text("SELECT DATE '2026-10-01' AS day, SUM(net_cost) AS cost FROM theirs\n")
    (folder / "pipeline.yaml").write_text(
        "name: spying\ndescription: What others pay\nsources:\n  theirs:\n    table: globex.gcp_cost_daily\n"
        "    columns: [{name: net_cost, type: NUMERIC}]\nsteps:\n  - kind: bigquery\n    table: spying\n"
        "    description: One row\n    partition_column: day\n"
        "    columns: [{name: day, type: DATE, mode: REQUIRED}, {name: cost, type: NUMERIC}]\n"
    )
    edit("acme/tenant.yaml", "alerts:", "  - {template: spying, start_date: 2026-10-01}\nalerts:")
    (problem,) = loaded(tenants).problems
    assert (problem.file, problem.line) == (f"{tenants}/acme/pipelines/spying/pipeline.yaml", 5)


@pytest.mark.parametrize("pattern", ["globex.gcp_cost_daily", "globex.*"])
def test_the_operators_file_grants_it(tenants: Path, edit: Edit, pattern: str) -> None:
    edit("acme/tenant.yaml", EXPORT, "globex.gcp_cost_daily")
    with (tenants / "_defaults.yaml").open("a") as defaults:
        defaults.write(f"access: {{acme: {{tables: ['{pattern}']}}}}\n")
    registry = loaded(tenants)
    assert not registry.problems
    assert set(registry.tenants) == {"acme", "globex", "initech"}


def test_a_grant_for_another_table_or_tenant_is_none(tenants: Path, edit: Edit) -> None:
    edit("acme/tenant.yaml", EXPORT, "globex.gcp_cost_daily")
    with (tenants / "_defaults.yaml").open("a") as defaults:
        defaults.write("access: {acme: {tables: [globex.gcp_focus]}, initech: {tables: ['globex.*']}}\n")
    assert set(loaded(tenants).rejected) == {"acme"}


@pytest.mark.parametrize(
    "table",
    [
        "globex.INFORMATION_SCHEMA.TABLES", "region-eu.INFORMATION_SCHEMA.JOBS", "_staging_globex.lines",
        "my-project._staging_globex.lines", "convergence_ledger.runs",
    ],
)  # fmt: skip
def test_what_the_warehouse_and_the_platform_keep_is_nobodys_source(tenants: Path, edit: Edit, table: str) -> None:
    line = edit("acme/tenant.yaml", EXPORT, table)
    registry = loaded(tenants)
    assert set(registry.rejected) == {"acme"}
    assert any(re.search("everybody's tables|the platform's own", p.message) for p in registry.problems)
    assert {p.line for p in registry.problems} == {line}


def test_its_own_dataset_and_the_same_name_in_another_project_are_no_other_tenants(tenants: Path, edit: Edit) -> None:
    edit("acme/tenant.yaml", EXPORT, "acme.bills")
    edit("globex/tenant.yaml", "export_table: globex_billing_export", "export_table: other-project.acme")
    assert not loaded(tenants, context=LoadContext(own_project="our-project")).problems
    assert set(loaded(tenants, context=LoadContext(own_project="other-project")).rejected) == {"globex"}


def test_nobody_moves_to_a_dataset_that_another_tenant_has_read_since_before(
    tenants: Path, edit: Edit, tmp_path: Path
) -> None:
    edit("acme/tenant.yaml", EXPORT, "shared.bills")
    assert not loaded(tenants, tmp_path / "accepted").problems
    edit("globex/tenant.yaml", "bigquery: {location: US}", "bigquery: {location: US, dataset: shared}")
    registry = loaded(tenants, tmp_path / "accepted")
    assert set(registry.tenants) == {"acme", "globex", "initech"}
    assert registry.rejected.keys() == {"globex"}
    assert registry.tenants["globex"].dataset == "globex"


def test_a_load_of_one_tenant_knows_the_others_by_where_they_have_published(tenants: Path, edit: Edit) -> None:
    edit("acme/tenant.yaml", EXPORT, "globex.gcp_cost_daily")
    places = {
        "globex": PublishedLocation("America/New_York", "globex"),
        "acme": PublishedLocation("Europe/Berlin", "acme"),
    }
    registry = loaded(tenants, only=["acme"], context=LoadContext(places))
    assert set(registry.rejected) == {"acme"}


WILDCARD = (
    "name: spying\ndescription: Theirs\nsources:\n  theirs:\n    table: %s\n"
    "    columns: [{name: cost, type: NUMERIC}]\nsteps:\n  - kind: bigquery\n    table: spying\n"
    "    description: One row\n    partition_column: day\n"
    "    columns: [{name: day, type: DATE, mode: REQUIRED}, {name: cost, type: NUMERIC}]\n"
)


def spying(tenants: Path, edit: Edit, table: str) -> TenantRegistry:
    folder = tenants / "acme" / "pipelines" / "spying"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spying.sql").write_text("SELECT DATE '2026-10-01' AS day, SUM(cost) AS cost FROM theirs\n")
    (folder / "pipeline.yaml").write_text(WILDCARD % table)
    if "spying" not in (tenants / "acme" / "tenant.yaml").read_text():
        edit("acme/tenant.yaml", "alerts:", "  - {template: spying, start_date: 2026-10-01}\nalerts:")
    return loaded(tenants)


@pytest.mark.parametrize("table", ["nobody.events_*", "acme.gcp_*", "globex.gcp_*"])
def test_a_wildcard_is_read_by_the_operators_line_alone(tenants: Path, edit: Edit, table: str) -> None:
    (problem,) = spying(tenants, edit, table).problems
    assert (problem.file, problem.line) == (f"{tenants}/acme/pipelines/spying/pipeline.yaml", 5)
    line = f"access: {{acme: {{tables: [{table}]}}}}"
    assert line in (problem.expected or "")
    with (tenants / "_defaults.yaml").open("a") as defaults:
        defaults.write(f"{line}\n")
    assert not spying(tenants, edit, table).problems
    assert spying(tenants, edit, table.replace("_*", "*")).problems, "a wider one is not granted"


@pytest.mark.parametrize("table", ["elsewhere.*", "elsewhere.ev*ts", "else*.events", "elsewhere.events_**", "*.*"])
def test_a_star_stands_at_the_end_of_a_name_and_nowhere_else(tenants: Path, edit: Edit, table: str) -> None:
    (problem,) = spying(tenants, edit, f"'{table}'").problems
    assert problem.message == f"{table!r} is no table name"
