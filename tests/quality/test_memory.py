"""A large partition's frame and its validation, measured in a process of their own."""

import json
import subprocess
import sys
import textwrap

import pytest

MEASURED = textwrap.dedent("""
    import json
    import duckdb, numpy as np, pyarrow as pa, pandas
    from convergence_assets.quality.expectations import Expectation
    from convergence_assets.quality.pushdown import Batch
    from convergence_assets.quality.validate import validate_in_warehouse
    from convergence_assets.warehouse.duckdb.numeric import install_functions
    from tests.warehouse.duckdb_text import duckdb_text
    from convergence_assets.warehouse.frames import empty_frame, frame_from_arrow
    from convergence_assets.warehouse.schema import Column

    def memory_mb(which):
        # Not getrusage: its peak is that of the process that started this one, where that was larger.
        with open("/proc/self/status") as status:
            return int(next(line for line in status if line.startswith(which)).split()[1]) / 1024

    micro, rows, chance = 1_700_000_000_000_000, 1_000_000, np.random.default_rng(0)
    words = lambda n: pa.array([f"a word, number {i}" for i in range(n)]).take(pa.array(chance.integers(0, n, rows)))
    money = pa.array(np.round(chance.random(rows) * 100, 6)).cast(pa.string()).cast(pa.decimal128(38, 9))
    table = pa.table({
        "day": pa.array(np.full(rows, 20_000, "int32")).cast(pa.date32()),
        "id": pa.array([f"{i:040d}" for i in range(rows)]),
        "service": words(50), "sku": words(3000), "project": words(200), "region": words(30), "currency": words(1),
        "cost": money, "credits": money, "net": money,
        "usage": pa.array(chance.integers(0, 10**9, rows)),
        "at": pa.array(micro + chance.integers(0, 10**13, rows)).cast(pa.timestamp("us", "UTC")),
    })
    kinds = dict.fromkeys(("id", "service", "sku", "project", "region", "currency"), "STRING")
    kinds |= dict.fromkeys(("cost", "credits", "net"), "NUMERIC") | {"day": "DATE", "usage": "INT64", "at": "TIMESTAMP"}
    suite = [
        ("expect_column_values_to_not_be_null", {"column": "day"}),
        ("expect_column_values_to_not_be_null", {"column": "id"}),
        ("expect_column_values_to_be_unique", {"column": "id"}),
        ("expect_column_values_to_match_regex", {"column": "currency", "regex": "^a word"}),
        ("expect_column_values_to_be_in_set", {"column": "region", "value_set": ["a word, number 1"], "mostly": 0.5}),
        ("expect_column_values_to_be_between", {"column": "cost", "min_value": 50}),
        ("expect_column_values_to_be_between", {"column": "usage", "min_value": 0}),
        ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "cost", "column_B": "net", "or_equal": True}),
        ("expect_compound_columns_to_be_unique", {"column_list": ["day", "id", "service"]}),
        ("expect_column_value_lengths_to_equal", {"column": "id", "value": 40}),
        ("expect_column_sum_to_be_between", {"column": "cost", "min_value": 0}),
        ("expect_table_row_count_to_be_between", {"min_value": 1}),
    ]
    columns = {name: Column(name, kinds[name]) for name in table.column_names}
    connection = duckdb.connect(config={"memory_limit": "500MB", "threads": 1})
    install_functions(connection)
    connection.register("batch", table)
    frame_mb, read = 0, set()

    def run_query(sql):
        return connection.sql(duckdb_text(sql.replace("{batch}", "batch"), {"batch": columns})).to_arrow_table()

    def typed(result):
        return frame_from_arrow(result, [columns[name] for name in result.column_names])

    def read_frame(names):
        global frame_mb
        read.update(names)
        before = memory_mb("VmRSS")
        frame = typed(table.select(sorted(names)))
        frame_mb = memory_mb("VmRSS") - before
        return frame

    expectations = [Expectation(type_, type_, kwargs) for type_, kwargs in suite]
    outcomes = validate_in_warehouse(
        Batch(run_query, typed, empty_frame(list(columns.values())), kinds), read_frame, expectations,
        partition_column="day", partitions=["2024-10-04"], columns=kinds, only_if_exact=True,
    )
    peak_mb = memory_mb("VmHWM")
    failed = [o.name for o in outcomes if not o.passed]
    errors = [o.error for o in outcomes if o.error]
    print(json.dumps({"frame_mb": frame_mb, "peak_mb": peak_mb, "failed": failed, "errors": errors, "read": sorted(read)}))
""")


@pytest.mark.soak
def test_a_million_rows_are_validated_in_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout.splitlines()[-1])  # before it DuckDB may show its progress
    assert measured["errors"] == []
    assert measured["failed"] == ["expect_column_values_to_be_in_set", "expect_column_values_to_be_between"]
    assert not {"cost", "net", "usage"} & set(measured["read"])
    assert measured["frame_mb"] < 400
    assert measured["peak_mb"] < 1_300
