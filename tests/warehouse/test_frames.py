import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.warehouse.frames import frame_from_arrow
from convergence_assets.warehouse.schema import Column

EVERY_TYPE = (
    Column("day", "DATE", "REQUIRED"),
    Column("name", "STRING"),
    Column("whole", "INT64"),
    Column("sure", "INT64", "REQUIRED"),
    Column("money", "NUMERIC"),
    Column("precise", "BIGNUMERIC"),
    Column("ratio", "FLOAT64"),
    Column("active", "BOOL"),
    Column("at", "TIMESTAMP"),
    Column("local", "DATETIME"),
    Column("clock", "TIME"),
    Column("raw", "BYTES"),
    Column("labels", "JSON"),
    Column("tags", "RECORD", "REPEATED", fields=(Column("key", "STRING"), Column("value", "NUMERIC"))),
    Column("project", "RECORD", fields=(Column("id", "STRING"),)),
)
AT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def bigquery_arrow() -> pa.Table:
    """The same two rows in the Arrow types of BigQuery's Storage API."""
    tag = pa.struct([("key", pa.string()), ("value", pa.decimal128(38, 9))])
    return pa.table({
        "day": pa.array([date(2026, 3, 29), date(2026, 3, 30)], pa.date32()),
        "name": pa.array(["a", None], pa.string()),
        "whole": pa.array([None, 2**60], pa.int64()),
        "sure": pa.array([1, 2], pa.int64()),
        "money": pa.array([Decimal("0.3"), None], pa.decimal128(38, 9)),
        "precise": pa.array([Decimal("0.1"), None], pa.decimal256(76, 38)),
        "ratio": pa.array([0.5, None], pa.float64()),
        "active": pa.array([True, None], pa.bool_()),
        "at": pa.array([AT, None], pa.timestamp("us", tz="UTC")),
        "local": pa.array([AT.replace(tzinfo=None), None], pa.timestamp("us")),
        "clock": pa.array([time(12, 30), None], pa.time64("us")),
        "raw": pa.array([b"\x00x", None], pa.binary()),
        "labels": pa.array(['{"b":2,"a":1}', None], pa.string()),
        "tags": pa.array([[{"key": "k", "value": Decimal("1.5")}], []], pa.list_(tag)),
        "project": pa.array([{"id": "p"}, None], pa.struct([("id", pa.string())])),
    })  # fmt: skip


def duckdb_arrow(time_zone: str) -> pa.Table:
    """The same two rows as DuckDB gives them to a session in that time zone."""
    with duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = '{time_zone}'")
        return connection.sql("""
            SELECT DATE '2026-03-29' AS day, 'a'::VARCHAR AS name, NULL::BIGINT AS whole, 1::INTEGER AS sure,
              0.3::DECIMAL(38, 9) AS money, 0.1::DECIMAL(38, 18) AS precise, 0.5::DOUBLE AS ratio, TRUE AS active,
              TIMESTAMPTZ '2026-03-29 01:30:00+00' AS at, TIMESTAMP '2026-03-29 01:30:00' AS local,
              TIME '12:30:00' AS clock, '\\x00x'::BLOB AS raw, '{"b": 2, "a": 1}'::JSON AS labels,
              [{'key': 'k', 'value': 1.5::DECIMAL(38, 9)}] AS tags, {'id': 'p'} AS project
            UNION ALL
            SELECT DATE '2026-03-30', NULL, 1152921504606846976, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
              NULL, NULL, NULL
            ORDER BY day
        """).to_arrow_table()


@pytest.mark.parametrize("time_zone", ["UTC", "Europe/Berlin", "America/Los_Angeles"])
def test_both_warehouses_give_the_same_frame(time_zone: str) -> None:
    ours = frame_from_arrow(duckdb_arrow(time_zone), EVERY_TYPE)
    theirs = frame_from_arrow(bigquery_arrow(), EVERY_TYPE)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_every_type_has_one_form_in_the_frame() -> None:
    first = frame_from_arrow(bigquery_arrow(), EVERY_TYPE).iloc[0]
    assert first.to_dict() == {
        "day": pd.Timestamp("2026-03-29"),
        "name": "a",
        "whole": None,
        "sure": 1,
        "money": Decimal("0.3"),
        "precise": Decimal("0.1"),
        "ratio": 0.5,
        "active": True,
        "at": pd.Timestamp(AT),
        "local": pd.Timestamp(AT.replace(tzinfo=None)),
        "clock": "12:30:00",
        "raw": b"\x00x",
        "labels": '{"a":1,"b":2}',
        "tags": '[{"key":"k","value":"1.5"}]',
        "project": '{"id":"p"}',
    }


