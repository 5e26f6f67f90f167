"""A control store of each kind, empty, and processes that hold locks in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.processes import Processes
from tests.control_stores import sqlite_store
from tests.postgres.postgres_server import POSTGRES
from tests.postgres.postgres_stores import postgres_store


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store of each kind."""
    if request.param == "sqlite":
        return sqlite_store(tmp_path / "made" / "control.db")
    return postgres_store(request.getfixturevalue("postgres"))


@pytest.fixture
def processes(url: str) -> Iterator[Processes]:
    """Starts processes on the store; all are ended after the test."""
    with Processes(url) as started:
        yield started
