"""What a source has beside the declared columns is named by a check that stops nothing."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.assets.materialize import Report
from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.source_columns import undeclared
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.pipelines.models import SourceSpec
from convergence_assets.quality.expectations import CheckOutcome
from convergence_assets.tenancy.tenant import Source
from convergence_assets.warehouse.schema import Column, TableRef
from tests.assets.project import Project, hourly
from tests.peer.peer_server import Peer

DAY = date(2026, 3, 10)


def check_of(report: Report) -> CheckOutcome:
    (found,) = [outcome for outcome in report.outcomes if outcome.name == "source_columns_are_declared"]
    return found


def test_a_column_that_google_adds_is_named_and_the_day_is_published(project: Project) -> None:
    project.load_bills(hourly(DAY, "Europe/Berlin", 1.25))
    (before,) = project.run(DAY, tables=["lines"])
    assert check_of(before).passed
    source = project.tenant.pipelines[0].steps[0].sources["bills"]
    schema = source_schema(source.spec)
    with open_warehouse(project.settings) as warehouse:
        table = TableRef.parse(source.tables[0])
        warehouse.ensure_table(table, replace(schema, columns=(*schema.columns, Column("carbon", "FLOAT64"))))
    after, totals = project.run(DAY, run_id="run2")
    found = check_of(after)
    assert (found.passed, found.severity, found.examples) == (False, "info", ("bills.carbon",))
    assert (after.published, after.stopped) == ({DAY: 24}, {})
    assert "source_columns_are_declared" not in {outcome.name for outcome in totals.outcomes}, "it reads no source"


@pytest.mark.peer
@pytest.mark.slow
def test_on_bigquery_a_new_field_of_a_record_is_named(tmp_path: Path, peer: Peer) -> None:
    columns = [
        {"name": "day", "type": "DATE"},
        {"name": "price", "type": "RECORD", "fields": [{"name": "unit", "type": "STRING"}]},
    ]
    spec = SourceSpec.model_validate({"table": "bills.export", "columns": columns})
    schema = source_schema(spec)
    price = Column("price", "RECORD", fields=(Column("unit", "STRING"), Column("list", "NUMERIC")))
    more = Column("more", "RECORD", mode="REPEATED", fields=(Column("key", "STRING"),))
    tenant = Project.at(tmp_path / "project").tenant
    with open_warehouse(peer.settings(tmp_path / "home")) as warehouse:
        table = TableRef.parse("bills.export")
        warehouse.ensure_table(table, replace(schema, columns=(schema.columns[0], price, more)))
        found = undeclared(warehouse, tenant, {"export": Source("export", ("bills.export",), spec)})
    assert found == ("export.more", "export.price.list")
