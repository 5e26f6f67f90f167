"""The text that is sent reads the step's own tables and sources, whatever was let through before."""

import pytest

from convergence_assets.assets.own_tables import refuse_others
from convergence_assets.warehouse.errors import AccessDenied
from convergence_assets.warehouse.schema import TableRef
from tests.assets.project import Project

STAGED = TableRef("_staging_acme", "totals__run1")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM globex.gcp_cost_daily",
        "SELECT * FROM acme.lines AS l CROSS JOIN globex.t AS acme",
        "SELECT (SELECT MAX(x) FROM `p.globex.t`) FROM acme.lines",
        "WITH globex AS (SELECT 1) SELECT * FROM globex.t",
        "SELECT * FROM _staging_globex.t",
        "SELECT * FROM acme.x_meta_pipeline_runs",
    ],
)
def test_a_statement_over_anything_else_is_not_sent(project: Project, sql: str) -> None:
    totals = project.tenant.pipelines[0].steps[1]
    with pytest.raises(AccessDenied, match="which is no table of its own and none of its sources"):
        refuse_others(sql, project.tenant, totals, STAGED)


def test_its_own_tables_its_sources_and_what_it_has_staged_are_read(project: Project) -> None:
    lines, totals = project.tenant.pipelines[0].steps
    refuse_others(f"SELECT * FROM acme.lines CROSS JOIN {STAGED.quoted}", project.tenant, totals, STAGED)
    source = lines.sources["bills"].tables[0]
    refuse_others(f"SELECT * FROM {source}", project.tenant, lines)
