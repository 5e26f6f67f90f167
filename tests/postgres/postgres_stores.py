"""Empty control stores on Postgres, alone or beside Dagster's tables; migrated once a process and copied."""

import tempfile
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from tests.dagster_homes import dagster_home
from tests.postgres.postgres_server import Postgres


def postgres_store(server: Postgres) -> str:
    """The URL of a database that is an empty control store."""
    return _driver(server.url(server.copied("control", lambda url: _migrate(_driver(url)))))


def postgres_platform(server: Postgres) -> str:
    """The URL of a database with Dagster's tables and the control store's."""

    def make(url: str) -> None:
        _migrate(_driver(url))
        with tempfile.TemporaryDirectory() as folder:
            home = dagster_home(Path(folder, "home"), f"storage: {{postgres: {{postgres_url: '{_driver(url)}'}}}}\n")
            with dg.DagsterInstance.from_config(str(home)):
                pass

    return _driver(server.url(server.copied("platform", make)))


def _driver(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg2:", 1)


def _migrate(url: str) -> None:
    ControlStore(sa.make_url(url))
