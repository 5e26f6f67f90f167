"""Which published days an older definition made, and making them again."""

import json
import os
import signal
from datetime import date
from typing import Any

import dagster as dg
import pytest

from convergence_assets.cli import backfill_stale, day_runs
from convergence_assets.cli.run import Definitions, RunResult
from convergence_assets.control.partition_states import PendingPartition, write_outstanding
from convergence_assets.control.run_requests import Quota, runs_used
from convergence_assets.control.store import ControlStore
from convergence_assets.tenancy.registry import load_registry
from tests import commands
from tests.preview.fleet import DAYS, Fleet

pytestmark = pytest.mark.live
COSTS = "acme/pipelines/costs"
Stale = dict[tuple[str, date], tuple[str, ...]]


def listed(fleet: Fleet, *words: str) -> Stale:
    """What `preview --stale` says of acme, by table and day."""
    code, out, _ = fleet.command("preview", "--stale", "--json", *words)
    assert code == 0
    return {
        (one["table"], date.fromisoformat(day)): tuple(one["differs"])
        for one in map(json.loads, out.splitlines())
        for day in one["days"]
        if one["tenant"] == "acme"
    }


def backfill(fleet: Fleet, *words: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, err = fleet.command("backfill", "--stale", "--yes", "--json", *words)
    assert out, err
    return code, [json.loads(line) for line in out.splitlines()]


def runs_counted(fleet: Fleet) -> int:
    store = ControlStore.open(fleet.settings, fleet.variables)
    with store.read() as connection:
        return runs_used(connection, [Quota("acme", "UTC", 2, 100, 2000)], store.now())["acme"].daily


def test_the_list_is_that_of_a_comparison_day_by_day_and_empty_once_they_are_made_again(fleet: Fleet) -> None:
    # By table the text of each day's definition, and what of it decides rows, as this test has written them.
    rounded, threshold, comment = "    ROUND(cost, 1) AS cost,\n", "max_value: 60", "SELECT -- bills\n"
    made = {(table, day): ("", "", "") for table in ("lines", "totals") for day in DAYS}
    now = {"lines": ("", "", ""), "totals": ("", "", "")}

    def brute_force() -> Stale:
        parts = ("sql", "suite", "text")
        stale: Stale = {}
        for (table, day), versions in made.items():
            differ = tuple(p for p, old, new in zip(parts, versions, now[table], strict=True) if old != new)
            if differ:
                stale[table, day] = tuple(p for p in differ if p != "text") or ("text",)
        return stale

    def publish(*days: date) -> None:
        fleet.publish("acme", days=(days[0], days[-1]))
        made.update({(table, day): now[table] for table in now for day in days})

    assert listed(fleet) == brute_force() == {}
    fleet.edit(f"{COSTS}/lines.sql", "SELECT\n", comment)
    now["lines"] = ("", "", comment)
    assert listed(fleet) == brute_force()
    publish(DAYS[2])
    fleet.edit(f"{COSTS}/lines.sql", "    cost,\n", rounded)
    now["lines"] = (rounded, "", comment)
    publish(DAYS[1])
    fleet.edit(f"{COSTS}/expectations/lines.yaml", "max_value: 50", threshold)
    now["lines"] = (rounded, threshold, comment)
    assert listed(fleet) == brute_force()
    assert listed(fleet)["lines", DAYS[1]] == ("suite",)
    assert len(listed(fleet)) == 3
    _, out, _ = fleet.command("status", "acme", "--json")
    assert json.loads(out)["pipelines"][0]["stale_table_days"] == 3
    counted = runs_counted(fleet)
    code, (plan, *runs) = backfill(fleet)
    assert [(one["pipeline"], one["days"], one["first"]) for one in plan["plan"]] == [("costs", 3, str(DAYS[0]))]
    assert (code, [run["days_published"] for run in runs]) == (0, [3])
    assert listed(fleet) == {}
    assert backfill(fleet) == (0, [{"plan": []}])
    assert runs_counted(fleet) == counted, "they are beside the plan's runs of a day"


def test_text_alone_is_listed_and_not_made_again(fleet: Fleet) -> None:
    fleet.edit(f"{COSTS}/totals.sql", "SELECT\n", "-- totals\nSELECT\n")
    assert set(listed(fleet).values()) == {("text",)}
    assert backfill(fleet) == (0, [{"plan": []}])
    assert "text alone: the same rows" in fleet.command("preview", "--stale")[1]


class _KilledAfterOne(Definitions):
    def run(self, *arguments: Any, **named: Any) -> RunResult:
        super().run(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def _killed_after_one_run(fleet: Fleet) -> None:
    os.environ |= fleet.variables
    day_runs.FIRST_CHUNK_DAYS = 1
    setattr(backfill_stale, "Definitions", _KilledAfterOne)  # noqa: B010 - it is imported there
    backfill_stale.backfill_stale("acme", None, newest_first=True, only_plan=False, yes=True, as_json=True)


def test_a_killed_one_goes_on_with_what_is_stale_still_newest_first(fleet: Fleet) -> None:
    fleet.edit(f"{COSTS}/lines.sql", "    cost,\n", "    cost + 1 AS cost,\n")
    process = commands.forked(_killed_after_one_run, fleet)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [day for _, day in listed(fleet)] == DAYS[:2]
    code, (_, *runs) = backfill(fleet, "acme", "costs", "--newest-first")
    assert (code, [(run["first"], run["last"]) for run in runs]) == (0, [(str(DAYS[0]), str(DAYS[1]))])
    assert listed(fleet) == {}


def test_due_days_and_runs_at_work_go_first(fleet: Fleet) -> None:
    store = ControlStore.open(fleet.settings, fleet.variables)
    acme = load_registry(str(fleet.folder / "tenants"), None, today=DAYS[-1]).tenants["acme"]
    turn = backfill_stale.Turn(store, acme, lambda why: None)
    assert turn._blocked() == ""
    with store.write() as connection:
        row = PendingPartition("acme", "costs", date(2026, 10, 4), "due", "never published", store.now())
        write_outstanding(connection, [row])
    assert turn._blocked() == "waits for 1 due days"
    later = ControlStore.open(
        fleet.settings, fleet.variables, lambda: store.now() + backfill_stale._REQUESTED_WITHIN * 2
    )
    assert backfill_stale.Turn(later, acme, lambda why: None)._blocked() == "", "no planner is at work"


def test_a_publication_of_a_former_release_is_known_by_the_text_that_was_loaded(fleet: Fleet) -> None:
    import sqlalchemy as sa

    store = ControlStore.open(fleet.settings, fleet.variables)
    with store.write() as connection:
        connection.execute(sa.text("UPDATE convergence_publications SET definition = NULL"))
    assert listed(fleet) == {}
    fleet.edit(f"{COSTS}/totals.sql", "SUM(cost)", "SUM(cost) + 1")
    assert listed(fleet) == {("totals", day): ("unknown",) for day in DAYS}


def test_dagster_shows_the_definition_of_each_day(fleet: Fleet) -> None:
    with dg.DagsterInstance.from_config(str(fleet.folder / "dagster")) as instance:
        key = dg.AssetKey(["acme", "costs", "lines"])
        records = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[str(DAYS[0])]), limit=1)
    materialization = records.records[0].asset_materialization
    assert materialization
    store = ControlStore.open(fleet.settings, fleet.variables)
    with store.read() as connection:
        from convergence_assets.control.publications import publications_of

        (made_by,) = {one.definition for one in publications_of(connection, "acme") if one.table == "lines"}
    assert materialization.metadata["definition"].value == made_by
