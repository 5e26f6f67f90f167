"""A statement that was slow or heavy leaves a warning with its job and what makes the query expensive."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.assets.statements import statement_metadata
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.interface import Statement

ROOT = Path(__file__).parents[2]
QUICK = Statement("job-quick", "stage0", 1.0, bytes_processed=10**6, bytes_billed=10**7)


@pytest.fixture(scope="module")
def bound() -> tuple[Tenant, TenantPipeline, Step]:
    tenant = load_registry(str(ROOT / "tenants"), None, today=date(2026, 12, 1)).tenants["acme"]
    pipeline = tenant.pipelines[0]
    return tenant, pipeline, pipeline.steps[0]


def warning(bound: tuple[Tenant, TenantPipeline, Step], *statements: Statement) -> str | None:
    text = statement_metadata(*bound, statements).get("slow_or_heavy")
    return None if text is None else str(text.value)


def test_a_quick_and_light_statement_leaves_no_warning(bound: tuple[Tenant, TenantPipeline, Step]) -> None:
    assert warning(bound, QUICK, replace(QUICK, seconds=30.0, bytes_processed=10 * 10**9)) is None


def test_a_statement_over_thirty_seconds_is_named(bound: tuple[Tenant, TenantPipeline, Step]) -> None:
    text = warning(bound, QUICK, replace(QUICK, job_id="job-slow", seconds=31.0))
    assert text is not None
    assert "`job-slow` (stage0) took 31 s" in text
    assert "job-quick" not in text
    assert "longest stage" in text


def test_a_statement_over_ten_gigabytes_is_named_with_what_makes_the_query_expensive(
    bound: tuple[Tenant, TenantPipeline, Step],
) -> None:
    tenant, pipeline, step = bound
    assert step.sql is not None
    source = next(iter(step.sources))
    wide = replace(step, sql=replace(step.sql, text=f"SELECT * FROM {source}"))
    warned = warning((tenant, pipeline, wide), replace(QUICK, job_id="job-heavy", bytes_processed=12 * 10**9))
    assert warned is not None
    assert "`job-heavy` (stage0) took 1 s and read 12.0 GB (warned above 30 s or 10 GB)" in warned
    assert "SELECT *" in warned


def test_a_pipelines_own_limits_decide(bound: tuple[Tenant, TenantPipeline, Step]) -> None:
    tenant, pipeline, step = bound
    patient = replace(pipeline, slow_seconds=100)
    assert warning((tenant, patient, step), replace(QUICK, seconds=31.0)) is None
