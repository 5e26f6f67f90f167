"""Parts of an instance: its defaults, its connections, its console loggers, and its events without secrets."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import dagster as dg
from dagster._serdes import deserialize_value, serialize_value

from convergence_assets.connections import KEPT, shared_engine
from convergence_assets.dagster_internals.patches import patch

T = TypeVar("T")


@patch(
    "the format of console logs cannot be configured, nor can their secrets be redacted",
    upstream="https://github.com/dagster-io/dagster/issues/6770",
)
def console_loggers_are(
    of_run: Callable[[str | None, Iterable[Sequence[str]], int], logging.Logger],
    of_automation: Callable[[], logging.Logger],
) -> None:
    """Send the console output of runs, sensors and schedules to these loggers in this process.

    `of_run` gets the run's id, the paths of the assets that it materialises and the minimum level.
    """
    from dagster._core.definitions import instigation_logger
    from dagster._core.utils import coerce_valid_log_level

    def logger_fn(context: Any) -> logging.Logger:
        layer = getattr(context.job_def, "asset_layer", None)
        keys = [key.path for key in layer.selected_asset_keys] if layer else []
        return of_run(context.run_id, keys, coerce_valid_log_level(context.logger_config["log_level"]))

    dg.colored_console_logger._logger_fn = logger_fn  # dagster 1.13 has no other way to change the default
    instigation_logger.create_console_logger = lambda name, level: of_automation()  # type: ignore[attr-defined]


def instance_defaults(base_dir: str) -> Mapping[str, Any]:
    """The parts of an instance that its dagster.yaml does not set."""
    from dagster._core.instance.ref import InstanceRef

    defaults: Mapping[str, Any] = InstanceRef.config_defaults(base_dir)
    return defaults


def launches_on_kubernetes(instance: dg.DagsterInstance) -> bool:
    """Whether its dagster.yaml names the run launcher of dagster-k8s."""
    launcher = instance.get_ref().run_launcher_data if instance.is_persistent else None
    return launcher is not None and launcher.module_name.partition(".")[0] == "dagster_k8s"


@patch(
    "Postgres storage opens a connection for every statement",
    upstream="https://github.com/dagster-io/dagster/issues/33935",
)
def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let an instance on Postgres use this process's shared connections: Dagster opens one for every statement.

    Every tick creates an instance. Connections authenticated by tokens stay Dagster's.
    """
    storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    for storage in storages:
        if not type(storage).__module__.startswith("dagster_postgres.") or storage._token_provider:  # type: ignore[union-attr]
            continue
        from dagster_postgres.utils import create_pg_engine

        url = storage.postgres_url  # type: ignore[union-attr]
        storage._engine = shared_engine(  # type: ignore[union-attr]
            f"dagster {url}", partial(create_pg_engine, url, isolation_level="AUTOCOMMIT", **KEPT)
        )


def without_secrets(value: T, redacted: Callable[[str], str]) -> T:
    """The same event or tick with every text in it redacted; the same object where nothing changes."""
    written = json.loads(serialize_value(value))  # type: ignore[arg-type]
    clean = _redacted(written, redacted)
    return value if clean == written else deserialize_value(json.dumps(clean), type(value))  # type: ignore[type-var]


def _redacted(written: Any, redacted: Callable[[str], str]) -> Any:
    if isinstance(written, str):
        return redacted(written)
    if isinstance(written, list):
        return [_redacted(item, redacted) for item in written]
    if isinstance(written, dict):
        return {name: item if name == "__class__" else _redacted(item, redacted) for name, item in written.items()}
    return written
