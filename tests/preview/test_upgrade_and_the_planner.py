"""What the planner makes of a switch: the days that it requests again, and those that it leaves as they are."""

from datetime import timedelta

import pytest

from convergence_assets.control import partition_states
from convergence_assets.control.partition_states import PendingPartition
from convergence_assets.control.store import ControlStore
from tests.preview.fleet import DAYS, Fleet
from tests.preview.upgrades import rename, requested, upgrade

NAME = ("acme", "costs")


def _outstanding(fleet: Fleet, *rows: PendingPartition) -> None:
    with ControlStore.open(fleet.settings, fleet.variables).write("planner") as connection:
        partition_states.write_outstanding(connection, rows)


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
