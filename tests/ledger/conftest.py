"""A Dagster on SQLite and on Postgres, the control store beside it, and a follower whose run events are kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from tests.assets.project import Project
from tests.control_stores import sqlite_store
from tests.dagster_homes import dagster_at
from tests.ledger.following import World
from tests.postgres.postgres_server import SOAK_ON_POSTGRES
from tests.postgres.postgres_stores import postgres_platform


@pytest.fixture(params=["sqlite", SOAK_ON_POSTGRES])
def world(request: pytest.FixtureRequest, tmp_path: Path, project: Project) -> Iterator[World]:
    if request.param == "sqlite":
        url, config = sqlite_store(tmp_path / "c.db"), ""
    else:
        url = postgres_platform(request.getfixturevalue("postgres"))
        config = f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n"
    with dagster_at(tmp_path / "dagster", config) as instance:
        yield World.of(lambda now: ControlStore(sa.make_url(url), now), instance, project)


@pytest.fixture
def simple(tmp_path: Path, project: Project) -> Iterator[World]:
    """On SQLite alone, for what no database decides."""
    url = sa.make_url(sqlite_store(tmp_path / "c.db"))
    with dagster_at(tmp_path / "dagster") as instance:
        yield World.of(lambda now: ControlStore(url, now), instance, project)
