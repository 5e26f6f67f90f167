"""Mistakes put into valid queries: the analyzer refuses them in words and at a place within the text, and never else."""

import re
from collections.abc import Callable
from random import Random

import pytest

from convergence_assets.warehouse.duckdb import answers
from convergence_assets.warehouse.googlesql.analysis import analyzed
from convergence_assets.warehouse.googlesql.client import Refused
from convergence_assets.warehouse.schema import Column
from tests.warehouse.googlesql.random_queries import random_query

FEW, MANY = 100, 20_000
TABLES = {
    "sales": (
        Column("day", "DATE"), Column("name", "STRING"), Column("amount", "NUMERIC"), Column("units", "INT64"),
        Column("at", "TIMESTAMP"), Column("ok", "BOOL"), Column("tags", "STRING", mode="REPEATED"),
    ),
}  # fmt: skip
VALID = """\
WITH daily AS (
\tSELECT day, name, SUM(amount) AS total, COUNT(*) AS lines
\tFROM sales WHERE day >= '2024-01-01' AND ok GROUP BY day, name
)
SELECT d.day, UPPER(d.name) AS name, IF(d.total > 0, d.total, 0) AS total,
  ROW_NUMBER() OVER (PARTITION BY d.name ORDER BY d.day) AS number
FROM daily AS d LEFT JOIN sales AS s ON s.day = d.day AND s.name = d.name
WHERE d.lines BETWEEN 1 AND 10 ORDER BY day"""
# What is written instead, and where the mistake is: line and column.
MISTAKES = {
    "a misspelt column": ("SUM(amount)", "SUM(amuont)", (2, 24)),
    "an ungrouped column": ("GROUP BY day, name", "GROUP BY day", (2, 14)),
    "a sum of text": ("SUM(amount)", "SUM(name)", (2, 20)),
    "a date beside a number": ("day >= '2024-01-01'", "day > 20240101", (3, 19)),
    "a text that is no date": ("'2024-01-01'", "'1 January'", (3, 26)),
    "an aggregate in WHERE": ("AND ok", "AND COUNT(*) > 1", (3, 43)),
    "a condition that is none": ("AND ok", "AND units", (3, 19)),
    "IF of two types": ("d.total, 0)", "d.total, 'none')", (5, 38)),
    "an unknown function": ("UPPER(", "UPCASE(", (5, 15)),
    "one argument too many": ("UPPER(d.name)", "UPPER(d.name, 1)", (5, 15)),
    "an unknown table": ("FROM daily", "FROM dayly", (7, 6)),
    "an unknown alias": ("s.day = d.day", "x.day = d.day", (7, 41)),
    "a join of two types": ("s.day = d.day", "s.day = d.name", (7, 41)),
    "a missing comma": ("SELECT day, name", "SELECT day name lines", (2, 18)),
    "a missing bracket": ("SUM(amount)", "SUM(amount", (3, 2)),
    "one bracket too many": ("GROUP BY day, name", "GROUP BY day, name)", (4, 1)),
    "a misspelt keyword": ("LEFT JOIN", "LEFT JION", (7, 22)),
    "a window without order": ("ORDER BY d.day)", "ORDER BY)", (6, 50)),
    "BETWEEN of two types": ("BETWEEN 1 AND 10", "BETWEEN 1 AND 'ten'", (8, 15)),
    "an alias in WHERE": ("WHERE d.lines", "WHERE number > 1 AND d.lines", (8, 7)),
    "an array compared": ("AND ok", "AND tags = ['a']", (3, 43)),
    "an unclosed text": ("'2024-01-01'", "'2024-01-01", (3, 26)),
}  # fmt: skip


def place_of(sql: str, refused: Refused) -> None:
    """Asserts that the place lies within the text."""
    lines = re.split(r"\r\n|\r|\n", sql)
    assert refused.message
    if refused.message.startswith("Invalid NUMERIC value"):  # of a literal that is folded: GoogleSQL names no place
        return
    assert 1 <= refused.line <= len(lines), (sql, refused.line, refused.message)
    assert 1 <= refused.column <= len(lines[refused.line - 1]) + 1, (sql, refused.column, refused.message)


