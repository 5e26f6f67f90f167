"""A tenant's day of gcp_billing as one script: the same SQL, the same suites, no Dagster and nothing of Convergence.

`python gcp_billing.py FOLDER TENANT DAY`: reads `FOLDER/<tenant>_billing_export.duckdb` by the SQL in `FOLDER/sql`
(DuckDB's own, with `$parameters`), publishes into `FOLDER/<tenant>.duckdb` and prints one JSON object,
`{table: {check: passed}}`. Exit code 1 when a critical check stopped a table. Written to be fast: rows are staged in
memory, a suite's queries are counted in one statement, as are the rows that break rules, and Great Expectations sees
the columns alone that it judges.

`FOLDER/suites/<table>.json` has the suite: `expectations` as Great Expectations has them, and `rules`, a SELECT that
counts the rows which break the rules of each name, with the severities of those names.
"""

import decimal
import json
import os
import re
import sys
import unicodedata
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

os.environ["GX_ANALYTICS_ENABLED"] = "false"

import duckdb
import great_expectations as gx

TABLES = (
    "gcp_cost_line_items", "gcp_cost_daily", "gcp_commitment_fees", "gcp_commitments", "gcp_charges", "gcp_focus",
)  # fmt: skip
MAY_BE_EMPTY = {"gcp_commitment_fees", "gcp_commitments"}
DAY_COLUMNS = {table: "x_UsageDate" if table == "gcp_focus" else "usage_date" for table in TABLES}
WORD = re.compile(r"""[^\s[\](){}/|<>!?@"^#$&~_,.:;*%+-]+""")
"""What BigQuery's INITCAP begins with a capital."""
EXACT = decimal.Context(prec=80)
NUMERIC_UNIT = decimal.Decimal("1e-9")
TIMEZONES = {"acme": "Europe/Berlin", "globex": "America/New_York", "initech": "Asia/Kolkata"}


def main() -> None:
    folder, tenant, day = Path(sys.argv[1]), sys.argv[2], date.fromisoformat(sys.argv[3])
    start, end = (datetime.combine(d, time(), ZoneInfo(TIMEZONES[tenant])) for d in (day, day + timedelta(days=1)))
    values = {
        "timezone": TIMEZONES[tenant], "first_partition_date": day, "last_partition_date": day,
        "partition_start": start, "partition_end": end,
    }  # fmt: skip
    warehouse = opened(folder, tenant)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    outcomes: dict[str, dict[str, bool]] = {}
    for table in TABLES:
        sql = (folder / "sql" / f"{table}.sql").read_text()
        warehouse.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {sql}", used(sql, values))
        warehouse.execute(f"CREATE TABLE IF NOT EXISTS {table} AS FROM staged LIMIT 0")
        suite = json.loads((folder / "suites" / f"{table}.json").read_text())
        outcomes[table] = judged(warehouse, context, table, suite, values)
        critical = {"rows_lie_in_the_partition"} | (set() if table in MAY_BE_EMPTY else {"partition_is_not_empty"})
        critical |= {c["meta"]["name"] for c in suite["expectations"] if c["severity"] == "critical"}
        critical |= {name for name, severity in suite["rules"]["severities"].items() if severity == "critical"}
        if any(not passed and name in critical for name, passed in outcomes[table].items()):
            break
        warehouse.execute("BEGIN")
        warehouse.execute(f"DELETE FROM {table} WHERE {DAY_COLUMNS[table]} = $day", {"day": day})
        warehouse.execute(f"INSERT INTO {table} FROM staged")
        warehouse.execute("COMMIT")
    warehouse.close()
    print(json.dumps(outcomes))
    sys.exit(0 if len(outcomes) == len(TABLES) else 1)


def opened(folder: Path, tenant: str) -> duckdb.DuckDBPyConnection:
    """The tenant's tables, with its export beside and the functions that the SQL calls."""
    connection = duckdb.connect(folder / f"{tenant}.duckdb", config={"storage_compatibility_version": "v1.3.0"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH '{folder / f'{tenant}_billing_export.duckdb'}' (READ_ONLY)")
    for function in (python_initcap, python_normalize, bignumeric_multiply_numeric, bignumeric_divide_numeric):
        connection.create_function(function.__name__, function)
    connection.execute((folder / "sql" / "functions.sql").read_text())
    return connection


def python_initcap(text: str) -> str:
    """Each word with a capital."""
    return WORD.sub(lambda word: word[0].capitalize(), text)


def python_normalize(text: str, form: str) -> str:
    return unicodedata.normalize(form, text)


def bignumeric_multiply_numeric(a: str, b: str) -> str:
    """Of numbers whose product is beyond 128 bits."""
    return rounded(EXACT.multiply(decimal.Decimal(a), decimal.Decimal(b)))


def bignumeric_divide_numeric(a: str, b: str) -> str:
    """Of numbers too large for 128 bits."""
    return rounded(EXACT.divide(decimal.Decimal(a), decimal.Decimal(b)))


def rounded(value: decimal.Decimal) -> str:
    return str(value.quantize(NUMERIC_UNIT, decimal.ROUND_HALF_UP, EXACT))


def judged(warehouse, context, table, suite, values):  # type: ignore[no-untyped-def]
    """Whether each check of the staged rows passed, by name."""
    queries = {
        check["meta"]["name"]: check["kwargs"]["unexpected_rows_query"]
        for check in suite["expectations"]
        if check["type"] == "unexpected_rows_expectation"
    }
    queries["rows_lie_in_the_partition"] = f"SELECT * FROM staged WHERE {DAY_COLUMNS[table]} != $first_partition_date"
    queries["partition_is_not_empty"] = "SELECT 1 WHERE NOT EXISTS (FROM staged)"
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM ({sql})" for name, sql in queries.items())
    passed = {name: count == 0 for name, count in warehouse.execute(counts, used(counts, values)).fetchall()}
    if sql := suite["rules"]["sql"]:
        broken = warehouse.execute(sql).fetchone()
        passed |= {name: count == 0 for name, count in zip(suite["rules"]["severities"], broken, strict=True)}
    framed = {c["meta"]["name"]: c for c in suite["expectations"] if c["meta"]["name"] not in queries}
    if not framed:
        return passed
    columns = ", ".join(sorted({c["kwargs"]["column"] for c in framed.values()}))
    frame = warehouse.execute(f"SELECT {columns} FROM staged").df()
    asset = context.data_sources.add_pandas(table).add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe(table).get_batch({"dataframe": frame})
    result = batch.validate(gx.ExpectationSuite(table, expectations=list(framed.values())), result_format="BASIC")
    return passed | {r.expectation_config.meta["name"]: bool(r.success) for r in result.results}


def used(sql: str, values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if f"${name}" in sql}


if __name__ == "__main__":
    main()
