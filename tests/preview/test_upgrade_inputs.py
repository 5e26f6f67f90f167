"""New versions that read what was added to the pipeline after their days were published."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date

import pytest

from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.targets import tables_of
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import TenantPipeline
from convergence_assets.tenant_lifecycle import missing_inputs
from convergence_assets.tenant_lifecycle.missing_inputs import RunOutcome
from tests.preview.fleet import DAYS, FIRST, Fleet
from tests.preview.upgrades import COSTS, PIPELINE, REGION, SQL, opened, recorded, rows_of, total, upgrade

TOTALS = f"{COSTS}/totals.sql"
SHARES = """  - kind: bigquery
    table: shares
    partition_column: day
    columns:
      - {name: day, type: DATE, mode: REQUIRED}
      - {name: service, type: STRING}
      - {name: total, type: NUMERIC}
      - {name: currency, type: STRING}
"""


def new_table(fleet: Fleet, sql: str = "day") -> None:
    """A table `shares` between `lines` and version 2 of `totals`."""
    text = (fleet.folder / "tenants" / TOTALS).read_text()
    (fleet.folder / "tenants" / COSTS / "shares.sql").write_text(text.replace("    day,", f"    {sql},", 1))
    fleet.edit(
        PIPELINE,
        "  - kind: bigquery\n    table: totals\n",
        SHARES + "  - kind: bigquery\n    table: totals\n    version: 2\n",
    )
    fleet.edit(TOTALS, "SUM(cost) AS total", "SUM(total) AS total")
    fleet.edit(TOTALS, "FROM lines", "FROM shares")


def new_column(fleet: Fleet, *, read: bool = True) -> None:
    """A column of `lines`, which version 2 of `totals` has, too."""
    fleet.edit(PIPELINE, REGION, REGION.replace("{name: region", "{name: area, type: STRING}\n      - {name: region"))
    fleet.edit(SQL, "    region,\n", "    UPPER(region) AS area,\n    region,\n")
    fleet.edit(PIPELINE, "    table: totals\n", "    table: totals\n    version: 2\n")
    fleet.edit(
        PIPELINE, "{name: total, type: NUMERIC}", "{name: total, type: NUMERIC}\n      - {name: place, type: STRING}"
    )
    fleet.edit(TOTALS, "SUM(cost) AS total", f"SUM(cost) AS total, MAX({'area' if read else 'region'}) AS place")


def current(fleet: Fleet) -> list[bool]:
    """Whether the planner has nothing to do, by day."""
    tenant = load_tenants(fleet.settings).tenants["acme"]
    tables = tables_of(tenant, tenant.pipelines[0])
    store = ControlStore.open(fleet.settings, fleet.variables)
    published = Publications(store).between("acme", tables.all_tables(), DAYS[0], DAYS[-1])
    return [tables.is_current(day, published) for day in DAYS]


def places(fleet: Fleet) -> list[object]:
    rows = fleet.read(
        "SELECT day, MIN(place) AS place FROM acme.totals WHERE day >= '2026-01-01' GROUP BY day ORDER BY day"
    )
    return [row["place"] for row in rows]


def test_the_days_of_a_new_table_are_made_first(fleet: Fleet) -> None:
    before = totals(fleet)
    new_table(fleet)
    _, (plan,), _ = upgrade(fleet, "--plan")
    assert plan["makes_first"] == {"shares": 3}
    assert plan["notes"] == [
        "first makes 3 days of shares, which it reads, or which read those; --rollback does not undo that"
    ]
    code, (done,), err = upgrade(fleet, "--apply")
    assert (code, done["outcome"]) == (0, "version 1 -> 2; version 1 is kept as acme.totals__v1"), err
    assert totals(fleet) == before
    assert recorded(fleet, "shares").keys() == set(DAYS)
    assert current(fleet) == [True, True, True]


def totals(fleet: Fleet) -> object:
    return fleet.read(
        "SELECT day, SUM(total) AS total FROM acme.totals WHERE day >= '2026-01-01' GROUP BY day ORDER BY day"
    )


def test_days_that_lack_a_new_column_are_made_again_where_the_version_names_it(fleet: Fleet) -> None:
    new_column(fleet)
    assert upgrade(fleet, "--plan")[1][0]["makes_first"] == {"lines": 3}
    # Also when a run has added the column.
    fleet.publish("acme", days=(DAYS[2], DAYS[2]))
    assert upgrade(fleet, "--plan")[1][0]["makes_first"] == {"lines": 2}
    code, _, err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert places(fleet) == ["REGION 0"] * 3 or places(fleet) == ["REGION 1"] * 3
    assert current(fleet) == [True, True, True]


def test_days_are_not_made_again_for_a_new_column_that_the_version_does_not_name(fleet: Fleet) -> None:
    new_column(fleet, read=False)
    assert upgrade(fleet, "--plan")[1][0]["makes_first"] == {}
    before = recorded(fleet)
    code, _, err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert recorded(fleet) == before


def test_a_day_is_copied_where_the_source_of_what_it_reads_has_no_rows_any_more(fleet: Fleet) -> None:
    before = total(fleet)
    fleet.edit(PIPELINE, "    table: lines\n", "    table: lines\n    when_empty: publish\n")
    new_column(fleet)
    fleet.load("acme", 1, DAYS[1:])
    code, (done,), err = upgrade(fleet, "--apply")
    assert code == 0, err
    copied = "1 days are copied as they are, with place NULL: 2026-10-01 without rows in what lines reads now"
    assert done["notes"] == [f"tenant acme, table totals: {copied}"]
    assert places(fleet)[0] is None
    assert None not in places(fleet)[1:]
    assert (total(fleet), rows_of(fleet, FIRST)) == (before, 6)


def test_a_copied_day_is_named_where_nothing_is_switched(fleet: Fleet) -> None:
    new_column(fleet)
    fleet.edit(TOTALS, "SUM(cost) AS total", "SUM(cost) + 1 AS total")
    fleet.load("acme", 1, DAYS[1:])
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "1 days are copied as they are, with place NULL: 2026-10-01 without rows in what lines reads now" in err
    assert "version 2 has other figures than the table that is read" in err


def test_nothing_is_switched_where_a_check_stops_what_it_reads(fleet: Fleet) -> None:
    new_table(fleet, "DATE_ADD(day, INTERVAL 9 DAY) AS day")
    code, _, err = upgrade(fleet, "--apply")
    assert code == 1
    assert "version 2 reads shares, and 3 days of that could not be made (2026-10-01, 2026-10-02, 2026-10-03)" in err
    assert "rows_lie_in_the_partition" in err
    assert recorded(fleet, "shares") == {}


def test_what_was_made_first_is_not_made_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_inputs, "DAYS_AT_ONCE", 1)
    new_table(fleet)
    publications = Publications(ControlStore.open(fleet.settings, fleet.variables))
    ran: list[date] = []

    def run(pipeline: TenantPipeline, tables: Collection[str], first: date, last: date) -> RunOutcome:
        if ran:
            raise KeyboardInterrupt
        ran.append(first)
        publications.record(
            "acme", "costs", "shares", {first: 4}, run_id="r", read_through=publications.newest_version()
        )
        return RunOutcome({"shares": [first]}, {}, None)

    with opened(fleet, table="totals") as (work, found), pytest.raises(KeyboardInterrupt):
        replace(work, run=run).apply(found)
    assert ran == [FIRST]
    assert upgrade(fleet, "--plan")[1][0]["makes_first"] == {"shares": 2}


def test_published_days_of_another_version_are_left_to_the_upgrade(fleet: Fleet) -> None:
    fleet.edit(PIPELINE, "    table: totals\n", "    table: totals\n    version: 2\n")
    # It publishes `lines`, and cannot publish `totals`, which reads it.
    fleet.publish("acme", days=(FIRST, FIRST))
    lines, others = recorded(fleet), recorded(fleet, "totals")
    assert lines[FIRST].version > others[FIRST].read_through
    assert current(fleet) == [True, True, True]
    assert upgrade(fleet, "--apply")[0] == 0
    assert {one.table_version for one in recorded(fleet, "totals").values()} == {2}
    assert {one.table_version for one in recorded(fleet, "totals__v1").values()} == {1}
    fleet.publish("acme", days=(FIRST, FIRST))
    assert current(fleet) == [True, True, True]
