"""A table's new version takes the old one's place whole, or not at all."""

import json
import os
import random
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
import typer

from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from tests import commands
from tests.preview.fleet import DAYS, Fleet

COSTS = "acme/pipelines/costs"


def upgrade(fleet: Fleet, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    code, out, err = fleet.command("upgrade", "acme", "--json", *words)
    return code, [json.loads(line) for line in out.splitlines()], err


def rename(fleet: Fleet, version: int = 2) -> None:
    """`region` becomes `area`, under another version."""
    fleet.edit(f"{COSTS}/pipeline.yaml", "{name: region, type: STRING}\n      - {name: cost, type: NUMERIC}\n      - "
               "{name: currency, type: STRING}\n  - kind", "{name: area, type: STRING}\n      - {name: cost, type: "
               "NUMERIC}\n      - {name: currency, type: STRING}\n  - kind")  # fmt: skip
    fleet.edit(f"{COSTS}/lines.sql", "    region,\n", "    region AS area,\n")
    if version > 1:
        fleet.edit(f"{COSTS}/pipeline.yaml", "    table: lines\n", f"    table: lines\n    version: {version}\n")


def columns(fleet: Fleet, table: str) -> list[str]:
    return list(fleet.read(f"SELECT * FROM acme.{table} LIMIT 1")[0])


def total(fleet: Fleet, table: str = "lines") -> tuple[int, object]:
    (row,) = fleet.read(f"SELECT COUNT(*) AS n, SUM(cost) AS total FROM acme.{table}")
    return row["n"], row["total"]


def test_a_changed_column_without_a_version_says_which_one_to_declare(fleet: Fleet) -> None:
    assert upgrade(fleet, "--plan") == (0, [], "")
    rename(fleet, version=1)
    code, (plan,), _ = upgrade(fleet, "--plan")
    assert code == 1
    assert "column region is in the table and no longer declared" in plan["problem"]
    assert "`version: 2`" in plan["problem"]
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "version: 2" in err


def test_an_upgrade_is_planned_applied_and_rolled_back_and_applying_it_twice_does_nothing(fleet: Fleet) -> None:
    before = total(fleet)
    rename(fleet)
    code, (plan,), _ = upgrade(fleet, "--plan")
    assert (code, plan["from"], plan["to"], plan["days"], plan["problem"]) == (0, 1, 2, 3, None)
    assert "region" in columns(fleet, "lines")
    code, (done,), _ = upgrade(fleet, "--apply")
    assert (code, done["outcome"]) == (0, "version 1 -> 2; version 1 is kept as acme.lines__v1")
    assert "area" in columns(fleet, "lines")
    assert "region" in columns(fleet, "lines__v1")
    assert total(fleet) == before == total(fleet, "lines__v1")
    assert upgrade(fleet, "--apply") == (0, [], "")
    assert (
        fleet.command("preview", "--stale", "--tenant", "acme")[1] == "no published day is older than its definition\n"
    )
    fleet.publish("acme", days=(DAYS[0], DAYS[0]))
    assert total(fleet) == before
    code, (done,), _ = upgrade(fleet, "--rollback")
    assert (code, done["outcome"]) == (0, "version 2 -> 1; version 2 is kept as acme.lines__v2")
    assert "region" in columns(fleet, "lines")
    assert upgrade(fleet, "--rollback") == (0, [], "")
    assert upgrade(fleet, "--apply")[0] == 0
    assert "area" in columns(fleet, "lines")
    assert fleet.staged() == []


def test_sums_that_differ_switch_nothing(fleet: Fleet) -> None:
    rename(fleet)
    fleet.edit(f"{COSTS}/lines.sql", "    cost,\n", "    IF(DATE(used_at) = '2026-10-02', cost + 1, cost) AS cost,\n")
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "the sums of 1 days differ" in err
    assert "2026-10-02" in err
    assert "region" in columns(fleet, "lines")
    fleet.edit(f"{COSTS}/lines.sql", "cost + 1", "cost + 0")
    assert upgrade(fleet, "--apply")[0] == 0
    assert "area" in columns(fleet, "lines")


def test_a_day_that_its_checks_stop_switches_nothing(fleet: Fleet) -> None:
    rename(fleet)
    fleet.edit(f"{COSTS}/expectations/lines.yaml", "max_value: 100", "max_value: 7.2")
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "2026-10-03: cost_is_possible" in err
    assert "region" in columns(fleet, "lines")
    assert fleet.staged() == []


def _killed(fleet: Fleet, after: float) -> None:
    """Apply it in a process that is killed after some seconds of its work on the warehouse."""
    os.environ |= fleet.variables
    opened = DuckDBWarehouse.existing_schema
    started: list[float] = []

    def counted(self: DuckDBWarehouse, table: Any) -> Any:
        if not started:
            started.append(time.monotonic())
            threading.Timer(after, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return opened(self, table)

    setattr(DuckDBWarehouse, "existing_schema", counted)  # noqa: B010 - the first thing that an upgrade asks
    from convergence_assets.cli.upgrade import upgrade as command

    with suppress(typer.Exit):
        command("acme", apply=True, as_json=True)


@pytest.mark.parametrize("kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(40, marks=pytest.mark.soak)])
def test_killed_at_any_moment_a_reader_sees_the_old_or_the_new_table_and_it_goes_on(fleet: Fleet, kills: int) -> None:
    before, moments = total(fleet), random.Random(25)
    rename(fleet)
    seen: set[tuple[str, tuple[int, object]]] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            rows = fleet.read("SELECT * FROM acme.lines")
            seen.add(("area" if "area" in rows[0] else "region", (len(rows), sum(row["cost"] for row in rows))))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for _ in range(kills):
            process = commands.forked(_killed, fleet, moments.uniform(0.0, 0.5))
            process.join(60)
            assert process.exitcode in (-signal.SIGKILL, 0, 1)
        assert upgrade(fleet, "--apply")[0] == 0
    finally:
        ended.set()
        reader.join()
    assert "area" in columns(fleet, "lines")
    assert total(fleet) == before == total(fleet, "lines__v1")
    assert {figures for _, figures in seen} == {before}
    assert (
        fleet.command("preview", "--stale", "--tenant", "acme")[1] == "no published day is older than its definition\n"
    )
