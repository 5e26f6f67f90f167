"""Monitors the automation itself: daemons without a heartbeat, sensors and schedules that fail or fall silent."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from convergence_assets.alerting import kinds
from convergence_assets.alerting.alert import Alert
from convergence_assets.dagster_internals import automation_states
from convergence_assets.dagster_internals.automation_states import Automation, Recorded
from convergence_assets.dagster_internals.code_locations import CodeLocation
from convergence_assets.monitoring import code_servers

FAILURES = 3
"""The number of failed ticks in a row that raises an alert."""
SILENT_INTERVALS = 10
"""A sensor without a tick for this many intervals is silent, and after no less than `SILENT_AT_LEAST`."""
SILENT_AT_LEAST = timedelta(minutes=5)
HEARTBEAT_WITHIN = timedelta(minutes=3)
"""A daemon writes one every 30 seconds, and Dagster itself waits five minutes."""
TICK_WITHIN = timedelta(seconds=60)
"""Four sensors tick every 15 or 30 seconds."""
DAEMONS = ("SENSOR", "SCHEDULER", "QUEUED_RUN_COORDINATOR")


def failing(instance: Recorded, now: datetime) -> Iterator[Alert]:
    """One alert per sensor or schedule that is on and fails or is silent."""
    for automation in automation_states.automations(instance, FAILURES):
        if automation.last_statuses[:FAILURES] == ("FAILURE",) * FAILURES:
            yield _failing(automation, f"its last {FAILURES} ticks failed: {automation.last_error or 'no message'}")
        elif automation.interval is not None and automation.last_tick_at is not None:
            limit = max(automation.interval * SILENT_INTERVALS, SILENT_AT_LEAST)
            if now - automation.last_tick_at > limit:
                yield _failing(automation, f"no tick since {automation.last_tick_at:%Y-%m-%d %H:%M} UTC")


def last_tick_at(instance: Recorded) -> datetime | None:
    """The last tick of any sensor; None where none ever ticked."""
    ticks = (a.last_tick_at for a in automation_states.automations(instance, 1) if a.what == "sensor")
    return max((tick for tick in ticks if tick is not None), default=None)


def silent_locations(instance: Recorded, locations: Iterable[CodeLocation], now: datetime) -> Iterator[Alert]:
    """One alert per code location whose server does not answer; else one if the daemon is alive and no sensor ticks."""
    silent = code_servers.still_silent(locations)
    for location, why in silent:
        yield _silent(location.name, f"The server of code location {location.name} does not answer: {why}.")
    last, beat = last_tick_at(instance), automation_states.daemon_heartbeats(instance).get("SENSOR")
    if not silent and last is not None and beat is not None and min(now, beat) - last > TICK_WITHIN:
        yield _silent("", f"No sensor has ticked since {last:%Y-%m-%d %H:%M:%S} UTC; the daemon itself lives.")


def _silent(name: str, happened: str) -> Alert:
    return kinds.LOCATION_DEAD.alert(happened, "location", table=name)


def _failing(automation: Automation, happened: str) -> Alert:
    return kinds.AUTOMATION_FAILING.alert(
        f"{automation.what.capitalize()} {automation.name}: {happened}.",
        automation.name,
        table=automation.name,
        what=automation.what,
    )


def was_ever_started(instance: Recorded) -> bool:
    """Whether any daemon of this instance ever had a heartbeat."""
    return any(name in automation_states.daemon_heartbeats(instance) for name in DAEMONS)


def dead_daemons(instance: Recorded, now: datetime) -> Iterator[Alert]:
    """One alert where daemons that this platform needs have no heartbeat, or never had one."""
    beats = automation_states.daemon_heartbeats(instance)
    missing = {name: beats.get(name) for name in DAEMONS}
    dead = {name: beat for name, beat in missing.items() if beat is None or now - beat > HEARTBEAT_WITHIN}
    if not dead:
        return
    silences = (
        f"{name} ({f'last seen {beat:%Y-%m-%d %H:%M} UTC' if beat else 'never seen'})" for name, beat in dead.items()
    )
    yield kinds.DAEMON_DEAD.alert(f"No heartbeat of {', '.join(silences)}.", "daemon")
