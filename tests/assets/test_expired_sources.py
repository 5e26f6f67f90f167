"""Days for which a step yields no rows: whether what it reads is known to be there still."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from convergence_assets.assets.no_data import without_source
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import Step, Tenant

TENANTS = Path(__file__).parents[2] / "tenants"
DAY = date(2026, 10, 5)


def step_of(landing: Path, tenant_id: str, table: str) -> tuple[Tenant, Step]:
    context = LoadContext(landing=landing)
    tenant = load_registry(str(TENANTS), None, today=date(2026, 12, 1), context=context).tenants[tenant_id]
    return tenant, next(step for pipeline in tenant.pipelines for step in pipeline.steps if step.table == table)


def test_files_are_there_as_long_as_one_is(tmp_path: Path) -> None:
    tenant, step = step_of(tmp_path, "initech", "licences")
    assert without_source(tenant, step, [DAY], ()) == [DAY]
    assert step.path is not None
    file = Path(step.path.replace("{date}", DAY.isoformat()).replace("*", "1"))
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert without_source(tenant, step, [DAY], ()) == []


def test_a_source_is_there_where_its_late_data_query_finds_the_day(tmp_path: Path) -> None:
    tenant, step = step_of(tmp_path, "acme", "gcp_cost_line_items")
    later = DAY + timedelta(days=1)
    assert without_source(tenant, step, [DAY, later], {later}) == [DAY]


def test_a_table_that_is_read_is_there_until_it_expires(tmp_path: Path) -> None:
    tenant, step = step_of(tmp_path, "acme", "gcp_commitments")
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=9), today]
    assert without_source(tenant, step, days, ()) == []
    pipelines = tuple(
        replace(
            pipeline,
            steps=tuple(
                replace(one, spec=one.spec.model_copy(update={"partition_expiration_days": 7}))
                if one.table == "gcp_commitment_fees"
                else one
                for one in pipeline.steps
            ),
        )
        for pipeline in tenant.pipelines
    )
    assert without_source(replace(tenant, pipelines=pipelines), step, days, ()) == days[:1]
