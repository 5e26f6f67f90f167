"""What every warehouse adapter promises: tables, datasets and staged rows that are dropped."""

from dataclasses import replace

import pytest

from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Dataset, TableRef
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


def test_a_table_takes_the_place_of_another_whole_and_the_former_is_kept(opened: Open) -> None:
    new, kept = TableRef("acme", "costs__v2"), TableRef("acme", "costs__v1")
    wider = replace(SCHEMA, columns=(*SCHEMA.columns, Column("more", "STRING")))
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1")), [DAY], JOB)
        before = published(warehouse)
        with pytest.raises(NotFound):
            warehouse.switch_table(TABLE, new, kept, JOB)
        assert warehouse.existing_schema(kept) is None
        for version in range(2):
            warehouse.ensure_table(new, wider)
            warehouse.switch_table(TABLE, new, kept, Job(f"run-{version}"))
            schema, former = warehouse.existing_schema(TABLE), warehouse.existing_schema(kept)
            assert schema
            assert former
            assert [c.name for c in schema.columns] == [c.name for c in wider.columns]
            if warehouse.engine == "duckdb":  # the local BigQuery server copies a table without its partitioning
                assert schema == wider
            assert [c.name for c in former.columns] == [c.name for c in SCHEMA.columns]
            assert warehouse.existing_schema(new) is None
            assert published(warehouse) == []
            # And back again, as often as is wanted.
            warehouse.switch_table(TABLE, kept, new, Job(f"back-{version}"))
            assert published(warehouse) == before
            assert warehouse.drop_table(new)
