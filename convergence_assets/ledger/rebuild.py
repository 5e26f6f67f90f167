"""Rebuilds the runs index and the ledger from the beginning of Dagster's storage."""

from collections.abc import Callable

from convergence_assets.control import counters, run_cursors
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.follow import Follower

_SECONDS_A_ROUND = 5.0


def reset_ledger(store: ControlStore) -> None:
    """Empty the index, so that the next follower finds every run again.

    What was reported is not reported again, and rows of the ledger replace their former versions. Raises
    `ControlError`.
    """
    with store.write("ledger") as connection:
        run_cursors.reset_index(connection, store.now())
        counters.reset_counters(connection)


def follow_to_the_end(follower: Follower, store: ControlStore, seen: Callable[[int, int], None]) -> dict[str, str]:
    """Follow until nothing is left to read; `seen` is called with the runs found and those still to be read.

    Returns the runs that cannot be read, with the reason.
    """
    unreadable: dict[str, str] = {}
    while True:
        done = follower.follow(_SECONDS_A_ROUND)
        unreadable |= done.unreadable
        with store.read() as connection:
            indexed, unread = run_cursors.counts(connection, store.now())
        seen(indexed, unread)
        if done.complete and not unread:
            return unreadable
