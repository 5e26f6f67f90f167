"""Monitors the automation itself: daemons without a heartbeat, sensors and schedules that fail or fall silent."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import dagster as dg

from convergence_assets import dagster_compat
from convergence_assets.alerting.alert import Alert
from convergence_assets.dagster_compat import Automation
from convergence_assets.dagster_locations import CodeLocation
from convergence_assets.operations import code_servers

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


def failing(instance: dg.DagsterInstance, now: datetime) -> Iterator[Alert]:
    """One alert per sensor or schedule that is on and fails or is silent."""
    for automation in dagster_compat.automations(instance, FAILURES):
        if automation.last_statuses[:FAILURES] == ("FAILURE",) * FAILURES:
            yield _failing(automation, f"its last {FAILURES} ticks failed: {automation.last_error or 'no message'}")
        elif automation.interval is not None and automation.last_tick_at is not None:
            limit = max(automation.interval * SILENT_INTERVALS, SILENT_AT_LEAST)
            if now - automation.last_tick_at > limit:
                yield _failing(automation, f"no tick since {automation.last_tick_at:%Y-%m-%d %H:%M} UTC")


def last_tick_at(instance: dg.DagsterInstance) -> datetime | None:
    """The last tick of any sensor; None where none ever ticked."""
    ticks = (a.last_tick_at for a in dagster_compat.automations(instance, 1) if a.what == "sensor")
    return max((tick for tick in ticks if tick is not None), default=None)


def silent_locations(instance: dg.DagsterInstance, locations: Iterable[CodeLocation], now: datetime) -> Iterator[Alert]:
    """One alert per code location whose server does not answer; else one if the daemon is alive and no sensor ticks."""
    silent = code_servers.still_silent(locations)
    for location, why in silent:
        yield _silent(location.name, f"The server of code location {location.name} does not answer: {why}.")
    last, beat = last_tick_at(instance), dagster_compat.daemon_heartbeats(instance).get("SENSOR")
    if not silent and last is not None and beat is not None and min(now, beat) - last > TICK_WITHIN:
        yield _silent("", f"No sensor has ticked since {last:%Y-%m-%d %H:%M:%S} UTC; the daemon itself lives.")


def _silent(name: str, happened: str) -> Alert:
    return Alert(
        kind="location_dead",
        severity="critical",
        title="The code location does not work",
        happened=happened,
        done="Nothing is asked for, watched or followed meanwhile; runs that were launched go on.",
        next_step="Reload it in the Dagster UI (Deployment, Reload), or start its server again.",
        runbook="code-location-dead",
        table=name,
        cause="location",
    )


def _failing(automation: Automation, happened: str) -> Alert:
    return Alert(
        kind="automation_failing",
        severity="critical",
        title=f"The {automation.what} {automation.name} does not work",
        happened=f"{automation.what.capitalize()} {automation.name}: {happened}.",
        done="Nothing: it goes on as soon as it can.",
        next_step="Read its last ticks in the Dagster UI (Automation); `convergence status` shows what works.",
        runbook="automation-failing",
        table=automation.name,
        cause=automation.name,
    )


def was_ever_started(instance: dg.DagsterInstance) -> bool:
    """Whether any daemon of this instance ever had a heartbeat."""
    return any(name in dagster_compat.daemon_heartbeats(instance) for name in DAEMONS)


def dead_daemons(instance: dg.DagsterInstance, now: datetime) -> Iterator[Alert]:
    """One alert where daemons that this platform needs have no heartbeat, or never had one."""
    beats = dagster_compat.daemon_heartbeats(instance)
    missing = {name: beats.get(name) for name in DAEMONS}
    dead = {name: beat for name, beat in missing.items() if beat is None or now - beat > HEARTBEAT_WITHIN}
    if not dead:
        return
    silences = (
        f"{name} ({f'last seen {beat:%Y-%m-%d %H:%M} UTC' if beat else 'never seen'})" for name, beat in dead.items()
    )
    yield Alert(
        kind="daemon_dead",
        severity="critical",
        title="The Dagster daemon does not work",
        happened=f"No heartbeat of {', '.join(silences)}.",
        done="Nothing is asked for, watched or followed meanwhile; runs that were launched go on.",
        next_step="Read its log's end; start it again: `dagster-daemon run -w workspace.yaml`, with its DAGSTER_HOME.",
        runbook="daemon-dead",
        cause="daemon",
    )
