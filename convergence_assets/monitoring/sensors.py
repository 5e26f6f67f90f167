"""The monitoring sensors: `ledger` follows runs, `stuck_runs` remedies them, `staging` removes what they left,
`history` what is old, `alerts` notifies people."""

from functools import cached_property, partial
from typing import TYPE_CHECKING

import dagster as dg

from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import TenantRegistry

if TYPE_CHECKING:
    from convergence_assets.monitoring.monitor import Monitor

LEDGER_EVERY_SECONDS = 15
STUCK_RUNS_EVERY_SECONDS = 30
STAGING_EVERY_SECONDS = 600
HISTORY_EVERY_SECONDS = 600
ALERTS_EVERY_SECONDS = 15
BUDGET_SECONDS = 40.0
"""Dagster ends a tick after 60."""
LEDGER_BUDGET_SECONDS = 24.0
"""A statement that was begun within it may take 30 seconds more."""


def build_sensors(registry: TenantRegistry, settings: Settings) -> list[dg.SensorDefinition]:
    """On by default; each works independently of the others' failures."""
    shared = _Shared(registry, settings)
    return [_ledger(shared), _stuck_runs(shared), _staging(shared), _history(shared), _alerts(shared)]


class _Shared:
    """What the sensors share, built in the first tick: it imports SQLAlchemy."""

    def __init__(self, registry: TenantRegistry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings

    @cached_property
    def watching(self) -> "Monitor":
        from convergence_assets.monitoring.code_versions import note_loaded
        from convergence_assets.monitoring.monitor import Monitor

        watching = Monitor.of(self._registry, self._settings)
        note_loaded(watching.store, self._registry)
        return watching


_on = partial(dg.sensor, default_status=dg.DefaultSensorStatus.RUNNING)


def _ledger(shared: _Shared) -> dg.SensorDefinition:
    @_on(
        name="ledger",
        minimum_interval_seconds=LEDGER_EVERY_SECONDS,
        description="Follows Dagster's event log into the runs index and the tenants' x_meta tables.",
    )
    def ledger(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(shared.watching.follow(context.instance, LEDGER_BUDGET_SECONDS))

    return ledger


def _stuck_runs(shared: _Shared) -> dg.SensorDefinition:
    @_on(
        name="stuck_runs",
        minimum_interval_seconds=STUCK_RUNS_EVERY_SECONDS,
        description="Finds runs that are stuck, ends them, frees what they hold, and requests their days again.",
    )
    def stuck_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        done = shared.watching.remedy(context.instance, BUDGET_SECONDS)
        return dg.SkipReason("; ".join(done)[:2000] if done else "no run is stuck")

    return stuck_runs


def _staging(shared: _Shared) -> dg.SensorDefinition:
    @_on(
        name="staging",
        minimum_interval_seconds=STAGING_EVERY_SECONDS,
        description="Removes what dead runs have staged, and after seven days that of failed checks; copies the "
        "control store's file every six hours.",
    )
    def staging(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        done = shared.watching.sweep(context.instance, BUDGET_SECONDS)
        copied = shared.watching.back_up()
        done += [copied] if copied else []
        return dg.SkipReason("; ".join(done)[:2000] if done else "nothing is left over")

    return staging


def _history(shared: _Shared) -> dg.SensorDefinition:
    @_on(
        name="history",
        minimum_interval_seconds=HISTORY_EVERY_SECONDS,
        description="Once a day removes events, runs, ticks and ledger rows that are older than they are kept.",
    )
    def history(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(shared.watching.prune(context.instance, BUDGET_SECONDS))

    return history


def _alerts(shared: _Shared) -> dg.SensorDefinition:
    @_on(
        name="alerts",
        minimum_interval_seconds=ALERTS_EVERY_SECONDS,
        description="Looks for late days, rejected files, failing sensors, a ledger behind; tells people of incidents.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(shared.watching.alert(context.instance, BUDGET_SECONDS))

    return alerts