def test_the_query_is_valid_before_a_mistake_is_put_into_it() -> None:
    assert [column.type for column in analyzed(VALID, TABLES).columns] == ["DATE", "STRING", "NUMERIC", "INT64"]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_where_it_is(name: str) -> None:
    right, wrong, (line, column) = MISTAKES[name]
    assert right in VALID
    sql = VALID.replace(right, wrong, 1)
    with pytest.raises(Refused) as caught:
        analyzed(sql, TABLES)
    place_of(sql, caught.value)
    assert (caught.value.line, caught.value.column) == (line, column), caught.value.message


def _misspelt(random: Random, sql: str) -> str:
    words = list(re.finditer(r"[A-Za-z_]{2,}", sql))
    word = random.choice(words)
    return sql[: word.start()] + word[0][1:] + word[0][0] + sql[word.end() :]


def _lost(random: Random, sql: str) -> str:
    at = random.choice([m.start() for m in re.finditer(r"[(),\[\]<>'=.]", sql)])
    return sql[:at] + sql[at + 1 :]


def _doubled(random: Random, sql: str) -> str:
    at = random.choice([m.start() for m in re.finditer(r"[(),\[\]<>'=.]| ", sql)])
    return sql[:at] + sql[at] * 2 + sql[at + 1 :]


def _another_type(random: Random, sql: str) -> str:
    found = random.choice(list(re.finditer(r"q\d+\.\w+|\b\d+\b|TRUE|FALSE", sql)))
    put = random.choice(
        ("'text'", "DATE '2024-01-01'", "[1]", "STRUCT(1, 'a')", "COUNT(*)", "NULL", "b'a'", "TRUE", "1.5")
    )
    return sql[: found.start()] + put + sql[found.end() :]


def _swapped(random: Random, sql: str) -> str:
    words = sql.split(" ")
    at, to = random.randrange(len(words)), random.randrange(len(words))
    words[at], words[to] = words[to], words[at]
    return " ".join(words)


def _cut(random: Random, sql: str) -> str:
    return sql[: random.randrange(1, len(sql))]


def _put(random: Random, sql: str) -> str:
    at = random.randrange(len(sql))
    return (
        sql[:at]
        + random.choice(
            (
                ";",
                "\0",
                "\t",
                "\n",
                "é",
                "😀",
                "`",
                '"',
                "\\",
                "@",
                "@x",
                "?",
                "/*",
                "--",
                "#",
                "$",
                "{",
                "\r\n",
                "\u2028",
                "\x0b",
            )
        )
        + sql[at:]
    )


MUTATIONS: tuple[Callable[[Random, str], str], ...] = (
    _misspelt, _lost, _doubled, _another_type, _swapped, _cut, _put,
)  # fmt: skip


def mutated(seed: int) -> str:
    random = Random(seed)
    # A line break after each clause: places on other lines than the first.
    sql = re.sub(r" (FROM|WHERE|GROUP|SELECT) ", r"\n\t\1 ", random_query(seed).sql)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        if len(sql) > 2 and re.search(r"q\d+\.\w+|\b\d+\b|TRUE|FALSE", sql) and re.search(r"[A-Za-z_]{2,}", sql):
            sql = random.choice(MUTATIONS)(random, sql)
    return sql


def _is_refused_in_its_text_or_valid(sql: str) -> bool:
    try:
        analyzed(sql, {})
    except Refused as refused:
        place_of(sql, refused)
        return True
    return False


@pytest.mark.property
def test_random_mistakes_are_refused_at_a_place_in_the_text() -> None:
    refused = [_is_refused_in_its_text_or_valid(mutated(seed)) for seed in range(FEW)]
    assert sum(refused) > FEW / 2


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_random_mistakes_are_refused_at_a_place_in_the_text() -> None:
    for seed in range(FEW, FEW + MANY):
        _is_refused_in_its_text_or_valid(mutated(seed))


def test_the_load_names_the_same_place() -> None:
    sql = "SELECT\n\t1 AS a,\n\t\tUPCASE('x') AS b"
    [problem] = answers.refusals(sql)
    assert (problem.line, problem.column, problem.message) == (3, 3, "Function not found: UPCASE")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        " ",
        "--",
        "/*",
        ";",
        "SELECT",
        "\0",
        "SELECT 1; SELECT 2",
        "SELECT '\udcff'",
        "DELETE FROM t WHERE TRUE",
        "CREATE TABLE t (a INT64)",
        "BEGIN END",
    ],
)
def test_what_is_no_select_is_refused(sql: str) -> None:
    with pytest.raises(Refused, match=r"."):
        analyzed(sql, {})
