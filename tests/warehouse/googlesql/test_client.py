"""The analyzer's one instance: threads, forks, statements that break it, and texts that nest."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from convergence_assets.warehouse.duckdb import answers
from convergence_assets.warehouse.googlesql.analysis import analyzed
from convergence_assets.warehouse.googlesql.client import Failed, Refused
from tests.warehouse.googlesql.oracle import evaluated

BREAKS = {
    "minus": "SELECT " + "- " * 5000 + "1", "not": "SELECT " + "NOT " * 5000 + "TRUE", "plus": "SELECT " + "1 + " * 5000 + "1",
    "subqueries": "SELECT " + "(SELECT " * 500 + "1" + ")" * 500, "types": f"SELECT CAST(NULL AS {'STRUCT<' * 5000}INT64{'>' * 5000})",
    "calls": "SELECT " + "ABS(" * 2000 + "1" + ")" * 2000,
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_a_statement_that_breaks_the_analyzer_fails_and_the_next_one_works(name: str) -> None:
    with pytest.raises(Failed, match="call stack exhausted"):
        analyzed(BREAKS[name], {})
    assert evaluated("SELECT 1") == [(1,)]


def test_the_load_refuses_a_statement_that_breaks_the_analyzer() -> None:
    [problem] = answers.refusals(BREAKS["minus"])
    assert "broke down" in problem.message
    assert answers.refusals("SELECT 1") == ()


@pytest.mark.parametrize("sql", [
    f"SELECT {'x + ' * 60}1 FROM UNNEST([1]) AS x",
    f"SELECT {'x || ' * 60}x FROM UNNEST(['a']) AS x",
    f"SELECT * FROM {'(SELECT * FROM ' * 30}(SELECT 1 AS a){')' * 30}",
    f"SELECT {'CASE WHEN x THEN ' * 30}1{' END' * 30} FROM UNNEST([TRUE]) AS x",
    f"SELECT {'(SELECT ' * 10}1{')' * 10}",
])  # fmt: skip
def test_an_answer_that_nests_is_read(sql: str) -> None:
    assert answers.refusals(sql) == ()
    assert answers.rows(sql) == evaluated(sql)


@pytest.mark.parametrize("sql", [
    f"SELECT {'CONCAT(x, ' * 150}x{')' * 150} FROM UNNEST(['a']) AS x",
    f"SELECT {'(SELECT ' * 40}1{')' * 40}",
    f"SELECT {'STRUCT(' * 60}1 AS a{') AS a' * 60}",
])  # fmt: skip
def test_what_nests_deeper_runs_or_is_refused(sql: str) -> None:
    if not answers.refusals(sql):
        assert answers.rows(sql)


def test_threads_take_turns() -> None:
    start = threading.Barrier(4)

    def answers(number: int) -> list[object]:
        start.wait()
        found: list[object] = []
        for at in range(10):
            if at % 5 == 4:
                with pytest.raises(Refused, match="Unrecognized name: nowhere"):
                    analyzed("SELECT nowhere", {})
            found.append(evaluated(f"SELECT {number} * 1000 + {at}")[0][0])
        return found

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(answers, range(4))) == [[n * 1000 + at for at in range(10)] for n in range(4)]


def test_a_thread_works_while_another_ones_statement_breaks_the_analyzer() -> None:
    def broken(_: int) -> None:
        with pytest.raises(Failed):
            analyzed(BREAKS["not"], {})

    with ThreadPoolExecutor(2) as threads:
        failing = [threads.submit(broken, at) for at in range(3)]
        right = [threads.submit(evaluated, f"SELECT {at}") for at in range(10)]
        assert [one.result() for one in right] == [[(at,)] for at in range(10)]
        assert [one.result() for one in failing] == [None] * 3


FORKING = """
import os, sys
from contextlib import suppress
from convergence_assets.warehouse.googlesql.client import Failed
from convergence_assets.warehouse.googlesql.analysis import analyzed
from convergence_assets.warehouse.googlesql.module import AnalyzerMissing

analyzed("SELECT 1 AS a", {})
with suppress(Failed):
    analyzed(sys.argv[1], {})
process = os.fork()
if process == 0:
    try:
        print(analyzed("SELECT DATE(TIMESTAMP '2024-01-01', 'Asia/Kathmandu') AS b", {}).columns[0].type, flush=True)
    except AnalyzerMissing as missing:
        print(missing, flush=True)
    os._exit(0)
os.waitpid(process, 0)
print(analyzed("SELECT 'x' AS c", {}).columns[0].type)
"""


@pytest.mark.parametrize(("before", "answer"), [("SELECT 2 AS a", "DATE"), (BREAKS["not"], "start a new process")])
def test_a_forked_process_goes_on_with_the_instance_or_says_that_it_cannot_start_one(before: str, answer: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, before], capture_output=True, text=True, timeout=60, check=True
    )
    child, parent = done.stdout.splitlines()
    assert answer in child
    assert parent == "STRING"
