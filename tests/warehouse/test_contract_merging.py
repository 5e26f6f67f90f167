"""What every warehouse adapter promises: rows that are merged by their key."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.interface import Job, Warehouse
from convergence_assets.warehouse.schema import Column, TableRef, TableSchema
from tests.warehouse.contract import DAY, JOB, SCHEMA, TABLE, Open, published

EVENTS = TableRef("acme", "x_events")
EVENT_SCHEMA = TableSchema(
    columns=(
        Column("id", "STRING", "REQUIRED"),
        Column("number", "INT64"),
        Column("share", "FLOAT64"),
        Column("exact", "NUMERIC"),
        Column("good", "BOOL"),
        Column("day", "DATE"),
        Column("said", "JSON"),
        Column("tags", "STRING", "REPEATED"),
        Column("created_at", "TIMESTAMP", "REQUIRED"),
        Column("updated_at", "TIMESTAMP"),
    ),
    partition_column="created_at",
    clustering=("id",),
)
MOMENT = datetime(2026, 3, 1, 23, 59, 59, 123456, tzinfo=UTC)


def event(name: str, number: int | None = 1, updated: datetime = MOMENT) -> dict[str, object]:
    return {"id": name, "number": number, "created_at": MOMENT, "updated_at": updated}


def events(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return published(warehouse, "SELECT id, number FROM acme.x_events ORDER BY id")


def test_merged_rows_replace_those_of_the_same_key_and_leave_the_others(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(EVENTS, EVENT_SCHEMA)
        warehouse.merge_rows(EVENTS, EVENT_SCHEMA, [event("a"), event("b")], ("id",), Job("merge-1"))
        for _ in range(2):
            warehouse.merge_rows(EVENTS, EVENT_SCHEMA, [event("b", 2), event("c", None)], ("id",), Job("merge-2"))
        assert events(warehouse) == [("a", 1), ("b", 2), ("c", None)]
        later = event("a", 5) | {"created_at": datetime(2026, 3, 2, tzinfo=UTC)}
        warehouse.merge_rows(EVENTS, EVENT_SCHEMA, [later | {"id": "d"}], ("id", "number"), Job("merge-3"))
        assert len(events(warehouse)) == 4


def test_a_merged_row_that_is_older_than_the_tables_is_not_taken(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(EVENTS, EVENT_SCHEMA)
        for number, second in ((1, 10), (2, 20), (3, 15), (4, 20)):
            fresh = event("a", number, MOMENT.replace(second=second))
            warehouse.merge_rows(EVENTS, EVENT_SCHEMA, [fresh], ("id",), Job(f"merge-{number}"), newest_by="updated_at")
        assert events(warehouse) == [("a", 4)]


def test_every_scalar_type_is_merged_as_it_is(opened: Open) -> None:
    text = '{"a": [1, "b\'c\\\\n"]}'
    row = event("quote ' \" \\ end\n", 2**62) | {
        "share": 0.1 + 0.2, "exact": Decimal("1.123456789"), "good": False, "day": DAY, "said": text,
    }  # fmt: skip
    with opened() as warehouse:
        warehouse.ensure_table(EVENTS, EVENT_SCHEMA)
        warehouse.merge_rows(EVENTS, EVENT_SCHEMA, [row], ("id",), JOB)
        sql = "SELECT id, number, share, exact, good, day, said, tags, created_at FROM acme.x_events"
        (found,) = published(warehouse, sql)
        payload: tuple[Any, ...] = (
            "quote ' \" \\ end\n",
            2**62,
            0.1 + 0.2,
            Decimal("1.123456789"),
            False,
            DAY,
            json.loads(text),
            [],
            MOMENT,
        )
        assert (*found[:6], json.loads(found[6]), found[7] or [], found[8]) == payload


def test_partitions_before_a_day_are_deleted_and_the_others_stay(opened: Open) -> None:
    with opened() as warehouse:
        with pytest.raises(NotFound):
            warehouse.delete_before(EVENTS, EVENT_SCHEMA, DAY, JOB)
        warehouse.ensure_table(EVENTS, EVENT_SCHEMA)
        rows = [event(name) | {"created_at": datetime(2026, 3, day, 23, 59, tzinfo=UTC)} for name, day in
                (("a", 1), ("b", 2), ("c", 3))]  # fmt: skip
        warehouse.merge_rows(EVENTS, EVENT_SCHEMA, rows, ("id",), JOB)
        for _ in range(2):
            warehouse.delete_before(EVENTS, EVENT_SCHEMA, date(2026, 3, 3), JOB)
            assert events(warehouse) == [("c", 1)]


def test_rows_are_merged_into_no_table_that_is_not_there(opened: Open) -> None:
    with opened() as warehouse:
        with pytest.raises(NotFound):
            warehouse.merge_rows(EVENTS, EVENT_SCHEMA, [event("a")], ("id",), JOB)
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(NotFound):
            warehouse.merge_rows(EVENTS, EVENT_SCHEMA, [event("a")], ("id",), JOB)
        warehouse.ensure_table(EVENTS, EVENT_SCHEMA)
        warehouse.merge_rows(EVENTS, EVENT_SCHEMA, [event("a")], ("id",), JOB)
        assert events(warehouse) == [("a", 1)]
