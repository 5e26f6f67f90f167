"""What the planner makes of a switch: the days that it requests again, and those that it leaves as they are."""

from datetime import timedelta

import pytest

from convergence_assets.control import partition_states
from convergence_assets.control.partition_states import PendingPartition
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.targets import tables_of
from convergence_assets.tenancy.registry import load_tenants
from tests.preview.fleet import DAYS, FIRST, Fleet
from tests.preview.upgrades import PIPELINE, REGION, SQL, declare, rename, requested, rows_of, total, upgrade

NAME = ("acme", "costs")


def _outstanding(fleet: Fleet, *rows: PendingPartition) -> None:
    with ControlStore.open(fleet.settings, fleet.variables).write("planner") as connection:
        partition_states.write_outstanding(connection, rows)


def _current(fleet: Fleet) -> list[bool]:
    """Whether the planner has nothing to do, by day."""
    tenant = load_tenants(fleet.settings).tenants["acme"]
    tables = tables_of(tenant, tenant.pipelines[0])
    store = ControlStore.open(fleet.settings, fleet.variables)
    published = Publications(store).between("acme", tables.all_tables(), DAYS[0], DAYS[-1])
    return [tables.is_current(day, published) for day in DAYS]


@pytest.mark.parametrize("command", ["--apply", "--rollback"])
def test_days_that_have_failed_while_another_version_was_declared_are_requested_again(
    fleet: Fleet, command: str
) -> None:
    rename(fleet)
    if command == "--rollback":
        assert upgrade(fleet, "--apply")[0] == 0
    given_up, retried, restored, waiting = (DAYS[-1] + timedelta(days=n) for n in range(1, 5))
    _outstanding(
        fleet,
        PendingPartition(*NAME, given_up, "gave_up", "given up after 7 attempts: run x did not publish it", attempts=7),
        PendingPartition(*NAME, retried, "due", "run x did not publish it", attempts=2),
        PendingPartition(*NAME, restored, "gave_up", "lines was restored"),
        PendingPartition(*NAME, waiting, "waiting", "waits for other"),
    )
    code, (done,), err = upgrade(fleet, command)
    assert code == 0, err
    assert done["notes"] == [f"tenant acme, table lines: {given_up}, {retried} are requested again"]
    number = 2 if command == "--apply" else 1
    again = f"version {number} of lines is read now"
    expected = {given_up: again, retried: again, restored: "lines was restored", waiting: "waits for other"}
    assert requested(fleet) == expected


def test_a_day_that_is_copied_is_not_requested_again_by_the_switch_and_back(fleet: Fleet) -> None:
    before = total(fleet)
    fleet.load("acme", 1, DAYS[1:])
    fleet.edit(PIPELINE, "    table: lines\n", "    table: lines\n    when_empty: publish\n")
    fleet.edit(PIPELINE, REGION, REGION.replace("{name: region", "{name: area, type: STRING}\n      - {name: region"))
    fleet.edit(SQL, "    region,\n", "    region AS area,\n    region,\n")
    declare(fleet, 2)
    code, (done,), err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert "1 days are copied as they are" in done["notes"][0]
    # The copied one would be made empty, as its source has no rows any more.
    assert _current(fleet) == [True, False, False]
    fleet.publish("acme", days=(DAYS[1], DAYS[-1]))
    assert (total(fleet), rows_of(fleet, FIRST)) == (before, 6)
    assert _current(fleet) == [True, True, True]
    assert upgrade(fleet, "--rollback", "--accept-changes", "lines")[0] == 0
    assert _current(fleet)[0]
    assert rows_of(fleet, FIRST) == 6


def test_days_before_a_later_start_date_are_not_requested_again_by_the_switch(fleet: Fleet) -> None:
    fleet.edit("acme/tenant.yaml", "start_date: 2026-10-01", "start_date: 2026-10-02")
    declare(fleet, 2)
    code, _, err = upgrade(fleet, "--apply")
    assert code == 0, err
    assert _current(fleet) == [True, False, False]
