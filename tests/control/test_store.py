"""Where the control store is, and how it is opened, migrated and failed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from convergence_assets.control.errors import ControlError
from convergence_assets.control.location import control_url
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import HEAD, VERSION_TABLE, compatibility, metadata
from convergence_assets.settings import IN_A_CONTAINER, Settings, SettingsError
from tests.postgres.postgres_server import POSTGRES


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that nobody has opened yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/made/control.db"
    server = request.getfixturevalue("postgres")
    return str(server.url(server.database()))


PARTS = """
postgres_db:
  username: {env: PG_USER}
  password: {env: PG_PASSWORD}
  hostname: db.internal
  db_name: dagster
  port: 6543
  params: {sslmode: require}
"""


def indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.strip().splitlines())


def settings(home: Path, **environ: str) -> Settings:
    return Settings.from_env({"CONVERGENCE_HOME": str(home), "CONVERGENCE_WAREHOUSE": "embedded"} | environ)


def dagster_home(folder: Path, config: str) -> dict[str, str]:
    (folder / "dagster.yaml").write_text(config)
    return {"DAGSTER_HOME": str(folder)}


def test_without_a_word_the_store_is_a_file_under_home(tmp_path: Path) -> None:
    url = control_url(settings(tmp_path), {})
    assert (url.drivername, url.database) == ("sqlite", str(tmp_path / "control.db"))


@pytest.mark.parametrize(
    "config",
    [
        "storage:\n  postgres:\n" + indented(PARTS, 4),
        "run_storage:\n  module: dagster_postgres.run_storage\n  class: PostgresRunStorage\n  config:\n"
        + indented(PARTS, 4),
    ],
    ids=["storage", "as the Helm chart writes it"],
)
def test_the_store_is_in_the_postgres_of_dagster(tmp_path: Path, config: str) -> None:
    environ = dagster_home(tmp_path, config) | {"PG_USER": "dagster", "PG_PASSWORD": "p@ss/word"}
    url = control_url(settings(tmp_path), environ)
    shown = url.render_as_string(hide_password=False)
    assert shown == "postgresql+psycopg2://dagster:p%40ss%2Fword@db.internal:6543/dagster?sslmode=require"


def test_a_postgres_url_in_dagster_yaml_is_followed(tmp_path: Path) -> None:
    environ = dagster_home(tmp_path, "storage:\n  postgres:\n    postgres_url: {env: PG_URL}\n")
    url = control_url(settings(tmp_path), environ | {"PG_URL": "postgresql://u:p@h:1/d"})
    assert url.render_as_string(hide_password=False) == "postgresql+psycopg2://u:p@h:1/d"


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    environ = dagster_home(tmp_path, "storage:\n  postgres:\n" + indented(PARTS, 4))
    with pytest.raises(SettingsError, match=r"dagster.yaml reads its Postgres from the variable PG_USER"):
        control_url(settings(tmp_path), environ)


@pytest.mark.parametrize("config", ["storage:\n  sqlite:\n    base_dir: /x\n", "# postgres\n", "storage: [postgres\n"])
def test_a_dagster_on_sqlite_or_with_a_broken_file_leaves_the_file_under_home(tmp_path: Path, config: str) -> None:
    assert control_url(settings(tmp_path), dagster_home(tmp_path, config)).drivername == "sqlite"


def test_a_named_url_wins_and_another_database_is_refused_without_its_password(tmp_path: Path) -> None:
    environ = dagster_home(tmp_path, "storage:\n  postgres:\n    postgres_url: postgresql://u:p@h:1/d\n")
    named = settings(tmp_path, CONVERGENCE_CONTROL_URL=f"sqlite:///{tmp_path}/named.db")
    assert control_url(named, environ).database == f"{tmp_path}/named.db"
    for url in ("mysql://me:secret@h/d", "sqlite://", "nonsense"):
        with pytest.raises(
            SettingsError, match=r"CONVERGENCE_CONTROL_URL: the control store.* expected postgresql://"
        ) as refused:
            control_url(settings(tmp_path, CONVERGENCE_CONTROL_URL=url), {})
        assert "secret" not in str(refused.value)


def test_the_migrations_make_the_tables_that_the_code_reads(url: str) -> None:
    named = settings(Path("/nowhere"), CONVERGENCE_CONTROL_URL=url)
    store = ControlStore.open(named, {})
    config = Config()
    config.set_main_option("script_location", "convergence_assets.control:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_migrated_store_is_opened_without_alembic_and_definitions_load_without_sqlalchemy(url: str) -> None:
    ControlStore.open(settings(Path("/nowhere"), CONVERGENCE_CONTROL_URL=url), {})
    code = (
        "import sys, convergence_assets.definitions\n"
        "print('sqlalchemy' in sys.modules)\n"
        "from convergence_assets.control.store import ControlStore\n"
        "from convergence_assets.settings import Settings\n"
        "ControlStore.open(Settings.from_env({'CONVERGENCE_CONTROL_URL': sys.argv[1]}), {})\n"
        "print('alembic' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=False)
    assert done.stdout == "False\nFalse\n", done.stderr


def migrated_further(url: str, oldest_revision: str | None) -> Settings:
    """Of a store that a newer release has migrated, saying which revision's code is the oldest that may use it."""
    named = settings(Path("/nowhere"), CONVERGENCE_CONTROL_URL=url)
    with ControlStore.open(named, {}).write() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        if oldest_revision is None:
            compatibility.drop(connection)
        else:
            connection.execute(sa.update(compatibility).values(oldest_revision=oldest_revision))
    return named


