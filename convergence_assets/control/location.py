"""Where the control store is: named by the environment, in Dagster's Postgres, else a file under CONVERGENCE_HOME."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence_assets.redaction import remember
from convergence_assets.settings import IN_A_CONTAINER, Settings, SettingsError, dagster_yaml_with_postgres

if TYPE_CHECKING:
    from sqlalchemy import URL

FILE = "control.db"
# SQLAlchemy 2.1 reads a bare `postgresql://` as psycopg 3; Dagster installs psycopg2.
_POSTGRES = "postgresql+psycopg2"


def control_url(settings: Settings, environ: Mapping[str, str] = os.environ) -> "URL":
    """CONVERGENCE_CONTROL_URL, else the Postgres of Dagster's `dagster.yaml`, else a SQLite file in `settings.home`.

    Raises `SettingsError` for a URL of another database, where `dagster.yaml` names a variable that is not set, and in
    a container of Kubernetes or Cloud Run that would keep its store to itself.
    """
    from sqlalchemy import URL

    if settings.control_url:
        return _named(settings.control_url, "CONVERGENCE_CONTROL_URL")
    config = Path(environ.get("DAGSTER_HOME") or settings.dagster_home) / "dagster.yaml"
    if url := dagster_postgres(config, environ):
        return url
    if any(map(environ.get, IN_A_CONTAINER)) and settings.warehouse != "embedded":
        raise SettingsError(
            f"no control store is named, and {config} has no Postgres: a file in this container would be lost with it, "
            "and no other one would see it. Set CONVERGENCE_CONTROL_URL, or mount Dagster's dagster.yaml"
        )
    return URL.create("sqlite", database=str(settings.home / FILE))


def dagster_postgres(config: Path, environ: Mapping[str, str] = os.environ) -> "URL | None":
    """The Postgres that a `dagster.yaml` names; None where it names none. Raises `SettingsError` as `control_url`."""
    storage = _postgres_storage(config)
    if storage is None:
        return None
    values = _resolved(storage, config, environ)
    return _named(str(values["postgres_url"]), str(config)) if "postgres_url" in values else _parts(values, config)


def _named(text: str, where: str) -> "URL":
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
        backend = "postgresql" if url.drivername == "postgres" else url.get_backend_name()
    except (ArgumentError, ValueError):
        raise SettingsError(f"{where}: the control store's URL cannot be read; expected {_EXPECTED}") from None
    if url.password:
        remember(str(url.password))
    if backend == "postgresql":
        return url.set(drivername=_POSTGRES)
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return url.set(drivername="sqlite")
    shown = url.render_as_string(hide_password=True)
    raise SettingsError(f"{where}: the control store cannot be {shown}; expected {_EXPECTED}")


_EXPECTED = "postgresql://user:password@host:5432/database, or sqlite:////folder/control.db"


def _postgres_storage(config: Path) -> Mapping[str, Any] | None:
    """The Postgres section of dagster.yaml, in its current form or that of the Helm chart."""
    config_values = dagster_yaml_with_postgres(config)
    storage = config_values.get("storage")
    if isinstance(storage, dict) and isinstance(storage.get("postgres"), dict):
        return dict(storage["postgres"])
    runs = config_values.get("run_storage")
    if isinstance(runs, dict) and "postgres" in str(runs.get("module")) and isinstance(runs.get("config"), dict):
        return dict(runs["config"])
    return None


def _resolved(value: Any, config: Path, environ: Mapping[str, str]) -> Any:
    """The section with every `{env: NAME}` replaced by the variable's value."""
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"env"}:
        name = str(value["env"])
        if name not in environ:
            raise SettingsError(f"{config} reads its Postgres from the variable {name}, which is not set; set it")
        return environ[name]
    return {key: _resolved(item, config, environ) for key, item in value.items()}


def _parts(storage: Mapping[str, Any], config: Path) -> "URL":
    from sqlalchemy import URL

    postgres = storage.get("postgres_db")
    if not isinstance(postgres, Mapping) or not postgres.get("hostname") or not postgres.get("db_name"):
        raise SettingsError(f"{config}: its Postgres names no hostname and db_name; name them, or a postgres_url")
    params = postgres.get("params")
    if postgres.get("password"):
        remember(str(postgres["password"]))
    return URL.create(
        _POSTGRES,
        username=str(postgres["username"]) if postgres.get("username") else None,
        password=str(postgres["password"]) if postgres.get("password") else None,
        host=str(postgres["hostname"]),
        port=int(postgres.get("port") or 5432),
        database=str(postgres["db_name"]),
        query={str(k): str(v) for k, v in params.items()} if isinstance(params, Mapping) else {},
    )
