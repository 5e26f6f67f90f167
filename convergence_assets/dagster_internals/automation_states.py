"""Which sensors and schedules are on, their last ticks, and the heartbeats of the daemons."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg


def location_of(context: dg.SensorEvaluationContext) -> str | None:
    """The name of the code location that a sensor is in; None outside of a daemon."""
    origin = context.code_location_origin
    return origin.location_name if origin else None


def stopped_schedules(instance: dg.DagsterInstance, location: str | None = None) -> set[str]:
    """The names of the schedules that were switched off, in one code location or in any; one that was never
    switched follows its definition."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus

    states: Iterable[Any] = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    return {
        state.instigator_name
        for state in states
        if state.status == InstigatorStatus.STOPPED
        and location in (None, state.origin.repository_origin.code_location_origin.location_name)
    }


def schedule_states(instance: dg.DagsterInstance) -> Mapping[str, Mapping[str, bool]]:
    """By code location the schedules that Dagster knows of, each with whether it was switched off."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus

    states: dict[str, dict[str, bool]] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
        location = state.origin.repository_origin.code_location_origin.location_name
        states.setdefault(location, {})[state.instigator_name] = state.status == InstigatorStatus.STOPPED
    return states


@dataclass(frozen=True)
class Automation:
    """A sensor or schedule that is on: `interval` is a sensor's, `last_statuses` its last ticks, the newest first."""

    name: str
    what: str
    interval: timedelta | None
    last_tick_at: datetime | None
    last_statuses: tuple[str, ...]
    last_error: str | None


def automations(instance: dg.DagsterInstance, ticks: int) -> Iterator[Automation]:
    """Every sensor and schedule that is on, with its last ticks."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.scheduler.instigation import InstigatorStatus

    what = {InstigatorType.SENSOR: "sensor", InstigatorType.SCHEDULE: "schedule"}
    for state in instance.all_instigator_state():
        if state.instigator_type not in what or state.status == InstigatorStatus.STOPPED:
            continue
        last = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=ticks)
        error = next((tick.error for tick in last if tick.error), None)
        data: Any = state.instigator_data
        seconds = getattr(data, "min_interval", None)
        yield Automation(
            name=state.instigator_name,
            what=what[state.instigator_type],
            interval=timedelta(seconds=seconds) if seconds else None,
            last_tick_at=datetime.fromtimestamp(last[0].timestamp, UTC) if last else None,
            last_statuses=tuple(tick.status.value for tick in last),
            last_error=" ".join(error.message.split()) if error else None,
        )


def daemon_heartbeats(instance: dg.DagsterInstance) -> Mapping[str, datetime]:
    """Each daemon's last heartbeat, by its type."""
    return {
        name: datetime.fromtimestamp(heartbeat.timestamp, UTC)
        for name, heartbeat in instance.get_daemon_heartbeats().items()
    }
