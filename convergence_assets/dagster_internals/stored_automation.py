"""Sensors, schedules and daemons as Dagster's tables have them, read without importing Dagster, which takes a second.

`StoredAutomation` answers as a `DagsterInstance` does to what `automation_states` asks of one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
import yaml
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

_OF_ONE_STORAGE = ("run_storage", "schedule_storage")
"""The older form of dagster.yaml, in which each storage may be elsewhere."""
_OURS = "convergence_assets."
_SELECTOR_INDEX = "schedule_jobs_selector_id"
"""Dagster's name for the migration after which every sensor and schedule stands in the table `instigators`."""


class NotReadable(Exception):
    """The storage is of a kind, or of a release of Dagster, that this module does not read."""


@dataclass(frozen=True)
class StoredAutomation:
    """The tables of an instance: `runs` has the heartbeats, `schedules` the sensors, schedules and ticks."""

    runs: sa.Engine
    schedules: sa.Engine

    def get_daemon_heartbeats(self) -> Mapping[str, Any]:
        """By the daemon's type. Raises `NotReadable`, as the other methods do."""
        rows = _rows(self.runs, "SELECT daemon_type, body FROM daemon_heartbeats")
        return {daemon: _value(body) for daemon, body in rows}

    def all_instigator_state(self) -> Sequence[Any]:
        """Every sensor and schedule that ever ticked or was switched."""
        migrated = _rows(
            self.schedules,
            "SELECT migration_completed FROM secondary_indexes WHERE name = :name",
            name=_SELECTOR_INDEX,
        )
        if not any(done for (done,) in migrated):
            raise NotReadable("the instance is to be migrated: `dagster instance migrate`")
        return [
            _state(selector, _value(body))
            for selector, body in _rows(self.schedules, "SELECT selector_id, instigator_body FROM instigators")
        ]

    def get_ticks(self, _: str, selector_id: str, limit: int) -> Sequence[Any]:
        """The newest ticks of one of them, the newest first."""
        rows = _rows(
            self.schedules,
            "SELECT tick_body FROM job_ticks WHERE selector_id = :selector ORDER BY timestamp DESC LIMIT :most",
            selector=selector_id,
            most=limit,
        )
        return [_value(body) for (body,) in rows]


def stored_automation(home: Path, postgres: sa.URL | None) -> StoredAutomation:
    """The tables of the instance in DAGSTER_HOME; `postgres` is where its dagster.yaml has them, if it says so.

    Raises `NotReadable`.
    """
    if postgres is not None:
        engine = sa.create_engine(postgres, poolclass=NullPool)
        return StoredAutomation(engine, engine)
    folder = _sqlite_folder(home)
    return StoredAutomation(_file(folder / "history" / "runs.db"), _file(folder / "schedules" / "schedules.db"))


def _sqlite_folder(home: Path) -> Path:
    try:
        config = yaml.safe_load((home / "dagster.yaml").read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise NotReadable(str(error)) from None
    storage = config.get("storage") if isinstance(config, dict) else None
    match storage:
        case None if not any(key in config for key in _OF_ONE_STORAGE):
            return home
        case {"custom": {"class": "SqliteStorage", "module": str(module), **rest}} if module.startswith(_OURS):
            match rest.get("config"):
                case None:
                    return home
                case {"base_dir": str(folder)}:
                    return Path(folder)
        case {"sqlite": {"base_dir": str(folder)}}:
            return Path(folder)
    raise NotReadable("dagster.yaml names another storage")


def _file(path: Path) -> sa.Engine:
    if not path.is_file():
        raise NotReadable(f"{path} does not exist")
    return sa.create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", poolclass=NullPool)


def _rows(engine: sa.Engine, sql: str, **values: object) -> Sequence[Any]:
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text(sql), values).fetchall()
    except DBAPIError as error:
        raise NotReadable(str(error.orig)) from None


def _value(body: str) -> Any:
    return json.loads(body, object_hook=_object)


def _object(fields: dict[str, Any]) -> SimpleNamespace:
    if "__enum__" in fields:
        return SimpleNamespace(value=fields["__enum__"].rpartition(".")[2])
    return SimpleNamespace(**fields)


def _state(selector_id: str, body: Any) -> SimpleNamespace:
    """A row under the names that Dagster's class has for its fields."""
    location = body.origin.external_repository_origin.repository_location_origin
    repository = SimpleNamespace(code_location_origin=location)
    return SimpleNamespace(
        instigator_name=body.origin.job_name,
        instigator_type=body.job_type,
        status=body.status,
        instigator_data=body.job_specific_data,
        instigator_origin_id="",
        selector_id=selector_id,
        origin=SimpleNamespace(repository_origin=repository),
    )
