"""Plan, project and bounds: a tenant's files ask for less than the operator allows, never for more."""

from collections.abc import Callable
from pathlib import Path

import pytest

from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.loading import LoadContext, checked_defaults
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry
from tests.tenancy.conftest import TODAY

Load = Callable[..., TenantRegistry]
Edit = Callable[[str, str, str], int]


def only_problem(registry: TenantRegistry, tenant_id: str) -> Problem:
    (problem,) = registry.rejected[tenant_id].problems
    return problem


def allow(tenants: Path, text: str) -> None:
    """Writes what `_defaults.yaml` says of tenants."""
    file = tenants / "_defaults.yaml"
    file.write_text(file.read_text().replace("tenants:\n", f"tenants:\n{text}\n"))


def test_a_plan_above_the_operators_is_refused_at_its_line_and_one_below_is_taken(load: Load, edit: Edit) -> None:
    edit("_defaults.yaml", "  acme: {plan: enterprise}", "  globex: {plan: starter}")
    problem = only_problem(load(), "acme")
    assert (problem.line, problem.key) == (6, "plan")
    assert problem.render().endswith(
        "plan enterprise allows more than standard, the operator's for this tenant; expected standard, "
        "or the operator's line in _defaults.yaml: tenants: {acme: {plan: enterprise}}"
    )
    edit("acme/tenant.yaml", "plan: enterprise", "plan: starter")
    plans = {name: tenant.plan.max_concurrent_runs for name, tenant in load().tenants.items()}
    assert plans == {"acme": 2, "globex": 2, "initech": 2}


def test_a_plan_that_no_line_of_plans_has_is_the_operators_mistake_at_its_line(load: Load, edit: Edit) -> None:
    line = edit("_defaults.yaml", "{plan: enterprise}", "{plan: enterprize}")
    (problem,) = load().problems
    assert (problem.file.rpartition("/")[2], problem.line, problem.key) == ("_defaults.yaml", line, "tenants.acme.plan")
    assert problem.suggestion == "enterprise"


def test_a_project_is_the_operators_to_give(tenants: Path, load: Load, edit: Edit) -> None:
    line = edit("globex/tenant.yaml", "{location: US}", "{location: US, project: their-project}")
    problem = only_problem(load(), "globex")
    assert (problem.line, problem.key) == (line, "bigquery.project")
    allow(tenants, "  globex: {project: other-project}")
    assert "expected other-project, or" in only_problem(load(), "globex").render()
    edit("globex/tenant.yaml", ", project: their-project", "")
    assert load().tenants["globex"].project == "other-project"


def test_the_deployments_own_project_may_be_named(tenants: Path, edit: Edit) -> None:
    edit("globex/tenant.yaml", "{location: US}", "{location: US, project: our-project}")
    registry = load_registry(str(tenants), None, today=TODAY, context=LoadContext(own_project="our-project"))
    assert registry.tenants["globex"].project == "our-project"


PIPELINE = "initech/pipelines/total_cost/pipeline.yaml"
BOUNDS = [
    ("maximum_gigabytes_billed", 101, 100),
    ("max_pipeline_duration_minutes", 241, 240),
    ("validate_in_warehouse_above_rows", 1_000_001, 1_000_000),
]


@pytest.mark.parametrize(("name", "above", "most"), BOUNDS)
def test_a_bound_above_the_operators_is_refused_where_it_stands_and_his_line_allows_it(
    tenants: Path, load: Load, edit: Edit, name: str, above: int, most: int
) -> None:
    line = edit(PIPELINE, "max_pipeline_duration_minutes: 30", f"{name}: {above}")
    problem = only_problem(load(), "initech")
    assert (problem.file.endswith(PIPELINE), problem.line, problem.key) == (True, line, name)
    assert problem.render().endswith(
        f"{above} is above the operator's bound; expected at most {most}, or the operator's line in "
        f"_defaults.yaml: tenants: {{initech: {{limits: {{{name}: {above}}}}}}}"
    )
    edit(PIPELINE, f"{name}: {above}", f"{name}: {most}")
    assert "initech" in load().tenants
    edit(PIPELINE, f"{name}: {most}", f"{name}: {above}")
    allow(tenants, f"  initech: {{limits: {{{name}: {above}}}}}")
    assert getattr(next(p for p in load().tenants["initech"].pipelines if p.name == "total_cost"), name) == above


def test_the_operator_may_lower_the_bounds_of_all_and_shipped_pipelines_keep_their_own(
    tenants: Path, load: Load, edit: Edit
) -> None:
    with (tenants / "_defaults.yaml").open("a") as file:
        file.write("limits: {max_pipeline_duration_minutes: 20, maximum_gigabytes_billed: 5}\n")
    assert "acme" in load().tenants
    line = edit(
        "acme/tenant.yaml",
        "  - template: gcp_billing",
        "  - template: gcp_billing\n    max_pipeline_duration_minutes: 30",
    )
    problem = only_problem(load(), "acme")
    assert (problem.line, problem.key) == (line + 1, "pipelines[0].max_pipeline_duration_minutes")


def test_an_accepted_version_is_held_to_the_bounds_of_today(tenants: Path, tmp_path: Path, edit: Edit) -> None:
    edit(PIPELINE, "max_pipeline_duration_minutes: 30", "maximum_gigabytes_billed: 90")
    accepted = tmp_path / "accepted"
    assert "initech" in load_registry(str(tenants), accepted, today=TODAY).tenants
    with (tenants / "_defaults.yaml").open("a") as file:
        file.write("limits: {maximum_gigabytes_billed: 50}\n")
    edit("initech/tenant.yaml", "timezone:", "time zone:")
    assert "initech" not in load_registry(str(tenants), accepted, today=TODAY).tenants
    assert "initech" not in load_registry(str(tenants), accepted, today=TODAY, only=["initech"]).tenants


def test_what_is_given_to_all_and_to_one_is_had_together(tenants: Path, load: Load) -> None:
    given = """access:
  hosts: [alerts.internal]
  "*": {tables: [finance.rates]}
  globex: {hosts: [files.internal], tables: [finance.costs]}
"""
    text = (tenants / "_defaults.yaml").read_text() + given
    defaults, problems = checked_defaults("_defaults.yaml", text.encode())
    assert defaults is not None, problems
    assert defaults.access_of("globex").hosts == ("alerts.internal", "files.internal")
    assert defaults.access_of("globex").tables == ("finance.rates", "finance.costs")
    assert defaults.access_of("acme").hosts == ("alerts.internal",)
    twice = text.replace('"*": {tables', '"*": {hosts: [a], tables').encode()
    assert "in one place" in checked_defaults("_defaults.yaml", twice)[1][0].message


def test_what_an_own_pipeline_does_not_say_is_within_the_bounds_too(tenants: Path, load: Load) -> None:
    with (tenants / "_defaults.yaml").open("a") as file:
        file.write("limits: {maximum_gigabytes_billed: 10, validate_in_warehouse_above_rows: 1000}\n")
    of = {p.name: p for p in load().tenants["initech"].pipelines}
    assert (of["total_cost"].maximum_gigabytes_billed, of["total_cost"].validate_in_warehouse_above_rows) == (10, 1000)
    assert of["gcp_billing"].maximum_gigabytes_billed == 100