@pytest.mark.parametrize("oldest_revision", [None, "9998"])
def test_a_store_of_a_newer_version_is_refused_unless_it_says_that_this_one_may_use_it(
    url: str, oldest_revision: str | None
) -> None:
    named = migrated_further(url, oldest_revision)
    with pytest.raises(ControlError, match=r"migrated by a newer version of Convergence.*restore the backup"):
        ControlStore.open(named, {})


def test_a_store_of_a_newer_version_that_this_one_may_use_is_opened_as_it_is(url: str) -> None:
    store = ControlStore.open(migrated_further(url, HEAD), {})
    assert store.is_newer
    with store.read() as connection:
        assert connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999"


def test_a_transaction_that_fails_leaves_nothing(url: str) -> None:
    store = ControlStore.open(settings(Path("/nowhere"), CONVERGENCE_CONTROL_URL=url), {})

    def fail() -> None:
        with store.write() as connection:
            connection.execute(sa.text(f"DELETE FROM {VERSION_TABLE}"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with store.read() as connection:
        assert connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")) == HEAD


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:secret@127.0.0.1:1/dagster", "Connection refused"),
        ("sqlite:////proc/no-such-folder/control.db", "Next: make that folder writable"),
        ("sqlite:////dev/null", "not a database|unable to open|disk I/O|locked|readonly"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line_without_its_password(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(ControlError, match=message) as failed:
        ControlStore.open(settings(tmp_path, CONVERGENCE_CONTROL_URL=url), {})
    assert "secret" not in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("variable", IN_A_CONTAINER)
def test_a_container_keeps_no_control_store_to_itself(tmp_path: Path, variable: str) -> None:
    pod = {variable: "10.0.0.1", "DAGSTER_HOME": str(tmp_path)}
    on_bigquery = Settings.from_env({"GCP_PROJECT_ID": "p", "CONVERGENCE_HOME": str(tmp_path)})
    with pytest.raises(SettingsError, match="no control store is named"):
        control_url(on_bigquery, pod)
    named = replace(on_bigquery, control_url="postgresql://u:secret-of-the-store@host/db")
    assert control_url(named, pod).host == "host"
    embedded = Settings.from_env({"CONVERGENCE_WAREHOUSE": "embedded", "CONVERGENCE_HOME": str(tmp_path)})
    assert control_url(embedded, pod).get_backend_name() == "sqlite", "chosen by name, for one pod"
