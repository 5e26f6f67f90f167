"""What every warehouse adapter promises: tables, datasets and staged rows that are dropped."""

import pytest

from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Dataset, TableRef
from tests.warehouse.contract import DAY, JOB, SCHEMA, TABLE, Open, published, rows, stage


def test_a_table_is_dropped_alone_and_one_with_rows_only_where_it_is_said(opened: Open) -> None:
    with opened() as warehouse:
        other = TableRef("acme", "other")
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.ensure_table(other, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1")), [DAY], JOB)
        assert not warehouse.drop_table(TABLE, if_empty=True)
        assert len(published(warehouse)) == 2
        assert warehouse.drop_table(other, if_empty=True)
        assert warehouse.tables_of(Dataset("acme")) == [TABLE]
        assert warehouse.drop_table(TABLE)
        assert warehouse.tables_of(Dataset("acme")) == []
        assert not warehouse.drop_table(TABLE)
        assert not warehouse.drop_table(TableRef("nowhere", "costs"))
        assert warehouse.has_dataset(Dataset("acme"))
        assert warehouse.ensure_table(TABLE, SCHEMA).created, "it can be made again"
        assert published(warehouse) == []


def test_a_dataset_is_dropped_once_nothing_is_in_it(opened: Open) -> None:
    acme = Dataset("acme")
    with opened() as warehouse:
        assert not warehouse.has_dataset(acme)
        assert not warehouse.drop_dataset(acme)
        assert not warehouse.tables_of(acme)
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.ensure_table(TableRef("globex", "costs"), SCHEMA)
        assert not warehouse.drop_dataset(acme)
        assert warehouse.tables_of(acme) == [TABLE]
        warehouse.drop_table(TABLE)
        assert warehouse.drop_dataset(acme)
        assert not warehouse.has_dataset(acme)
        assert warehouse.tables_of(Dataset("globex")) == [TableRef("globex", "costs")]
        with pytest.raises(NotFound, match="dataset acme does not exist"):
            published(warehouse)


def test_what_runs_staged_is_dropped_of_one_dataset_alone(opened: Open) -> None:
    acme, other = Dataset("acme"), TableRef("globex", "costs")
    with opened() as warehouse:
        assert warehouse.drop_staging(acme) == 0
        for run in ("run-1", "run-2"):
            stage(warehouse, rows(DAY, "1"), job=Job(run))
        kept = warehouse.stage_query(other, SCHEMA, [rows(DAY, "1")], JOB)
    with opened() as warehouse:
        assert warehouse.drop_staging(acme) == 2
        assert warehouse.drop_staging(acme) == 0
        assert len(published(warehouse, f"SELECT day FROM {kept.table.quoted}")) == 2