def test_whole_numbers_beyond_a_floats_reach_stay_exact_beside_null() -> None:
    frame = frame_from_arrow(pa.table({"whole": pa.array([2**60 + 1, 2**60, None])}), [Column("whole", "INT64")])
    assert frame["whole"].nunique() == 2


@pytest.mark.parametrize("values", [[], [None, None], [1, 2], [1, None]])
def test_a_frames_types_depend_on_the_declaration_and_not_on_the_values(values: list[int | None]) -> None:
    texts = [None if value is None else str(value) for value in values]
    days = [None if value is None else date(2026, 1, value) for value in values]
    table = pa.table({
        "n": pa.array(values, pa.int64()), "s": pa.array(texts, pa.string()), "d": pa.array(days, pa.date32()),
        "b": pa.array([None if v is None else v > 1 for v in values], pa.bool_()),
    })  # fmt: skip
    frame = frame_from_arrow(
        table, [Column("n", "INT64"), Column("s", "STRING"), Column("d", "DATE"), Column("b", "BOOL")]
    )
    assert [str(kind) for kind in frame.dtypes] == ["Int64", "object", "datetime64[ns]", "object"]


@given(st.lists(st.decimals(allow_nan=False, places=9, min_value=-(10**28), max_value=10**28), max_size=20))
def test_money_keeps_every_digit(amounts: list[Decimal]) -> None:
    chunks = [pa.array([*part, None], pa.decimal128(38, 9)) for part in (amounts, amounts[:3])]
    table = pa.table({"money": pa.chunked_array(chunks)})
    frame = frame_from_arrow(table, [Column("money", "NUMERIC")])
    assert frame["money"].tolist() == [*amounts, None, *amounts[:3], None]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_any_arrow_string_becomes_shared_strings(kind: pa.DataType) -> None:
    words = pa.array(["a longer word", None, "a longer word"]).cast(kind)
    column = frame_from_arrow(pa.table({"s": pa.chunked_array([words, words])}), [Column("s", "STRING")])["s"]
    assert column.tolist() == ["a longer word", None, "a longer word"] * 2
    assert len({id(value) for value in column if value}) == 1


def test_a_date_that_nanoseconds_cannot_hold_keeps_its_value() -> None:
    frame = frame_from_arrow(pa.table({"d": pa.array([date(9999, 12, 31), None])}), [Column("d", "DATE")])
    assert frame["d"].dtype == np.dtype("datetime64[us]")
    assert frame["d"][0].date() == date(9999, 12, 31)


def test_columns_come_in_declared_order_under_their_declared_names() -> None:
    table = pa.table({"b": [1], "A": ["x"], "unused": [0]})
    frame = frame_from_arrow(table, [Column("a", "STRING"), Column("B", "INT64")])
    assert list(frame.columns) == ["a", "B"]


def test_a_missing_column_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="'cost' is missing"):
        frame_from_arrow(pa.table({"a": [1]}), [Column("cost", "NUMERIC")])


@pytest.mark.parametrize("declared", ["INT64", "DATE", "BOOL", "TIMESTAMP"])
def test_values_of_another_type_are_an_error_that_names_the_column(declared: str) -> None:
    with pytest.raises(ValueError, match="column 'c' is declared"):
        frame_from_arrow(pa.table({"c": ["not that"]}), [Column("c", declared)])  # type: ignore[arg-type]


def test_json_text_is_canonical() -> None:
    texts = ['{ "b" : 1, "a": [1, 2] }', '{"a":[1,2],"b":1}', None]
    column = frame_from_arrow(pa.table({"j": texts}), [Column("j", "JSON")])["j"]
    assert column[0] == column[1] == '{"a":[1,2],"b":1}'
    assert json.loads(column[0]) == {"a": [1, 2], "b": 1}
    assert column[2] is None


def test_an_empty_result_keeps_its_columns() -> None:
    frame = frame_from_arrow(bigquery_arrow().slice(0, 0), EVERY_TYPE)
    assert list(frame.columns) == [column.name for column in EVERY_TYPE]
    assert len(frame) == 0
