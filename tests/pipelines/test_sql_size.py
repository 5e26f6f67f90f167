"""SQL that is too large or too deep is refused before anything recurses over it."""

import subprocess
import sys
import time

import pytest

from convergence_assets.pipelines.compile import compile_sql
from convergence_assets.pipelines.problems import TemplateError
from convergence_assets.pipelines.sql_size import oversize

LARGE = {
    "a sum of 20 000": "SELECT " + " + ".join(["1"] * 20_000),
    "a sum of 5 000": "SELECT " + " + ".join(["1"] * 5_000),
    "conditions": "SELECT 1 FROM t WHERE " + " AND ".join(["a = 1"] * 2_000),
    "brackets": "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "brackets that stay open": "SELECT " + "(" * 100_000,
    "arrays": "SELECT " + "[" * 1_000 + "1" + "]" * 1_000,
    "minus": "SELECT " + "- " * 5_000 + "1",
    "not": "SELECT " + "NOT " * 9_000 + "TRUE",
    "cases": "SELECT " + "CASE WHEN TRUE THEN " * 500 + "1" + " END" * 500,
    "subqueries": "SELECT * FROM (" * 300 + "SELECT 1" + ")" * 300,
    "unions": " UNION ALL ".join(["SELECT 1"] * 2_000),
    "elements of elements": "SELECT a" + "[0]" * 4_000 + " FROM t",
    "fields of fields": "SELECT a" + ".b" * 4_000 + " FROM t",
    "joins": "SELECT 1 FROM a" + " JOIN b" * 3_000,
    "lambdas": "SELECT " + "x -> " * 4_000 + "1",
    "intervals": "SELECT " + "INTERVAL " * 4_000 + "1 DAY",
    "a long text": "SELECT '" + "x" * 300_000 + "'",
    "many columns": "SELECT " + ", ".join(f"a{n}" for n in range(15_000)) + " FROM t",
}


@pytest.mark.parametrize("sql", LARGE.values(), ids=list(LARGE))
def test_sql_beyond_a_bound_is_refused_at_once(sql: str) -> None:
    began = time.process_time()
    with pytest.raises(TemplateError) as caught:
        compile_sql("own/lines.sql", f"-- a comment\n{sql}", frozenset())
    assert time.process_time() - began < 1.0
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("own/lines.sql", 2 if "characters" not in problem.message else 1)
    assert problem.expected


WITHIN = {
    "a long list": "SELECT a FROM t WHERE a IN (" + ", ".join(str(n) for n in range(5_000)) + ")",
    "many conditions": "SELECT a FROM t WHERE " + " OR ".join(f"a = {n}" for n in range(140)),
    "many columns": "SELECT " + ", ".join(f"a{n} + {n} AS b{n}" for n in range(1_500)) + " FROM t",
    "cases": "SELECT " + "CASE WHEN a THEN " * 40 + "1" + " END" * 40 + " AS a FROM t",
    "unions": " UNION ALL ".join(["SELECT 1 AS a"] * 400),
}


@pytest.mark.parametrize("sql", WITHIN.values(), ids=list(WITHIN))
def test_sql_within_the_bounds_is_read(sql: str) -> None:
    assert compile_sql("x.sql", sql, frozenset()).returns


@pytest.mark.slow
def test_nothing_within_the_bounds_ends_the_process() -> None:
    """As deep as the bounds let it be, for each way to nest."""
    ways = ["(", "[", "CASE WHEN TRUE THEN ", "IF(TRUE, ", "STRUCT(", "(SELECT ", "ARRAY(SELECT ", "CAST("]
    chains = ["- ", "NOT ", "x -> ", "INTERVAL ", "1 + ", "a.", "a = "]
    code = (
        "import sqlglot\n"
        "from convergence_assets.pipelines.sql_size import oversize\n"
        f"for way in {ways!r}:\n"
        f"    for chain in {chains!r}:\n"
        "        for deep in (30, 58):\n"
        "            text = 'SELECT ' + ''.join(way + chain * (290 if n % 2 else 3) for n in range(deep)) + '1'\n"
        "            if oversize(text) is None:\n"
        "                try:\n"
        "                    sqlglot.parse(text, read='bigquery')\n"
        "                except (sqlglot.errors.SqlglotError, RecursionError):\n"
        "                    pass\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=250)
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-2000:]


def test_text_that_is_no_sql_is_left_to_the_parser() -> None:
    assert oversize("SELECT 'never closed") is None
