"""What every warehouse adapter promises: tables, datasets and staged rows that are dropped."""

from dataclasses import replace
from typing import Any

import pytest

from convergence_assets.warehouse.bigquery import switching
from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse
from convergence_assets.warehouse.bigquery.jobs import Jobs
from convergence_assets.warehouse.bigquery.labels import of_version
from convergence_assets.warehouse.errors import (
    NotFound,
    NotReplaceable,
    SchemaMismatch,
    SwitchRunning,
    UpgradeNotEnded,
    VersionMismatch,
)
from convergence_assets.warehouse.interface import Job, RunningJob, Warehouse
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


WIDER = replace(SCHEMA, columns=(*SCHEMA.columns, Column("more", "STRING")), version=2)
NEW, KEPT = TableRef("acme", "costs__v2"), TableRef("acme", "costs__v1")


def _filled(warehouse: Warehouse) -> list[tuple[object, ...]]:
    warehouse.ensure_table(TABLE, SCHEMA)
    warehouse.publish(stage(warehouse, rows(DAY, "1")), [DAY], JOB)
    return published(warehouse)


def test_a_table_takes_the_place_of_another_whole_with_its_version_and_the_former_is_kept(opened: Open) -> None:
    with opened() as warehouse:
        before = _filled(warehouse)
        with pytest.raises(NotFound):
            warehouse.switch_table(TABLE, NEW, KEPT, JOB)
        assert warehouse.existing_schema(KEPT) is None
        for turn in range(2):
            warehouse.ensure_table(NEW, WIDER)
            warehouse.switch_table(TABLE, NEW, KEPT, Job(f"run-{turn}"))
            schema, former = warehouse.existing_schema(TABLE), warehouse.existing_schema(KEPT)
            assert schema
            assert former
            assert (schema.columns, schema.partition_column, schema.version) == (WIDER.columns, "day", 2)
            assert (former.columns, former.partition_column, former.version) == (SCHEMA.columns, "day", 1)
            assert {TABLE, KEPT} <= set(warehouse.tables_of(Dataset("acme")))
            assert published(warehouse) == []
            with pytest.raises(VersionMismatch, match="is version 2, and its step declares version 1"):
                warehouse.ensure_table(TABLE, SCHEMA)
            assert not warehouse.ensure_table(TABLE, WIDER).created
            # And back again, as often as is wanted.
            warehouse.switch_table(TABLE, KEPT, NEW, Job(f"back-{turn}"))
            assert published(warehouse) == before
            schema = warehouse.existing_schema(TABLE)
            assert schema
            assert schema.version == 1
            warehouse.drop_table(NEW)
            warehouse.drop_table(KEPT)


def test_a_table_of_another_layout_takes_its_place_and_on_bigquery_only_where_it_may_be_absent(opened: Open) -> None:
    moved = replace(
        WIDER, columns=(Column("on", "DATE"), *(c for c in SCHEMA.columns if c.name != "day")), partition_column="on"
    )
    with opened() as warehouse:
        before = _filled(warehouse)
        warehouse.ensure_table(NEW, moved)
        if warehouse.engine == "bigquery":
            with pytest.raises(NotReplaceable, match="laid out by partition column day"):
                warehouse.switch_table(TABLE, NEW, KEPT, JOB)
            assert published(warehouse) == before
        warehouse.switch_table(TABLE, NEW, KEPT, JOB, may_be_absent=True)
        schema = warehouse.existing_schema(TABLE)
        assert schema
        assert (schema.partition_column, schema.version) == ("on", 2)
        assert published(warehouse, "SELECT day, name, cost FROM acme.costs__v1 ORDER BY day, name") == before


def test_a_table_that_an_interrupted_switch_has_left_absent_is_not_made_anew(opened: Open) -> None:
    with opened() as warehouse:
        if warehouse.engine == "duckdb":
            pytest.skip("its switch is one transaction")
        before = _filled(warehouse)
        assert isinstance(warehouse, BigQueryWarehouse)
        warehouse.switch_table(KEPT, TABLE, NEW, Job("between"))  # as between two renames
        kept = warehouse._administration.table(KEPT)
        kept.labels = of_version(1)
        warehouse._administration._client.update_table(kept, ["labels"])
        assert warehouse.existing_schema(TABLE) is None
        with pytest.raises(UpgradeNotEnded, match="is absent, and there is costs__v1"):
            warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.switch_table(TABLE, KEPT, NEW, Job("again"))
        assert published(warehouse) == before


def test_a_switch_that_was_made_and_not_recorded_does_not_write_over_what_is_kept(opened: Open) -> None:
    with opened() as warehouse:
        if warehouse.engine == "duckdb":
            pytest.skip("it renames the new table, so that there is nothing to switch to")
        before = _filled(warehouse)
        warehouse.ensure_table(NEW, WIDER)
        warehouse.switch_table(TABLE, NEW, KEPT, JOB)
        warehouse.switch_table(TABLE, NEW, KEPT, Job("again"))
        schema = warehouse.existing_schema(KEPT)
        assert schema
        assert (schema.columns, schema.version) == (SCHEMA.columns, 1)
        assert published(warehouse, "SELECT day, name, cost FROM acme.costs__v1 ORDER BY day, name") == before


def test_what_an_ended_process_has_sent_is_waited_for(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"tenant": "acme", "asset": "costs", "partition": "upgrade"}
    with opened() as warehouse:
        if warehouse.engine == "duckdb":
            pytest.skip("a statement lives and dies with the process that runs it")
        _filled(warehouse)
        warehouse.ensure_table(NEW, WIDER)
        jobs = [
            RunningJob("other", labels | {"asset": "other"}, None, None, None),
            RunningJob("left", labels, None, None, None),
        ]
        monkeypatch.setattr(Jobs, "running", lambda *arguments, **named: jobs)
        with pytest.raises(SwitchRunning, match="job left of an earlier switch"):
            warehouse.switch_table(TABLE, NEW, KEPT, Job("run-2", labels))
        assert warehouse.existing_schema(KEPT) is None
        monkeypatch.undo()
        warehouse.switch_table(TABLE, NEW, KEPT, Job("run-2", labels))
        assert KEPT in warehouse.version_tables(Dataset("acme"))


def test_a_copy_that_is_not_the_former_table_stops_the_switch(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened() as warehouse:
        if warehouse.engine == "duckdb":
            pytest.skip("its switch is one transaction")
        before = _filled(warehouse)
        warehouse.ensure_table(NEW, WIDER)
        replaced = switching._replace

        def other(connection: Any, table: TableRef, source: TableRef, schema: Any, job: Job) -> None:
            replaced(connection, table, NEW, WIDER, job)

        monkeypatch.setattr(switching, "_replace", other)
        with pytest.raises(SchemaMismatch, match="was to be a copy of version 1, and is version 2"):
            warehouse.switch_table(TABLE, NEW, KEPT, JOB)
        assert published(warehouse) == before


def test_a_table_is_made_beside_one_of_another_step_that_has_a_versions_name(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(KEPT, SCHEMA)
        assert warehouse.version_tables(Dataset("acme")) == []
        assert warehouse.ensure_table(TABLE, SCHEMA).created
