"""A staged range of cost rows on DuckDB, the frame read from it, and a suite of every type GX exports."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from convergence_assets.quality.expectations import CheckOutcome, Expectation
from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.frames import frame_from_arrow
from convergence_assets.warehouse.schema import Column
from tests.warehouse.duckdb_text import duckdb_text

COLUMNS = (
    Column("usage_date", "DATE", "REQUIRED"),
    Column("id", "STRING"),
    Column("currency", "STRING"),
    Column("region", "STRING"),
    Column("region2", "STRING"),
    Column("amount", "NUMERIC"),
    Column("credits", "NUMERIC"),
    Column("quantity", "INT64"),
    Column("seen_at", "TIMESTAMP"),
    Column("day_text", "STRING"),
    Column("labels", "JSON"),
    Column("active", "BOOL"),
)
FIRST_DAY = date(2026, 3, 1)

EVERY_TYPE: dict[str, dict[str, Any]] = {
    "expect_column_distinct_values_to_be_in_set": {"column": "currency", "value_set": ["EUR", "USD"]},
    "expect_column_distinct_values_to_contain_set": {"column": "currency", "value_set": ["EUR"]},
    "expect_column_distinct_values_to_equal_set": {"column": "currency", "value_set": ["EUR", "USD"]},
    "expect_column_kl_divergence_to_be_less_than": {
        "column": "currency",
        "partition_object": {"values": ["EUR", "USD"], "weights": [0.5, 0.5]},
        "threshold": 0.9,
    },
    "expect_column_max_to_be_between": {"column": "amount", "min_value": 1, "max_value": 1000},
    "expect_column_mean_to_be_between": {"column": "amount", "min_value": -1000, "max_value": 1000},
    "expect_column_median_to_be_between": {"column": "amount", "min_value": 1, "max_value": 1000},
    "expect_column_min_to_be_between": {"column": "amount", "min_value": -100, "max_value": 1000},
    "expect_column_most_common_value_to_be_in_set": {"column": "currency", "value_set": ["EUR"], "ties_okay": True},
    "expect_column_pair_values_a_to_be_greater_than_b": {
        "column_A": "amount",
        "column_B": "credits",
        "or_equal": True,
        "ignore_row_if": "either_value_is_missing",
    },
    "expect_column_pair_values_to_be_equal": {"column_A": "region", "column_B": "region2", "mostly": 0.5},
    "expect_column_pair_values_to_be_in_set": {
        "column_A": "currency",
        "column_B": "region",
        "value_pairs_set": [["EUR", "eu"], ["USD", "us"]],
        "mostly": 0.4,
    },
    "expect_column_proportion_of_non_null_values_to_be_between": {"column": "region", "min_value": 0.5},
    "expect_column_proportion_of_unique_values_to_be_between": {"column": "id", "min_value": 0.9},
    "expect_column_quantile_values_to_be_between": {
        "column": "amount",
        "quantile_ranges": {"quantiles": [0.1, 0.5], "value_ranges": [[-100, 100], [0, 100]]},
    },
    "expect_column_stdev_to_be_between": {"column": "amount", "min_value": 0, "max_value": 1000},
    "expect_column_sum_to_be_between": {"column": "amount", "min_value": 1},
    "expect_column_to_exist": {"column": "amount"},
    "expect_column_type_to_be": {"column": "amount", "type_": "NUMERIC"},
    "expect_column_unique_value_count_to_be_between": {"column": "currency", "min_value": 1, "max_value": 2},
    "expect_column_value_lengths_to_be_between": {"column": "currency", "min_value": 3, "max_value": 3},
    "expect_column_value_lengths_to_equal": {"column": "currency", "value": 3},
    "expect_column_value_z_scores_to_be_less_than": {"column": "amount", "threshold": 2, "double_sided": True},
    "expect_column_values_to_be_between": {"column": "amount", "min_value": 0, "max_value": 90, "mostly": 0.8},
    "expect_column_values_to_be_dateutil_parseable": {"column": "day_text"},
    "expect_column_values_to_be_decreasing": {"column": "quantity", "mostly": 0.4},
    "expect_column_values_to_be_in_set": {"column": "currency", "value_set": ["EUR", "USD"], "mostly": 0.9},
    "expect_column_values_to_be_in_type_list": {"column": "amount", "type_list": ["NUMERIC", "FLOAT64"]},
    "expect_column_values_to_be_increasing": {"column": "quantity", "mostly": 0.4},
    "expect_column_values_to_be_json_parseable": {"column": "labels"},
    "expect_column_values_to_be_null": {"column": "region", "mostly": 0.1},
    "expect_column_values_to_be_of_type": {"column": "currency", "type_": "str"},
    "expect_column_values_to_be_unique": {"column": "id"},
    "expect_column_values_to_match_json_schema": {"column": "labels", "json_schema": {"type": "object"}},
    "expect_column_values_to_match_like_pattern": {"column": "region", "like_pattern": "%u%", "mostly": 0.9},
    "expect_column_values_to_match_like_pattern_list": {
        "column": "region",
        "like_pattern_list": ["e_", "us%"],
        "match_on": "any",
    },
    "expect_column_values_to_match_regex": {"column": "currency", "regex": "^[A-Z]{3}$"},
    "expect_column_values_to_match_regex_list": {"column": "currency", "regex_list": ["^E", "^U"], "match_on": "any"},
    "expect_column_values_to_match_strftime_format": {"column": "day_text", "strftime_format": "%Y-%m-%d"},
    "expect_column_values_to_not_be_in_set": {"column": "currency", "value_set": ["GBP"]},
    "expect_column_values_to_not_be_null": {"column": "region", "mostly": 0.7},
    "expect_column_values_to_not_be_outliers": {"column": "amount", "method": "iqr", "multiplier": 1.0},
    "expect_column_values_to_not_match_like_pattern": {"column": "region", "like_pattern": "x%"},
    "expect_column_values_to_not_match_like_pattern_list": {"column": "region", "like_pattern_list": ["x%", "a_"]},
    "expect_column_values_to_not_match_regex": {"column": "currency", "regex": "^X"},
    "expect_column_values_to_not_match_regex_list": {"column": "currency", "regex_list": ["^X", "^Y"]},
    "expect_compound_columns_to_be_unique": {"column_list": ["id", "currency"]},
    "expect_multicolumn_sum_to_equal": {"column_list": ["quantity", "quantity"], "sum_total": 4, "mostly": 0.01},
    "expect_multicolumn_values_to_be_equal": {"column_list": ["region", "region2"], "mostly": 0.8},
    "expect_query_results_to_match_comparison": {
        "base_query": "SELECT 1",
        "comparison_data_source_name": "other",
        "comparison_query": "SELECT 1",
    },
    "expect_select_column_values_to_be_unique_within_record": {"column_list": ["currency", "region"]},
    "expect_table_column_count_to_be_between": {"min_value": 5, "max_value": 20},
    "expect_table_column_count_to_equal": {"value": len(COLUMNS)},
    "expect_table_columns_to_match_ordered_list": {"column_list": [column.name for column in COLUMNS]},
    "expect_table_columns_to_match_set": {"column_set": ["id", "amount"], "exact_match": False},
    "expect_table_row_count_to_be_between": {"min_value": 20, "max_value": 1_000_000},
    "expect_table_row_count_to_equal": {"value": 25},
    "expect_table_row_count_to_equal_other_table": {"other_table_name": "other"},
    "unexpected_rows_expectation": {"unexpected_rows_query": "SELECT usage_date, id FROM {batch} WHERE amount < -5"},
}
RUN_ELSEWHERE = {"expect_query_results_to_match_comparison", "expect_table_row_count_to_equal_other_table"}


@dataclass(frozen=True)
class Staged:
    """Rows on DuckDB with what `validate` needs beside a suite."""

    table: pa.Table
    partitions: tuple[str, ...]

    @property
    def frame(self) -> Any:
        return frame_from_arrow(self.table, COLUMNS)

    def only(self, key: str) -> "Staged":
        of_day = self.table.filter(pa.compute.equal(self.table["usage_date"], pa.scalar(date.fromisoformat(key))))
        return Staged(of_day, (key,))

    def run_query(self, sql: str) -> pa.Table:
        statement = duckdb_text(sql.replace("{batch}", "batch"), {"batch": {column.name: column for column in COLUMNS}})
        with duckdb.connect() as connection:
            install_functions(connection)
            connection.register("batch", self.table)
            return connection.sql(statement).to_arrow_table()

    def validate(self, suite: Sequence[Expectation], **changed: Any) -> tuple[CheckOutcome, ...]:
        from convergence_assets.quality.validate import validate

        arguments: dict[str, Any] = {
            "partition_column": "usage_date",
            "partitions": self.partitions,
            "run_query": self.run_query,
            "columns": {column.name: column.type for column in COLUMNS},
        }
        return validate(changed.pop("frame", self.frame), suite, **(arguments | changed))


def rows_of(days: Mapping[date, int], seed: int) -> pa.Table:
    """Cost rows as DuckDB gives them: each day with NULLs, repeated ids, refunds, and its own share of bad values."""
    chance = random.Random(seed)
    rows = []
    for number, (day, count) in enumerate(days.items()):
        for position in range(count):
            region = chance.choice(["eu", "us", None, "asia"] if number % 2 else ["eu", "us", "us", None])
            amount = Decimal(chance.randint(-9_000, 99_999)) / 1000
            rows.append((
                day,
                f"row-{position if chance.random() > 0.1 else 0}",
                chance.choice(["EUR", "USD", "EUR", "xx" if number == 1 else "USD"]),
                None if number == 2 else region,
                region if chance.random() > 0.2 else "eu",
                None if chance.random() < 0.1 else amount,
                None if chance.random() < 0.1 else Decimal(chance.randint(-9_000, 0)) / 1000,
                None if chance.random() < 0.2 else chance.randint(0, 5),
                f"{day}T0{chance.randint(0, 9)}:00:00Z",
                f"{day}" if chance.random() > 0.1 else "not a day",
                '{"team": "a"}' if chance.random() > 0.1 else "[1]",
                chance.choice([True, False, None]),
            ))  # fmt: skip
    sql = (
        "SELECT * FROM (VALUES (NULL::DATE, NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, "
        "NULL::DECIMAL(38, 9), NULL::DECIMAL(38, 9), NULL::BIGINT, NULL::TIMESTAMPTZ, NULL::VARCHAR, NULL::VARCHAR, "
        f"NULL::BOOLEAN)) AS t({', '.join(column.name for column in COLUMNS)}) LIMIT 0"
    )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Europe/Berlin'")
        connection.execute(f"CREATE TABLE staged AS {sql}")
        if rows:
            connection.executemany(f"INSERT INTO staged VALUES ({', '.join('?' * len(COLUMNS))})", rows)
        return connection.sql("SELECT * FROM staged").to_arrow_table()


@pytest.fixture(scope="session")
def staged_rows() -> Callable[..., Staged]:
    """Staged rows of consecutive days: `staged_rows(30, 25)` for two days; the same seed gives the same rows."""

    def make(*counts: int, seed: int = 7) -> Staged:
        days = {FIRST_DAY + timedelta(days=number): count for number, count in enumerate(counts)}
        return Staged(rows_of(days, seed), tuple(day.isoformat() for day in days))

    return make


@pytest.fixture(scope="session")
def week(staged_rows: Callable[..., Staged]) -> Staged:
    """Five days of rows; on the third no region is known, the fourth is empty."""
    return staged_rows(30, 25, 20, 0, 40)


@pytest.fixture(scope="session")
def suite_of() -> Callable[..., list[Expectation]]:
    """A suite from (type, kwargs) pairs."""

    def make(*pairs: tuple[str, Mapping[str, Any]], severity: Any = "critical") -> list[Expectation]:
        return [
            Expectation(name=f"{type_}_{number}", type=type_, kwargs=dict(kwargs), severity=severity)
            for number, (type_, kwargs) in enumerate(pairs)
        ]

    return make


@pytest.fixture(scope="session")
def every_type(suite_of: Callable[..., list[Expectation]]) -> list[Expectation]:
    """One expectation of every type that Great Expectations 1.24's core exports."""
    return suite_of(*EVERY_TYPE.items())


