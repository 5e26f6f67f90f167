"""A control store of each kind, empty, and processes that hold locks in it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "assets"))

from processes import Processes
from project import Project

POSTGRES = pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that nobody has opened yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/made/control.db"
    server = request.getfixturevalue("postgres")
    return server.url(server.database())


@pytest.fixture
def processes(url: str) -> Iterator[Processes]:
    """Starts processes on the store; all are ended after the test."""
    with Processes(url) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.at(tmp_path / "home")
