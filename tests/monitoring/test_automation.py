"""Sensors, schedules and daemons watched from outside: failing three times in a row, silent, or without a heartbeat."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from convergence_assets.monitoring.automation import DAEMONS, HEARTBEAT_WITHIN, SILENT_AT_LEAST, dead_daemons, failing
from tests.dagster_homes import dagster_at

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path) as found:
        yield found


def sensor(
    instance: dg.DagsterInstance, name: str, *ticks: TickStatus, last: datetime = NOW, every: int = 15,
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE,
) -> None:  # fmt: skip
    """A sensor with these last ticks, the oldest first."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="x.py"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    state = InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData(min_interval=every))
    instance.add_instigator_state(state)
    for age, tick in enumerate(reversed(ticks)):
        error = SerializableErrorInfo("control store: no such host", [], "ControlError")
        instance.create_tick(
            TickData(
                state.instigator_origin_id, name, InstigatorType.SENSOR, tick, (last.timestamp() - age * every),
                run_ids=[], run_keys=[], error=error if tick == TickStatus.FAILURE else None,
                selector_id=state.selector_id,
            )
        )  # fmt: skip


def test_a_sensor_that_failed_three_times_in_a_row_is_told_of_with_its_last_error(instance: dg.DagsterInstance) -> None:
    bad, good = TickStatus.FAILURE, TickStatus.SKIPPED
    sensor(instance, "ledger", good, bad, bad, bad)
    sensor(instance, "alerts", bad, bad, good)
    sensor(instance, "stuck_runs", bad, bad)
    sensor(instance, "catch_up", bad, bad, bad, status=InstigatorStatus.STOPPED)
    (alert,) = failing(instance, NOW)
    assert (alert.kind, alert.cause, alert.tenant_id) == ("automation_failing", "ledger", None)
    assert "its last 3 ticks failed: control store: no such host" in alert.happened


def test_a_sensor_that_has_not_ticked_for_long_is_silent(instance: dg.DagsterInstance) -> None:
    sensor(instance, "ledger", TickStatus.SKIPPED, last=NOW - SILENT_AT_LEAST - timedelta(seconds=1))
    sensor(instance, "alerts", TickStatus.SKIPPED, last=NOW - SILENT_AT_LEAST)
    sensor(instance, "slow_one", TickStatus.SKIPPED, last=NOW - timedelta(minutes=50), every=600)
    (alert,) = failing(instance, NOW)
    assert alert.cause == "ledger"
    assert "no tick since 2026-11-20 11:54 UTC" in alert.happened


def test_one_alert_names_every_daemon_without_a_heartbeat(instance: dg.DagsterInstance) -> None:
    (never,) = dead_daemons(instance, NOW)
    assert all(f"{name} (never seen)" in never.happened for name in DAEMONS)
    for name in DAEMONS:
        instance.add_daemon_heartbeat(DaemonHeartbeat(NOW.timestamp(), name, "id"))
    assert list(dead_daemons(instance, NOW + HEARTBEAT_WITHIN)) == []
    instance.add_daemon_heartbeat(DaemonHeartbeat((NOW + timedelta(minutes=9)).timestamp(), "SENSOR", "id"))
    (dead,) = dead_daemons(instance, NOW + timedelta(minutes=10))
    assert "SENSOR" not in dead.happened
    assert "SCHEDULER (last seen 2026-11-20 12:00 UTC)" in dead.happened
    assert dead.fingerprint == never.fingerprint, "one incident, whichever daemon it is"
