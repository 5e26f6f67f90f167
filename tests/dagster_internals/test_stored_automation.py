"""Sensors, schedules and daemons read from Dagster's tables are those that Dagster itself tells of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    CodeLocationOrigin,
    GrpcServerCodeLocationOrigin,
    InProcessCodeLocationOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from convergence_assets.dagster_internals.automation_states import (
    automations,
    daemon_heartbeats,
    schedule_states,
    stopped_schedules,
)
from convergence_assets.dagster_internals.stored_automation import NotReadable, stored_automation
from tests.dagster_homes import dagster_home
from tests.postgres.postgres_server import Postgres
from tests.postgres.postgres_stores import postgres_platform

TARGET = LoadableTargetOrigin(python_file="x.py")
LOCATIONS: tuple[CodeLocationOrigin, ...] = (
    GrpcServerCodeLocationOrigin(host="code.internal", port=4000, location_name="tenants_1_of_2", use_ssl=True),
    ManagedGrpcPythonEnvCodeLocationOrigin(TARGET, "tenants_2_of_2"),
    InProcessCodeLocationOrigin(TARGET),
    RegisteredCodeLocationOrigin("registered"),
)


@contextmanager
def instance_at(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def record_automation(instance: dg.DagsterInstance) -> None:
    """Every kind of automation in every kind of location and state, with up to five ticks each."""
    number = 0
    for location in LOCATIONS:
        for status in InstigatorStatus:
            for kind, data in (
                (InstigatorType.SENSOR, SensorInstigatorData(min_interval=15, cursor='{"__class__": "no"}')),
                (InstigatorType.SCHEDULE, ScheduleInstigatorData("0 6 * * *", 1.0)),
            ):
                number += 1
                origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), f"named_{number}")
                state = InstigatorState(origin, kind, status, data)
                instance.add_instigator_state(state)
                for at in range(number % 6):
                    record_tick(instance, state, 1_700_000_000.0 + at, failed=at % 2 == 0)
    for daemon in ("SENSOR", "SCHEDULER"):
        instance.add_daemon_heartbeat(
            DaemonHeartbeat(1_700_000_000.25, daemon, "id", [SerializableErrorInfo("no", [], None)])
        )


def record_tick(instance: dg.DagsterInstance, state: InstigatorState, moment: float, *, failed: bool) -> None:
    error = SerializableErrorInfo("it\n broke", ["line"], "ValueError") if failed else None
    instance.create_tick(
        TickData(
            state.instigator_origin_id, state.instigator_name, state.instigator_type,
            TickStatus.FAILURE if failed else TickStatus.SKIPPED, moment,
            run_ids=[], run_keys=[], error=error, selector_id=state.selector_id,
        )
    )  # fmt: skip


def assert_read_alike(home: Path, postgres: sa.URL | None = None) -> None:
    stored = stored_automation(home, postgres)
    with instance_at(home) as instance:
        assert len(list(automations(instance, 3))) == 24
        assert list(automations(stored, 3)) == list(automations(instance, 3))
        assert schedule_states(stored) == schedule_states(instance)
        assert stopped_schedules(stored) == stopped_schedules(instance)
        assert daemon_heartbeats(stored) == daemon_heartbeats(instance)


def test_they_are_read_alike_from_sqlite(tmp_path: Path) -> None:
    home = dagster_home(tmp_path / "home")
    with instance_at(home) as instance:
        record_automation(instance)
    assert_read_alike(home)


def test_they_are_read_alike_from_dagsters_own_sqlite_at_another_place(tmp_path: Path) -> None:
    home = dagster_home(tmp_path / "home", f"storage: {{sqlite: {{base_dir: '{tmp_path / 'elsewhere'}'}}}}\n")
    with instance_at(home) as instance:
        record_automation(instance)
    assert_read_alike(home)


@pytest.mark.xdist_group("postgres")
def test_they_are_read_alike_from_postgres(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres_platform(postgres)
    home = dagster_home(tmp_path / "home", f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n")
    with instance_at(home) as instance:
        record_automation(instance)
    assert_read_alike(home, sa.make_url(url))


@pytest.mark.parametrize(
    "config",
    [
        "storage: {custom: {module: their.storage, class: SqliteStorage}}\n",
        "storage: {custom: {module: convergence_assets.dagster_instance, class: SqliteStorage, config: {base_dir: {env: X}}}}\n",
        "storage: {sqlite: {base_dir: {env: THEIRS}}}\n",
        "storage: [\n",
    ],
)
def test_a_storage_that_is_not_known_is_not_read(tmp_path: Path, config: str) -> None:
    home = dagster_home(tmp_path / "home")
    (home / "dagster.yaml").write_text(config)
    with pytest.raises(NotReadable):
        stored_automation(home, None)


def test_a_storage_in_the_older_form_is_not_read(tmp_path: Path) -> None:
    home = dagster_home(tmp_path / "home")
    (home / "dagster.yaml").write_text("schedule_storage: {module: their.storage, class: Schedules}\n")
    with pytest.raises(NotReadable):
        stored_automation(home, None)


def test_an_instance_that_is_to_be_migrated_or_damaged_is_left_to_dagster(tmp_path: Path) -> None:
    home = dagster_home(tmp_path / "home")
    stored = stored_automation(home, None)
    with replace(
        stored, schedules=sa.create_engine(f"sqlite:///{home}/schedules/schedules.db")
    ).schedules.begin() as to:
        to.execute(sa.text("DELETE FROM secondary_indexes"))
    with pytest.raises(NotReadable, match="dagster instance migrate"):
        stored.all_instigator_state()
    (home / "history" / "runs.db").write_bytes(b"no database" * 100)
    with pytest.raises(NotReadable):
        stored.get_daemon_heartbeats()
