"""Conditions that no event reports: late days, rejected files, a ledger behind, a warehouse that is down."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from convergence_assets.alerting import kinds
from convergence_assets.alerting.alert import Alert, Kind, Severity
from convergence_assets.alerting.routes import Routes
from convergence_assets.assets.share_checks import share_check_key
from convergence_assets.assets.window import days_of
from convergence_assets.control import partition_states
from convergence_assets.control.incidents import Incident, open_incidents, raise_alert, resolve_incident
from convergence_assets.control.partition_states import PendingPartition
from convergence_assets.dagster_internals.check_events import latest_evaluation
from convergence_assets.ledger.write import Lag
from convergence_assets.monitoring.run_alerts import OF_A_PARTITION
from convergence_assets.scheduling.late_data import LATE_DATA_UNASKED
from convergence_assets.scheduling.targets import Target
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry

LEDGER_BEHIND = timedelta(minutes=10)
LEDGER_FAR_BEHIND = timedelta(hours=1)
TENANTS_FOR_A_PLATFORM = 3
"""From this many tenants with one fault of the warehouse on, it is the warehouse's incident and not theirs."""
LATE_DAYS_SHOWN = 10
QUOTA_QUIET = timedelta(hours=1)
"""How long after the last refused statement a quota counts as free again."""
_LONGEST_AGO = timedelta(days=7)
_DAY = timedelta(days=1)
_OF_THE_WAREHOUSE = ("unavailable", "quota_exceeded")


def update_incidents(
    connection: sa.Connection, kinds: Collection[Kind], alerts: Iterable[Alert], now: datetime
) -> None:
    """Make the open incidents of these kinds those of the alerts: new ones are raised, changed ones raised again,
    those that are no longer there resolved."""
    raised = {alert.fingerprint: alert for alert in alerts}
    there = {stored.fingerprint: stored for kind in kinds for stored in open_incidents(connection, kind)}
    for fingerprint in sorted(raised.keys() | there.keys()):
        alert, incident = raised.get(fingerprint), there.get(fingerprint)
        if alert is None:
            resolve_incident(connection, fingerprint, "the condition is over", now)
        elif incident is None or (incident.happened, incident.severity) != (alert.happened, alert.severity):
            raise_alert(connection, alert, now)


def late(connection: sa.Connection, targets: Iterable[Target], now: datetime) -> Iterator[Alert]:
    """One alert per pipeline with days that should be published by now. Days that were due before the planner first saw
    the pipeline are outstanding and not late, nor are paused ones."""
    progress = partition_states.progress(connection)
    pauses = partition_states.all_pauses(connection)
    rows: dict[partition_states.Name, dict[date, PendingPartition]] = defaultdict(dict)
    for row in partition_states.all_outstanding(connection):
        rows[row.name][row.day] = row
    for target in targets:
        state = progress.get(target.name)
        if state is None or target.paused or partition_states.pause_of(pauses, target.name):
            continue
        since = max(state.first_seen_at or datetime.min.replace(tzinfo=UTC), now - _LONGEST_AGO)
        through = target.due_through(now - target.late_after)
        days = [day for day in rows[target.name] if day <= through]
        days += [day for day in days_of(state.opened_through + _DAY, through) if day != state.newest_opened]
        late_days = sorted({day for day in days if target.due_at(day) >= since})
        if late_days:
            yield _late(target, late_days, rows[target.name])


def _late(target: Target, days: list[date], rows: Mapping[date, PendingPartition]) -> Alert:
    reasons = {day: rows[day].reason if day in rows else "not looked at yet" for day in days}
    shown = [f"{day} (due {target.due_at(day):%Y-%m-%d %H:%M} UTC; {reasons[day]})" for day in days[-LATE_DAYS_SHOWN:]]
    more = f" and {len(days) - len(shown)} older" if len(days) > len(shown) else ""
    count = "A day" if len(days) == 1 else f"{len(days)} days"
    happened = f"Not published {_minutes(target.late_after)} after due: {'; '.join(shown)}{more}."
    days_are = f"{count} of {target.pipeline} {'is' if len(days) == 1 else 'are'}"
    return kinds.PARTITION_LATE.alert(
        happened, "late", tenant_id=target.tenant_id, pipeline=target.pipeline, days_are=days_are
    )


def _minutes(span: timedelta) -> str:
    return f"{span / timedelta(minutes=1):.0f} minutes"


