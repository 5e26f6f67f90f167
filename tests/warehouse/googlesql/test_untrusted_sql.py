"""What an author may write to reach beyond their statement, or to take a load's time and memory."""

import re
from collections.abc import Sequence

import pytest

from convergence_assets.warehouse.duckdb import answers
from convergence_assets.warehouse.duckdb.generator import calls, planning
from convergence_assets.warehouse.duckdb.outcomes import outcome
from convergence_assets.warehouse.errors import WarehouseError


def test_a_literal_that_looks_like_a_mark_stays_a_literal() -> None:
    marks: list[str] = []

    def noted(texts: Sequence[str]) -> str:
        marks.extend(texts)
        return texts[0]

    calls.once(["lower('a')"], noted)
    forged = re.sub(r"-(\d+)", lambda found: f"-{int(found[1]) + 2}", marks[0])
    texts = [f"rtrim('{forged}', 'z')", "ltrim(' || version() || ', 'z')"]
    assert calls.once(texts, " || ".join) == " || ".join(texts)


def test_a_mark_cannot_be_guessed() -> None:
    marks: list[str] = []
    calls.once(["lower('a')"], lambda texts: marks.extend(texts) or texts[0])  # type: ignore[func-returns-value]
    assert re.fullmatch(r"\x01[0-9a-f]{32}-[0-9]+\x02", marks[0])


@pytest.mark.parametrize("sql", [
    "SELECT 1 AS `a\\x00b\\x00`", "SELECT STRUCT(1 AS `a\\x00b`).`a\\x00b` AS x",
    "WITH `a\\x00` AS (SELECT 1 AS x) SELECT * FROM `a\\x00`",
])  # fmt: skip
def test_a_name_with_a_nul_stands_for_no_table(sql: str) -> None:
    assert answers.refusals(sql) or answers.rows(sql) == [(1,)]


def test_no_plan_reads_a_file() -> None:
    with planning._lock, pytest.raises(WarehouseError):
        planning._engine().run("EXPLAIN SELECT content FROM read_text('/etc/hostname')")


@pytest.mark.parametrize("sql", [
    "SELECT ARRAY_LENGTH(GENERATE_ARRAY(1, 100000000000)) AS n",
    "SELECT EDIT_DISTANCE(REPEAT('a', 1000000), REPEAT('b', 1000000)) AS n",
])  # fmt: skip
def test_the_load_works_out_nothing_that_is_constant(sql: str) -> None:
    assert answers.refusals(sql) == ()


def _nested(form: str, innermost: str, depth: int) -> str:
    nested = innermost
    for level in range(depth):
        nested = form.format(of=nested, level=level)
    return f"SELECT {nested} AS x"


@pytest.mark.parametrize(("sql", "longest"), [
    (_nested("CASE {of} WHEN 1 THEN 2 WHEN 2 THEN 3 END", "LENGTH('a')", 40), 10_000),
    (_nested("(SELECT SUM({of}) FROM (SELECT DISTINCT y FROM UNNEST([1]) y))", "1.5", 9), 20_000),
    (_nested("(SELECT AVG(x{level}) FROM UNNEST([{of}]) x{level})", "1.5", 9), 20_000),
    (_nested("(SELECT x{level} FROM UNNEST([{of}]) x{level})", "1.5", 9), 20_000),
], ids=["case", "aggregate", "average of a list", "element of a list"])  # fmt: skip
def test_what_nests_grows_no_faster_than_its_depth(sql: str, longest: int) -> None:
    found = outcome(sql, {}, {}, keep=False)
    assert found.refusals + found.unsupported == ()
    assert len(found.text) < longest


def test_a_text_with_a_number_of_many_digits_is_no_name() -> None:
    digits = "1" * 5000
    assert answers.rows(f"SELECT REPLACE(UPPER('let{digits}'), LOWER('x'), CONCAT('y', LOWER('z'))) AS x") == [
        (f"LET{digits}",)
    ]


def test_many_comments_before_a_statement_take_no_time() -> None:
    assert answers.rows("/* a */ /* b */\n" * 200 + "SELECT 1 AS x") == [(1,)]


def test_safe_before_a_temporary_function_is_of_the_function_alone() -> None:
    function = "CREATE TEMP FUNCTION f(x INT64) AS (DIV(10, x)); "
    assert answers.rows(f"{function}SELECT SAFE.f(0) AS a, SAFE.f(5) AS b") == [(None, 2)]
    with pytest.raises(WarehouseError, match="division by zero"):
        answers.rows(f"{function}SELECT SAFE.f(DIV(1, y)) AS a FROM UNNEST([0]) AS y")
