"""Connections to Postgres that a process keeps: few are made, one that was closed is made again, none crosses a fork."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from tests.postgres.postgres_server import Postgres

pytestmark = pytest.mark.xdist_group("postgres")
DEPLOYED = Path(__file__).parents[1] / "deploy" / "dagster.postgres.yaml"
Use = Callable[[], int]
"""Asks the database something; the process of Postgres that answered."""


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.url(postgres.database())


@pytest.fixture(params=["control store", "dagster"])
def use(
    request: pytest.FixtureRequest, url: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Use:
    """As a tick has them: made for it, and left."""
    variables = {"HOST": "127.0.0.1", "PORT": postgres.port, "USERNAME": "postgres", "PASSWORD": postgres.password}
    for name, value in (variables | {"DB": url.rpartition("/")[2]}).items():
        monkeypatch.setenv(f"DAGSTER_PG_{name}", str(value))
    (tmp_path / "dagster.yaml").write_text(DEPLOYED.read_text())
    query = sa.text("SELECT pg_backend_pid()")

    def of_control_store() -> int:
        store = ControlStore(sa.make_url(url).set(drivername="postgresql+psycopg2"))
        with store.write("test") as connection:
            answered: int = connection.execute(query).scalar_one()
        return answered

    def of_dagster() -> int:
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            instance.get_runs(limit=1)
            instance.get_asset_keys()
            instance.all_instigator_state()
            with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
                answered: int = connection.execute(query).scalar_one()
            return answered

    return of_dagster if request.param == "dagster" else of_control_store


def serving(url: str) -> set[int]:
    """The processes that serve this database, but for the one that answers."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in cursor.fetchall()}


def wait_until(what: Callable[[], bool]) -> None:
    """The process of a closed connection ends a little later."""
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_connection_serves_every_statement_of_a_thread(use: Use, url: str) -> None:
    first = use()
    assert {use() for _ in range(5)} == {first}
    wait_until(lambda: serving(url) == {first})


def test_a_connection_that_was_closed_is_made_again(use: Use, url: str) -> None:
    first = use()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [first])
    wait_until(lambda: first not in serving(url))
    assert use() != first


def test_a_forked_process_has_connections_of_its_own(use: Use) -> None:
    first = use()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if use() != first else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert use() == first
