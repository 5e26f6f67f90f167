"""BIGNUMERIC through the whole adapter: columns, parameters, errors and time."""

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.errors import InvalidQuery, JobTimeout, SchemaMismatch
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Query, TableSchema
from tests.warehouse.duckdb.bignumeric_numbers import WIDE, D
from tests.warehouse.duckdb.bignumeric_tables import DAY, DIGITS, JOB, SCHEMA, TABLE, read, row


def test_a_declared_bignumeric_is_staged_published_and_read_as_arrows_decimal(warehouse: DuckDBWarehouse) -> None:
    assert warehouse.ensure_table(TABLE, SCHEMA).created is False
    staged = warehouse.stage_query(TABLE, SCHEMA, [row(f"BIGNUMERIC '{DIGITS}'")], JOB)
    nested = {"r": [{"v": D("0.5"), "k": "a"}], "s": {"v": D(3), "k": "b"}, "l": [D(2)]}
    assert warehouse.read_staged(staged, ["x", "r", "s", "l"], JOB).to_pylist() == [{"x": DIGITS, **nested}]
    assert warehouse.publish(staged, [DAY], JOB) == 1
    table = warehouse.read(Query("SELECT x, r, s, l FROM acme.costs"), JOB)
    assert table.schema.field("x").type == pa.decimal256(76, 38)
    assert table.to_pylist() == [{"x": DIGITS, **nested}]
    assert warehouse.read(Query("SELECT x FROM acme.costs WHERE x > 0"), JOB).schema.types == [pa.decimal256(76, 38)]
    assert read(warehouse, "SELECT SUM(e.v) + x FROM acme.costs, UNNEST(r) AS e GROUP BY x") == [
        WIDE.add(DIGITS, D("0.5"))
    ]
    assert read(warehouse, "SELECT (SELECT SUM(e.v * 2) FROM UNNEST(r) AS e WHERE e.v < 1) AS t FROM acme.costs") == [
        D(1)
    ]
    assert read(warehouse, "SELECT CAST(l[SAFE_OFFSET(0)] AS BIGNUMERIC) * 2 AS t FROM acme.costs") == [D(4)]
    assert read(warehouse, "SELECT e + 1 AS t FROM acme.costs, UNNEST(l) AS e") == [D(3)]
    assert warehouse.dry_run(Query("SELECT x, m, x * m AS p FROM acme.costs")).columns == {
        "x": "BIGNUMERIC", "m": "DECIMAL(38,9)", "p": "BIGNUMERIC",
    }  # fmt: skip


def test_a_column_of_bignumeric_is_added_to_a_table(warehouse: DuckDBWarehouse) -> None:
    wider = TableSchema(columns=(*SCHEMA.columns, Column("y", "BIGNUMERIC")), partition_column="day")
    assert warehouse.ensure_table(TABLE, wider).added == ("y",)
    assert read(warehouse, "SELECT y + 1 AS z FROM acme.costs") == []


@pytest.mark.parametrize(
    ("given", "held"),
    [("NUMERIC '1.5'", D("1.5")), ("7", D(7)), ("NULL", None), ("CAST(@p AS BIGNUMERIC)", D(1000)), ("@p", D(1000))],
)
def test_a_narrower_number_goes_into_a_bignumeric_column(warehouse: DuckDBWarehouse, given: str, held: object) -> None:
    staged = warehouse.stage_query(TABLE, SCHEMA, [row(given, p=D("1e3"))], JOB)
    assert warehouse.read_staged(staged, ["x"], JOB).to_pylist() == [{"x": held}]


@pytest.mark.parametrize(("x", "m"), [("1", "BIGNUMERIC '1'"), ("CAST(1 AS FLOAT64)", "1"), ("'1'", "1")])
def test_another_type_than_declared_is_a_mismatch(warehouse: DuckDBWarehouse, x: str, m: str) -> None:
    with pytest.raises(
        SchemaMismatch, match=r"is declared (BIG)?NUMERIC and the SQL gives (BIGNUMERIC|DOUBLE|VARCHAR)"
    ):
        warehouse.stage_query(TABLE, SCHEMA, [row(x, m)], JOB)


def test_bound_values_keep_their_digits(warehouse: DuckDBWarehouse) -> None:
    largest = D("9" * 29 + "." + "9" * 9)
    for value in (D("1e28"), D("-1e-9"), largest, D("1.50"), D(0)):
        assert read(warehouse, "SELECT CAST(@p AS BIGNUMERIC) / 1 AS z", p=value) == [value]
        assert read(warehouse, "SELECT @p AS z", p=value) == [value]
    assert read(warehouse, "SELECT CAST(@p AS BIGNUMERIC) AS z", p=str(DIGITS)) == [DIGITS]
    for value in (D("1e29"), D("1e-10"), D("NaN")):
        with pytest.raises(InvalidQuery, match=r"parameter @p: .* does not fit NUMERIC"):
            read(warehouse, "SELECT @p AS z", p=value)


def test_errors_say_what_happened_without_pythons_stack(warehouse: DuckDBWarehouse) -> None:
    for sql, message in (
        ("SELECT BIGNUMERIC '1' / 0 AS z", "division by zero"),
        ("SELECT BIGNUMERIC '5e38' + BIGNUMERIC '5e38' AS z", "BIGNUMERIC overflow"),
        ("SELECT CAST('1,5' AS BIGNUMERIC) AS z", "not a text of BIGNUMERIC: 1,5"),
        ("SELECT CAST(BIGNUMERIC '1e29' AS NUMERIC) AS z", "beyond NUMERIC"),
        ("SELECT BIGNUMERIC '5e38' AS z", "more than 76 digits; CAST it AS STRING"),
    ):
        with pytest.raises(InvalidQuery, match=message) as raised:
            read(warehouse, sql)
        assert ".py" not in str(raised.value)
    assert read(warehouse, "SELECT CAST(BIGNUMERIC '5e38' AS STRING) AS z") == ["5" + "0" * 38]


def test_a_statement_of_bignumerics_is_cancelled_in_time(warehouse: DuckDBWarehouse) -> None:
    days = "UNNEST(GENERATE_DATE_ARRAY(DATE '2001-01-01', DATE '2030-12-31'))"
    sql = f"SELECT SUM(BIGNUMERIC '1.5' * EXTRACT(DAY FROM a) / 7) AS t FROM {days} AS a, {days} AS b"
    with pytest.raises(JobTimeout):
        warehouse.read(Query(sql), Job("run-1", timeout_seconds=0.5))
    assert read(warehouse, "SELECT BIGNUMERIC '1' AS z") == [D(1)]


def test_two_connections_compute_at_once(tmp_path: Path) -> None:
    found: list[object] = []

    def work(name: str) -> None:
        with DuckDBWarehouse(tmp_path / name) as opened:
            found.extend(read(opened, "SELECT SUM(BIGNUMERIC '0.1' * d) AS t FROM UNNEST([1, 2, 3]) AS d"))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [D("0.6")] * 2
