"""The runs index and the ledger read again from the beginning of Dagster's storage."""

from collections.abc import Callable

from convergence_assets.control import counters
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger import cursors as places
from convergence_assets.ledger.follow import Follower

_SECONDS_A_ROUND = 5.0


def start_again(store: ControlStore) -> None:
    """Empty the index, so that whoever follows next finds every run again.

    What was told is not told again, and rows of the ledger are written over their former selves. Raises `ControlError`.
    """
    with store.write("ledger") as connection:
        places.start_again(connection, store.now())
        counters.start_again(connection)


def follow_to_the_end(follower: Follower, store: ControlStore, seen: Callable[[int, int], None]) -> dict[str, str]:
    """Follow until nothing is left to read; `seen` is called with the runs found and those still to be read.

    The runs that cannot be read, with the reason.
    """
    unreadable: dict[str, str] = {}
    while True:
        done = follower.follow(_SECONDS_A_ROUND)
        unreadable |= done.unreadable
        with store.read() as connection:
            found, unread = places.counts(connection, store.now())
        seen(found, unread)
        if done.complete and not unread:
            return unreadable