@pytest.fixture(scope="session")
def day(week: Any) -> Any:
    return week.only(str(FIRST_DAY))


@pytest.fixture
def one(suite_of: Any) -> Callable[..., CheckOutcome]:
    """One expectation over a small frame of one partition: columns as {name: (type, values)}."""

    def judge(type_: str, kwargs: dict[str, Any], columns: dict[str, tuple[str, list[Any]]], **changed: Any) -> Any:
        from convergence_assets.quality.validate import validate

        kinds = {
            "STRING": pa.string(), "INT64": pa.int64(), "NUMERIC": pa.decimal128(38, 9), "DATE": pa.date32(),
            "TIMESTAMP": pa.timestamp("us", "UTC"), "BOOL": pa.bool_(),
        }  # fmt: skip
        rows = len(next(iter(columns.values()))[1])
        table = {"day": pa.array([FIRST_DAY] * rows, pa.date32())}
        for name, (kind, values) in columns.items():
            if kind == "NUMERIC":
                table[name] = pa.array([None if v is None else str(v) for v in values]).cast(kinds[kind])
            else:
                table[name] = pa.array(values, kinds[kind])
        schema = [Column("day", "DATE", "REQUIRED"), *(Column(n, k) for n, (k, _) in columns.items())]  # type: ignore[arg-type]
        frame = frame_from_arrow(pa.table(table), schema)
        arguments: dict[str, Any] = {"partition_column": "day", "partitions": [str(FIRST_DAY)]}
        (outcome,) = validate(frame, suite_of((type_, kwargs)), **(arguments | changed))
        return outcome

    return judge


@pytest.fixture(scope="session")
def in_warehouse() -> Callable[..., Any]:
    """Validates staged rows where they are: the outcomes, the queries sent, and the columns read as a frame."""

    def judge(staged: Staged, suite: Sequence[Expectation], **changed: Any) -> Any:
        from convergence_assets.quality.pushdown import Batch
        from convergence_assets.quality.validate import validate_in_warehouse

        sent: list[str] = []
        framed: set[str] = set()

        def run_query(sql: str) -> pa.Table:
            sent.append(sql)
            return staged.run_query(sql)

        def typed(table: pa.Table) -> Any:
            return frame_from_arrow(table, [c for c in COLUMNS if c.name in table.column_names])

        def read_frame(names: frozenset[str]) -> Any:
            framed.update(names)
            return typed(staged.table.select([c.name for c in COLUMNS if c.name in names]))

        types = {column.name: column.type for column in COLUMNS}
        batch = Batch(run_query, typed, typed(staged.table.slice(0, 0)), types)
        arguments: dict[str, Any] = {
            "partition_column": "usage_date",
            "partitions": staged.partitions,
            "columns": types,
        }
        return validate_in_warehouse(batch, read_frame, suite, **(arguments | changed)), sent, framed

    return judge
