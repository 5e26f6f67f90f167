"""A desk on a control store of each kind, and receivers."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convergence_assets.alerting.routes import Routes
from tests.alerting.desk import Desk, to
from tests.alerting.receivers import Mailbox, Receiver
from tests.control_stores import sqlite_store
from tests.postgres.postgres_server import POSTGRES
from tests.postgres.postgres_stores import postgres_store

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Apprise 2.3 imports imghdr
    import apprise.utils.pgp  # noqa: F401


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store of each kind."""
    if request.param == "sqlite":
        return sqlite_store(tmp_path / "control.db")
    return postgres_store(request.getfixturevalue("postgres"))


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    """Starts receivers."""
    started: list[Receiver] = []

    def start() -> Receiver:
        started.append(Receiver())
        return started[-1]

    yield start
    for receiver in started:
        receiver.stop()


@pytest.fixture
def receiver(receivers: Callable[[], Receiver]) -> Receiver:
    return receivers()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.stop()


@pytest.fixture
def desk(tmp_path: Path, receiver: Receiver) -> Desk:
    """On SQLite; everything goes to `receiver`, as PagerDuty."""
    return Desk(sqlite_store(tmp_path / "control.db"), Routes({}, to(f"pagerduty+http://KEY@{receiver.place}")))
