"""Runs a step again and again in a forked child, kills the child at a given statement, and looks at what is left.

Its own process, so that the libraries are imported once and each child starts warm. Writes one JSON line a kill.
"""

import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TypeVar

from convergence_assets.run_launcher.forkserver_client import PRELOADED
from convergence_assets.warehouse.duckdb.engine import Engine
from tests.assets.project import Project, hourly

T = TypeVar("T")
DAY = date(2026, 3, 10)
OTHER_DAY = date(2026, 3, 11)
COSTS = (1.25, 2.5)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(statement: int, delay_seconds: float | None) -> None:
    """Die before the engine's n-th statement, or `delay_seconds` after it began."""
    count = 0
    run = Engine._interruptible

    def counted(self: Engine, work: Callable[[], T], timeout_seconds: float | None, written_as: str) -> T:
        nonlocal count
        count += 1
        if count == statement:
            if delay_seconds is None:
                die()
            else:
                threading.Timer(delay_seconds, die).start()
        return run(self, work, timeout_seconds, written_as)

    Engine._interruptible = counted  # type: ignore[method-assign]


def count_statements(home: Path) -> int:
    """How many statements one run of the step takes."""
    count = 0
    run = Engine._interruptible

    def counted(self: Engine, work: Callable[[], T], timeout_seconds: float | None, written_as: str) -> T:
        nonlocal count
        count += 1
        return run(self, work, timeout_seconds, written_as)

    Engine._interruptible = counted  # type: ignore[method-assign]
    Project.at(home).run(DAY, run_id="counted", tables=["lines"])
    return count


def in_child(work: Callable[[], str | None]) -> tuple[bool, str]:
    """Fork, run, wait: whether it was killed, and what it wrote."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            os.write(writing, (work() or "").encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    output = b""
    while chunk := os.read(reading, 65536):
        output += chunk
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"a child failed: {os.waitstatus_to_exitcode(status)}")
    return killed, output.decode()


def published(home: Path) -> str:
    rows = Project.at(home).read(
        "SELECT day, COUNT(*) AS n, SUM(cost) AS cost FROM acme.lines GROUP BY day ORDER BY day"
    )
    return json.dumps([[str(r["day"]), r["n"], str(r["cost"])] for r in rows])


def readers(home: Path, until: Path, say: Callable[[dict[str, object]], None]) -> int:
    """A process that reads the whole time; exits 0 if every look was a whole partition."""
    pid = os.fork()
    if pid:
        return pid
    code, looks = 0, 0
    whole = {(24, Decimal(24) * Decimal(str(c))) for c in COSTS}
    project = Project.at(home)
    while not until.exists():
        for row in project.read("SELECT day, COUNT(*) AS n, SUM(cost) AS cost FROM acme.lines GROUP BY day"):
            looks += 1
            if (row["n"], row["cost"]) not in whole:
                say({"torn": [str(row["day"]), row["n"], str(row["cost"])]})
                code = 1
        time.sleep(0.2)
    say({"looks": looks})
    os._exit(code)


def kill_again_and_again(home: Path, points: int, report: Path) -> None:
    """`points` kills: before statements of every part of the run, then at moments within and after each of them."""

    def say(line: dict[str, object]) -> None:
        with report.open("a") as written:
            written.write(json.dumps(line) + "\n")

    for name in PRELOADED:  # what a worker is forked with, so that no child pays for it
        importlib.import_module(name.partition(":")[0])

    def load(cost: float) -> None:
        Project.at(home).load_bills(hourly(DAY, "Europe/Berlin", cost) + hourly(OTHER_DAY, "Europe/Berlin", COSTS[0]))

    def run(*days: date, run_id: str, tables: Iterable[str] = ("lines", "totals")) -> None:
        Project.at(home).run(*days, run_id=run_id, tables=tables)

    in_child(partial(load, COSTS[0]))
    in_child(partial(run, DAY, OTHER_DAY, run_id="first"))
    statements = int(in_child(lambda: str(count_statements(home)))[1])
    done = home / "done"
    reader = readers(home, done, say)
    first = [1 + n * (statements - 1) // max(points - 1, 1) for n in range(min(points, statements))]
    kills = 0
    for point in range(points):
        cost = COSTS[(point + 1) % 2]
        in_child(partial(load, cost))

        def work(point: int = point) -> str:
            if point < len(first):
                kill_at(first[point], None)
            else:
                kill_at(point % statements + 1, 0.0003 * (1 + point % 7))
            Project.at(home).run(DAY, run_id=f"killed{point}", tables=["lines"])
            return ""

        killed, _ = in_child(work)
        kills += killed
        _, after_kill = in_child(lambda: published(home))
        in_child(partial(run, DAY, run_id=f"again{point}", tables=["lines"]))
        _, after_again = in_child(lambda: published(home))
        left, again = json.loads(after_kill), json.loads(after_again)
        say({"point": point, "killed": killed, "cost": cost, "left": left, "again": again})
    done.touch()
    _, status = os.waitpid(reader, 0)
    say({"kills": kills, "statements": statements, "reader": os.waitstatus_to_exitcode(status)})
