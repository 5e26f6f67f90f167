"""A Dagster on SQLite and on Postgres, the control store beside it, and a follower whose facts are kept."""

import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "assets"))

from following import World
from project import Project

from convergence_assets.control.store import ControlStore

POSTGRES = pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))


def dagster_at(folder: Path, url: str | None) -> dg.DagsterInstance:
    folder.mkdir(parents=True)
    storage = f"storage:\n  postgres:\n    postgres_url: {url}\n" if url else ""
    (folder / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{storage}")
    return dg.DagsterInstance.from_config(str(folder))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.at(tmp_path / "home")


@pytest.fixture(params=["sqlite", POSTGRES])
def world(request: pytest.FixtureRequest, tmp_path: Path, project: Project) -> Iterator[World]:
    if request.param == "sqlite":
        instance, url = dagster_at(tmp_path / "dagster", None), sa.URL.create("sqlite", database=str(tmp_path / "c.db"))
    else:
        server = request.getfixturevalue("postgres")
        address = server.url(server.database()).replace("postgresql", "postgresql+psycopg2", 1)
        instance, url = dagster_at(tmp_path / "dagster", address), sa.make_url(address)
    with instance:
        yield World.of(lambda now: ControlStore(url, now), instance, project)


@pytest.fixture
def simple(tmp_path: Path, project: Project) -> Iterator[World]:
    """On SQLite alone, for what no database decides."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "c.db"))
    with dagster_at(tmp_path / "dagster", None) as instance:
        yield World.of(lambda now: ControlStore(url, now), instance, project)
