"""Which sensors and schedules are on, their last ticks, and the heartbeats of the daemons."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import dagster as dg

    from convergence_assets.dagster_internals.stored_automation import StoredAutomation

Recorded: TypeAlias = "dg.DagsterInstance | StoredAutomation"
"""Where it is recorded: an instance, or its tables."""


_KINDS = {"SENSOR": "sensor", "SCHEDULE": "schedule"}


def location_of(context: "dg.SensorEvaluationContext") -> str | None:
    """The name of the code location that a sensor is in; None outside of a daemon."""
    origin = context.code_location_origin
    return origin.location_name if origin else None


def stopped_schedules(instance: Recorded, location: str | None = None) -> set[str]:
    """The names of the schedules that were switched off, in one code location or in any; one that was never
    switched follows its definition."""
    return {
        state.instigator_name
        for state in _states(instance, "SCHEDULE")
        if _is_stopped(state) and location in (None, state.origin.repository_origin.code_location_origin.location_name)
    }


def schedule_states(instance: Recorded) -> Mapping[str, Mapping[str, bool]]:
    """By code location the schedules that Dagster knows of, each with whether it was switched off."""
    states: dict[str, dict[str, bool]] = {}
    for state in _states(instance, "SCHEDULE"):
        location = state.origin.repository_origin.code_location_origin.location_name
        states.setdefault(location, {})[state.instigator_name] = _is_stopped(state)
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


def automations(instance: Recorded, ticks: int) -> Iterator[Automation]:
    """Every sensor and schedule that is on, with its last ticks."""
    for state in _states(instance, *_KINDS):
        if _is_stopped(state):
            continue
        last = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=ticks)
        error = next((tick.error for tick in last if tick.error), None)
        data: Any = state.instigator_data
        seconds = getattr(data, "min_interval", None)
        yield Automation(
            name=state.instigator_name,
            what=_KINDS[state.instigator_type.value],
            interval=timedelta(seconds=seconds) if seconds else None,
            last_tick_at=datetime.fromtimestamp(last[0].timestamp, UTC) if last else None,
            last_statuses=tuple(tick.status.value for tick in last),
            last_error=" ".join(error.message.split()) if error else None,
        )


def daemon_heartbeats(instance: Recorded) -> Mapping[str, datetime]:
    """Each daemon's last heartbeat, by its type."""
    return {
        name: datetime.fromtimestamp(heartbeat.timestamp, UTC)
        for name, heartbeat in instance.get_daemon_heartbeats().items()
    }


def _states(instance: Recorded, *kinds: str) -> Iterable[Any]:
    states: Iterable[Any] = instance.all_instigator_state()
    return (state for state in states if state.instigator_type.value in kinds)


def _is_stopped(state: Any) -> bool:
    return bool(state.status.value == "STOPPED")
