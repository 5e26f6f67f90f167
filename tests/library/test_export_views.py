"""An export that is read through a view, which has no _PARTITIONTIME."""

from datetime import date
from pathlib import Path
from shutil import copytree

import pytest

from convergence_assets.tenancy.registry import load_registry

TENANTS = Path(__file__).parents[2] / "tenants"


@pytest.mark.parametrize("is_view", [True, False])
def test_its_sql_asks_a_table_alone_for_the_partition_time(tmp_path: Path, is_view: bool) -> None:
    copytree(TENANTS, tmp_path / "tenants")
    file = tmp_path / "tenants" / "acme" / "tenant.yaml"
    text = file.read_text()
    given = "      export_table: acme_billing_export.gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C\n"
    assert given in text
    switch = f"      export_is_view: {str(is_view).lower()}\n"
    file.write_text(text.replace(given, f"      export_table: acme_billing_export.all_accounts\n{switch}"))
    registry = load_registry(str(tmp_path / "tenants"), None, today=date(2026, 12, 1))
    assert not registry.problems, [problem.render() for problem in registry.problems]
    step = registry.tenants["acme"].pipelines[0].steps[0]
    assert step.sql is not None
    assert step.late_data is not None
    for sql in (step.sql.text, step.late_data.text):
        assert ("_PARTITIONTIME" in sql) is not is_view
        assert "usage_start_time >= @partition_start" in sql
