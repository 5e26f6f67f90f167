"""What every warehouse adapter promises: the embedded one, and BigQuery's against a local server."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.errors import (
    InvalidQuery,
    JobTimeout,
    NotFound,
    NotKept,
    SchemaMismatch,
    StagingChanged,
)
from convergence_assets.warehouse.interface import Job, SourceFile, Staged, Warehouse
from convergence_assets.warehouse.schema import Column, Dataset, Query, TableRef, TableSchema
from tests.peer.peer_server import Peer

Open = Callable[[], Warehouse]
WAREHOUSES = ["embedded", pytest.param("bigquery", marks=pytest.mark.peer)]

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
TABLE = TableRef("acme", "costs")
SCHEMA = TableSchema(
    columns=(
        Column("day", "DATE", "REQUIRED"),
        Column("name", "STRING"),
        Column("cost", "NUMERIC"),
        Column("labels", "RECORD", "REPEATED", "", (Column("key", "STRING"), Column("value", "STRING"))),
    ),
    partition_column="day",
)
JOB = Job("run-1", {"tenant": "acme"})


@pytest.fixture(params=WAREHOUSES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "embedded":
        return lambda: DuckDBWarehouse(tmp_path / "warehouse")
    settings = request.getfixturevalue("peer").settings(tmp_path)
    return lambda: open_warehouse(settings)


def rows(day: date, cost: str, n: int = 2) -> Query:
    return Query(
        f"SELECT @day AS day, CONCAT('n', CAST(i AS STRING)) AS name, NUMERIC '{cost}' AS cost, "
        "[STRUCT('team' AS key, 'a' AS value)] AS labels "
        f"FROM UNNEST([{', '.join(str(i) for i in range(n))}]) AS i",
        {"day": day},
    )


def stage(warehouse: Warehouse, *queries: Query, job: Job = JOB, schema: TableSchema = SCHEMA) -> Staged:
    return warehouse.stage_query(TABLE, schema, queries, job)


def published(
    warehouse: Warehouse, sql: str = "SELECT day, name, cost FROM acme.costs ORDER BY day, name"
) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in warehouse.read(Query(sql), JOB).to_pylist()]


def test_staged_rows_are_invisible_until_they_are_published(opened: Open) -> None:
    with opened() as warehouse:
        assert warehouse.ensure_table(TABLE, SCHEMA).created
        staged = stage(warehouse, rows(DAY, "1.123456789"), rows(NEXT, "2", n=1))
        assert (staged.rows, staged.rows_per_partition) == (3, {DAY: 2, NEXT: 1})
        assert published(warehouse) == []
        assert warehouse.publish(staged, [DAY], JOB) == 2
        assert published(warehouse) == [(DAY, "n0", Decimal("1.123456789")), (DAY, "n1", Decimal("1.123456789"))]
        warehouse.discard(staged)


def test_a_query_may_make_temporary_functions_before_its_select(tmp_path: Path) -> None:
    """The local BigQuery server plans none."""
    given = rows(DAY, "1.5")
    functions = (
        "CREATE TEMP FUNCTION doubled(x NUMERIC) AS (x * 2);\n"
        "CREATE TEMP FUNCTION shown(x STRING) RETURNS STRING AS (CONCAT('<', x, '>'));\n"
    )
    select = f"SELECT day, shown('a') AS name, doubled(cost) AS cost, labels FROM ({given.sql});"
    with DuckDBWarehouse(tmp_path / "warehouse") as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        staged = stage(warehouse, Query(functions + select, given.parameters))
        warehouse.publish(staged, [DAY], JOB)
        assert published(warehouse) == [(DAY, "<a>", Decimal(3))] * 2


def test_a_null_array_is_kept_as_an_empty_one(opened: Open) -> None:
    nothing = Query(
        "SELECT @day AS day, 'n' AS name, NUMERIC '1' AS cost, CAST(NULL AS ARRAY<STRUCT<key STRING, value STRING>>) AS labels",
        {"day": DAY},
    )
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, nothing), [DAY], JOB)
        assert published(warehouse, "SELECT labels FROM acme.costs") == [([],)]


def test_publishing_a_partition_replaces_it_and_no_other(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1"), rows(NEXT, "2")), [DAY, NEXT], JOB)
        other = Job("run-2")
        warehouse.publish(stage(warehouse, rows(DAY, "5", n=1), job=other), [DAY], other)
        assert [r[2] for r in published(warehouse)] == [Decimal(5), Decimal(2), Decimal(2)]


def test_publishing_an_empty_partition_empties_it(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1"), rows(NEXT, "2")), [DAY, NEXT], JOB)
        warehouse.publish(stage(warehouse, rows(NEXT, "2")), [DAY], JOB)
        assert {r[0] for r in published(warehouse)} == {NEXT}


def test_rows_that_were_staged_again_cannot_be_published_as_the_validated_ones(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        validated = stage(warehouse, rows(DAY, "1"))
        stage(warehouse, rows(DAY, "999"))
        with pytest.raises(StagingChanged):
            warehouse.publish(validated, [DAY], JOB)
        assert published(warehouse) == []


def test_a_new_nullable_column_is_added_and_old_rows_have_null_in_it(opened: Open) -> None:
    wider = replace(SCHEMA, columns=(*SCHEMA.columns, Column("team", "STRING")))
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1", n=1)), [DAY], JOB)
        assert warehouse.ensure_table(TABLE, wider).added == ("team",)
        assert warehouse.ensure_table(TABLE, wider).added == ()
        assert published(warehouse, "SELECT name, team FROM acme.costs") == [("n0", None)]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (SCHEMA.columns[:-1], "labels is in the table and no longer declared"),
        ((*SCHEMA.columns[:2], Column("cost", "FLOAT64"), SCHEMA.columns[3]), "cost is NUMERIC NULLABLE in the table and FLOAT64"),
        ((*SCHEMA.columns[:2], Column("cost", "NUMERIC", "REQUIRED"), SCHEMA.columns[3]), "NUMERIC REQUIRED as declared"),
        ((*SCHEMA.columns, Column("new", "STRING", "REQUIRED")), "new and REQUIRED"),
    ],
)  # fmt: skip
def test_a_change_that_is_not_additive_is_refused_and_writes_nothing(
    opened: Open, columns: tuple[Column, ...], said: str
) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.publish(stage(warehouse, rows(DAY, "1")), [DAY], JOB)
        before = published(warehouse)
        with pytest.raises(SchemaMismatch, match=said):
            warehouse.ensure_table(TABLE, replace(SCHEMA, columns=columns))
        assert published(warehouse) == before


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT @day AS day, 'a' AS name, NUMERIC '1' AS cost", "labels is declared and the SQL does not give it"),
        (rows(DAY, "1").sql.replace("SELECT", "SELECT 1 AS extra,", 1), "extra is given by the SQL and not declared"),
        (rows(DAY, "1").sql.replace("NUMERIC '1'", "'1'"), "cost is declared NUMERIC and the SQL gives"),
        (rows(DAY, "1").sql.replace("@day AS day", "CAST(NULL AS DATE) AS day"), "REQUIRED"),
    ],
)
def test_rows_that_do_not_fit_the_declared_columns_are_refused(opened: Open, sql: str, said: str) -> None:
    with opened() as warehouse, pytest.raises(SchemaMismatch, match=said):
        stage(warehouse, Query(sql, {"day": DAY} if "@day" in sql else {}))


def test_a_table_that_does_not_exist_is_named_with_the_nearest(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(NotFound, match=r"acme.cost does not exist; did you mean costs\?"):
            published(warehouse, "SELECT 1 AS one FROM acme.cost")
        with pytest.raises(NotFound, match="dataset nobody does not exist"):
            published(warehouse, "SELECT 1 AS one FROM nobody.costs")


def test_a_wrong_query_says_where(opened: Open) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(InvalidQuery) as caught:
            published(warehouse, "SELECT\n  day,\n  coost\nFROM acme.costs")
        assert (caught.value.line, caught.value.column) == (3, 3)
        with pytest.raises(InvalidQuery, match="line 1"):
            published(warehouse, "SELECT FROM WHERE")


@pytest.mark.parametrize("sql", ["DROP TABLE acme.costs", "DELETE FROM acme.costs WHERE TRUE", "SELECT 1; SELECT 2"])
def test_a_query_cannot_write(opened: Open, sql: str) -> None:
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(InvalidQuery):
            warehouse.read(Query(sql), JOB)
        assert published(warehouse) == []


def test_a_column_without_a_name_is_called_f0_and_the_next_one_f1_(opened: Open) -> None:
    sql = "SELECT COUNT(*), x.a, MAX(x.a) + 1, x.a AS named FROM (SELECT 1 AS a) AS x GROUP BY x.a UNION ALL SELECT 1, 2, 3, 4"
    with opened() as warehouse:
        assert warehouse.read(Query(sql), JOB).column_names == ["f0_", "a", "f1_", "named"]


VALUES = {
    "INT64": "-7", "NUMERIC": "NUMERIC '1.5'", "BIGNUMERIC": "BIGNUMERIC '-0.25'", "FLOAT64": "0.1", "BOOL": "TRUE",
    "DATE": "DATE '2026-03-01'", "DATETIME": "DATETIME '2026-03-01 05:00:00.120'", "TIME": "TIME '05:00:00'",
    "TIMESTAMP": "TIMESTAMP '2026-03-01 05:00:00+00'", "STRING": "'ä'", "BYTES": "CAST('a' AS BYTES)",
    "RECORD": "STRUCT(COUNT(*) AS n, MAX(TIMESTAMP '2026-03-01 05:00:00+00') AS newest)",
    "RECORD with BIGNUMERIC": "STRUCT(NUMERIC '2' AS cost, BIGNUMERIC '3' AS exact)",
    "RECORD of a sum": "STRUCT(COUNTIF(i > 2) AS n)", "NULL": "CAST(NULL AS TIMESTAMP)",
    "REPEATED": "[1, 2]", "REPEATED NUMERIC": "[NUMERIC '1.5']", "AGGREGATE": "SUM(i)", "COUNT": "COUNT(*)",
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_rows_have_the_values_that_the_same_query_has_as_arrow(opened: Open, kind: str) -> None:
    query = Query(f"SELECT i, {VALUES[kind]} AS value FROM UNNEST([2, 3]) AS i GROUP BY i ORDER BY i")
    with opened() as warehouse:
        found, arrow = warehouse.rows(query, JOB), warehouse.read(query, JOB).to_pylist()
    assert found == arrow
    assert [str(row["value"]) for row in found] == [str(row["value"]) for row in arrow]
    assert [row["i"] for row in found] == [2, 3]


def test_an_answer_without_rows_has_none(opened: Open) -> None:
    with opened() as warehouse:
        assert list(warehouse.rows(Query("SELECT i FROM UNNEST([1]) AS i WHERE i > 1"), JOB)) == []


def test_the_embedded_warehouse_gives_no_moment_that_bigquery_does_not_have(tmp_path: Path) -> None:
    late = "TIMESTAMP_ADD(TIMESTAMP '9999-12-31 23:59:59+00', INTERVAL 10 DAY)"
    with (
        DuckDBWarehouse(tmp_path) as warehouse,
        pytest.raises(InvalidQuery, match="TIMESTAMP out of range: 10000-01-10"),
    ):
        warehouse.rows(Query(f"SELECT {late} AS late"), JOB)


def test_a_statement_that_runs_too_long_is_cancelled(opened: Open) -> None:
    numbers = "SELECT i FROM UNNEST(GENERATE_DATE_ARRAY(DATE '1900-01-01', DATE '2100-01-01')) AS i"
    sql = f"SELECT COUNT(*) AS n FROM ({numbers}) AS a CROSS JOIN ({numbers}) AS b CROSS JOIN ({numbers}) AS c"
    with opened() as warehouse:
        began = time.monotonic()
        with pytest.raises(JobTimeout):
            warehouse.read(Query(sql), Job("slow", timeout_seconds=0.5))
        assert time.monotonic() - began < 20
        assert warehouse.read(Query("SELECT 1 AS one"), JOB).to_pylist() == [{"one": 1}]


def test_files_of_every_format_are_staged_alike(opened: Open, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = TableSchema(
        columns=(Column("day", "DATE"), Column("name", "STRING"), Column("cost", "NUMERIC")), partition_column="day"
    )
    (tmp_path / "a.csv").write_text('name,cost\n"x, y",1.5\n,2.25\n')
    (tmp_path / "a.jsonl").write_text('{"name": "x, y", "cost": 1.5}\n{"cost": 2.25}\n')
    pq.write_table(
        pa.table({"name": ["x, y", None], "cost": [Decimal("1.5"), Decimal("2.25")]}), tmp_path / "a.parquet"
    )
    with opened() as warehouse:
        found = []
        for kind in ("csv", "jsonl", "parquet"):
            staged = warehouse.stage_files(TABLE, schema, [SourceFile(str(tmp_path / f"a.{kind}"), kind, DAY)], JOB)
            read = warehouse.read_staged(staged, ["day", "name", "cost"], JOB)
            found.append(sorted(read.to_pylist(), key=lambda r: r["cost"]))
        expected = [
            {"day": DAY, "name": "x, y", "cost": Decimal("1.5")},
            {"day": DAY, "name": None, "cost": Decimal("2.25")},
        ]
        assert found == [expected] * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,cost,extra\na,1,2\n", "extra is not declared"),
        ("name,cost\na,expensive\n", "bad.csv:2 cost: expensive; expected a decimal number"),
    ],
)
def test_a_file_that_does_not_fit_is_named(opened: Open, tmp_path: Path, text: str, said: str) -> None:
    schema = TableSchema(
        columns=(Column("day", "DATE"), Column("name", "STRING"), Column("cost", "NUMERIC")), partition_column="day"
    )
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with opened() as warehouse, pytest.raises(SchemaMismatch, match=said) as caught:
        warehouse.stage_files(TABLE, schema, [SourceFile(str(file), "csv", DAY)], JOB)
    assert str(file) in str(caught.value)


def test_loading_a_source_twice_leaves_one_copy_of_each_day(opened: Open, tmp_path: Path) -> None:
    schema = TableSchema(
        columns=(Column("at", "TIMESTAMP"), Column("cost", "FLOAT64"), Column("_PARTITIONTIME", "TIMESTAMP")),
        partition_column="_PARTITIONTIME",
        ingestion_time_from="at",
    )
    source = TableRef("exports", "bills")
    file = tmp_path / "bills.jsonl"
    file.write_text('{"at": "2026-03-01T05:00:00Z", "cost": 1}\n{"at": "2026-03-02T23:59:59Z", "cost": 2}\n')
    with opened() as warehouse:
        for _ in range(2):
            assert warehouse.load_files(source, schema, [SourceFile(str(file), "jsonl")], JOB).rows == 2
        sql = "SELECT `at`, _PARTITIONTIME AS day FROM exports.bills ORDER BY `at`"
        assert published(warehouse, sql)[1] == (
            datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC),
            datetime(2026, 3, 2, tzinfo=UTC),
        )
        assert len(published(warehouse, sql)) == 2
        assert warehouse.tables_of(Dataset("exports")) == [source]


def test_a_long_read_of_one_dataset_does_not_hold_another_ones_publish(opened: Open) -> None:
    numbers = "SELECT i FROM UNNEST(GENERATE_DATE_ARRAY(DATE '1900-01-01', DATE '2100-01-01')) AS i"
    with opened() as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        warehouse.ensure_table(TableRef("globex", "costs"), SCHEMA)
    slow = (
        f"SELECT COUNT(*) AS n FROM acme.costs CROSS JOIN ({numbers}) AS a CROSS JOIN ({numbers}) AS b "
        f"CROSS JOIN ({numbers}) AS c RIGHT JOIN ({numbers}) AS d ON a.i < d.i AND b.i < c.i"
    )
    with reading(opened, slow), opened() as warehouse:
        began = time.monotonic()
        staged = warehouse.stage_query(TableRef("globex", "costs"), SCHEMA, [rows(DAY, "1")], Job("run-9"))
        warehouse.publish(staged, [DAY], Job("run-9"))
        assert time.monotonic() - began < 10


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
        wanted: tuple[Any, ...] = (
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
        assert (*found[:6], json.loads(found[6]), found[7] or [], found[8]) == wanted


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


@contextmanager
def reading(opened: Open, sql: str) -> Iterator[None]:
    """A thread that reads until the block ends."""
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with opened() as warehouse:
                try:
                    warehouse.read(Query(sql), Job("reader", timeout_seconds=3))
                except JobTimeout:
                    return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


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


@pytest.mark.peer
def test_a_partition_is_staged_as_it_was_at_a_moment_and_put_back(peer: Peer, tmp_path: Path) -> None:
    wider = replace(SCHEMA, columns=(*SCHEMA.columns, Column("team", "STRING"), Column("tags", "STRING", "REPEATED")))
    again, third = Job("run-2"), Job("run-3")
    with open_warehouse(peer.settings(tmp_path)) as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        before = a_moment()
        warehouse.publish(stage(warehouse, rows(DAY, "1"), rows(NEXT, "2")), [DAY, NEXT], JOB)
        good = a_moment()
        warehouse.ensure_table(TABLE, wider)
        spoilt = Query(f"SELECT *, 'a' AS team, ['t'] AS tags FROM ({rows(DAY, '9', n=5).sql})", {"day": DAY})
        bad = warehouse.stage_query(TABLE, wider, [spoilt], again)
        warehouse.publish(bad, [DAY], again)
        assert {r[2] for r in published(warehouse)} == {Decimal(9), Decimal(2)}
        staged = warehouse.stage_past(TABLE, wider, DAY, good, third)
        assert (staged.rows, staged.rows_per_partition, staged.target) == (2, {DAY: 2}, TABLE)
        assert warehouse.publish(staged, [DAY], third) == 2
        assert published(warehouse) == [
            (DAY, "n0", Decimal(1)), (DAY, "n1", Decimal(1)), (NEXT, "n0", Decimal(2)), (NEXT, "n1", Decimal(2)),
        ]  # fmt: skip
        assert published(warehouse, f"SELECT team, tags FROM acme.costs WHERE day = '{DAY}'") == [(None, [])] * 2
        assert warehouse.stage_past(TABLE, wider, DAY, before, Job("run-4")).rows == 0


@pytest.mark.peer
@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(days=8), "longer ago than BigQuery keeps rows"),
        (timedelta(days=-1), "still to come"),
        (timedelta(days=3), "no rows kept of|did not exist at"),
    ],
)
def test_a_moment_of_which_nothing_is_kept_is_refused(peer: Peer, tmp_path: Path, ago: timedelta, said: str) -> None:
    with open_warehouse(peer.settings(tmp_path)) as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(NotKept, match=said) as refused:
            warehouse.stage_past(TABLE, SCHEMA, DAY, datetime.now(UTC) - ago, JOB)
        assert "convergence run" in refused.value.remedy


def test_the_embedded_warehouse_says_that_it_keeps_no_past(tmp_path: Path) -> None:
    with DuckDBWarehouse(tmp_path) as warehouse, pytest.raises(NotKept, match="keeps no earlier rows of table acme"):
        warehouse.stage_past(TABLE, SCHEMA, DAY, datetime.now(UTC), JOB)


def a_moment() -> datetime:
    """One that lies after everything done so far and before everything done next, for a server that counts in ms."""
    time.sleep(0.05)
    moment = datetime.now(UTC)
    time.sleep(0.05)
    return moment
