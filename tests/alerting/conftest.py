"""A desk on a control store of each kind, and receivers."""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from desk import Desk, to
from receivers import Mailbox, Receiver

from convergence_assets.alerting.routes import Routes

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Apprise 2.3 imports imghdr
    import apprise.utils.pgp  # noqa: F401

POSTGRES = pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store of each kind that nobody has opened yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/control.db"
    server = request.getfixturevalue("postgres")
    return str(server.url(server.database()))


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
    return Desk(f"sqlite:///{tmp_path}/control.db", Routes({}, to(f"pagerduty+http://KEY@{receiver.place}")))