def rejected(registry: TenantRegistry) -> Iterator[Alert]:
    """One alert per tenant whose files are invalid."""
    for rejection in registry.rejected.values():
        problems = [problem.render() for problem in rejection.problems]
        served = (
            f"Its last accepted version ({rejection.last_accepted[:12]}) is served."
            if rejection.last_accepted
            else "No version of it was ever accepted: nothing of it runs."
        )
        happened = "; ".join(problems[:5]) + (f" and {len(problems) - 5} more" if len(problems) > 5 else "")
        severity: Severity = "warning" if rejection.last_accepted else "critical"
        yield kinds.CONFIG_REJECTED.alert(
            happened, "config", severity=severity, tenant_id=rejection.tenant_id, served=served
        )


def shares_wrong(instance: dg.DagsterInstance, registry: TenantRegistry) -> Iterator[Alert]:
    """One alert per shared source whose parts did not add up to the whole, or were not countable, at the last check."""
    for shared in registry.shared_sources:
        key = share_check_key(shared, registry)
        evaluation = latest_evaluation(instance, key) if key else None
        if evaluation is None or evaluation.passed:
            continue
        counted = evaluation.severity == dg.AssetCheckSeverity.ERROR
        yield kinds.SHARES_WRONG.alert(
            evaluation.description or "Rows or cost of it are no tenant's, or two tenants'.",
            "shares",
            severity="critical" if counted else "warning",
            table=str(shared.table),
            are_wrong="are not the whole" if counted else "cannot be counted",
        )


def behind(lag: Lag) -> Iterator[Alert]:
    """The ledger as a whole, and each tenant whose rows wait too long."""
    if lag.unread_seconds > LEDGER_BEHIND.total_seconds():
        yield _behind(None, lag.unread_seconds, "events of Dagster are not read")
    errors = {queue.tenant_id: queue.error for queue in lag.queues}
    for tenant_id, seconds in lag.by_tenant.items():
        if seconds > LEDGER_BEHIND.total_seconds():
            yield _behind(tenant_id, seconds, errors.get(tenant_id) or "its rows are not written")


def _behind(tenant_id: str | None, seconds: float, reason: str) -> Alert:
    far = seconds > LEDGER_FAR_BEHIND.total_seconds()
    return kinds.LEDGER_LAG.alert(
        f"{reason[:1].upper()}{reason[1:]}.",
        "ledger",
        severity="critical" if far else "warning",
        tenant_id=tenant_id,
        span="an hour" if far else "10 minutes",
    )


def warehouse_away(connection: sa.Connection) -> Iterator[Alert]:
    """The warehouse's own incident where several tenants fail by one fault of it."""
    failing: dict[str, set[str]] = defaultdict(set)
    for incident in open_incidents(connection, "run_failed"):
        if incident.cause in _OF_THE_WAREHOUSE and incident.tenant_id:
            failing[incident.cause].add(incident.tenant_id)
    for cause, tenants in sorted(failing.items()):
        if len(tenants) >= TENANTS_FOR_A_PLATFORM:
            happened = f"Runs of more than {TENANTS_FOR_A_PLATFORM - 1} tenants failed with {cause}."
            yield kinds.WAREHOUSE_UNAVAILABLE.alert(happened, f"warehouse:{cause}", table=cause)


def released_quotas(connection: sa.Connection, now: datetime) -> list[Incident]:
    """Open incidents of quotas under which nothing is refused any more."""
    return [i for i in open_incidents(connection, "quota_near") if i.last_seen_at < now - QUOTA_QUIET]


def without_a_route(connection: sa.Connection, routes: Routes) -> list[Incident]:
    """Open incidents of destinations that no file names any more."""
    keys = {key for key, _ in routes.all()}
    return [i for i in open_incidents(connection, "delivery_failing") if i.table not in keys]


def without_a_pipeline(connection: sa.Connection, tenants: Mapping[str, Tenant]) -> list[Incident]:
    """Open incidents of pipelines that are gone: nothing else would ever resolve them."""
    existing = {(t.tenant_id, p.name) for t in tenants.values() if t.enabled for p in t.pipelines}
    return [
        incident
        for kind in (*OF_A_PARTITION, LATE_DATA_UNASKED)
        for incident in open_incidents(connection, kind)
        if (incident.tenant_id, incident.pipeline) not in existing
    ]
