"""What a preview may be billed for bounds each of its statements."""

import pytest

from convergence_assets.preview.tenant_run import BytesBudget
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.errors import BytesCapExceeded
from convergence_assets.warehouse.interface import Job
from tests.assets.project import Project


def test_a_statement_may_be_billed_for_what_is_left_and_none_is_sent_once_nothing_is(project: Project) -> None:
    job = Job("budget", maximum_bytes_billed=100)
    with DuckDBWarehouse(project.settings.warehouse_folder) as warehouse:
        assert BytesBudget(None).job(job, warehouse) is job
        assert BytesBudget(1000).job(job, warehouse).maximum_bytes_billed == 100
        assert BytesBudget(1000, billed=950).job(job, warehouse).maximum_bytes_billed == 50
        with pytest.raises(BytesCapExceeded, match="0 bytes are left"):
            BytesBudget(1000, billed=1000).job(job, warehouse)
