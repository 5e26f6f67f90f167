"""The checks of a deployment that sensors, watchdog and command line share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import dagster as dg

from convergence_assets.alerting.alert import Alert, Kind
from convergence_assets.alerting.deliver import deliver
from convergence_assets.alerting.dispatch import decide, prune_alerts
from convergence_assets.alerting.links import Links
from convergence_assets.alerting.routes import Routes
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import runs
from convergence_assets.control.errors import ControlError
from convergence_assets.control.incidents import resolve_incident
from convergence_assets.control.remediations import Remediations, RemediationStep
from convergence_assets.control.store import ControlStore
from convergence_assets.dagster_internals.code_locations import CodeLocation
from convergence_assets.ledger.follow import Follower
from convergence_assets.ledger.write import lag, write_ledger
from convergence_assets.monitoring import automation, code_servers, conditions, sweeping
from convergence_assets.monitoring.history import History
from convergence_assets.monitoring.remediation import Case, Remediation
from convergence_assets.monitoring.routing import routes_of
from convergence_assets.monitoring.run_alerts import RunAlerts
from convergence_assets.monitoring.stuck import Activity, Stuck, judge_activity, limits_of, parts_of, read_activities
from convergence_assets.scheduling.targets import Target, targets_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import StuckLimits, Tenant, TenantRegistry

WRITING = {"bigquery": (16, 60.0), "embedded": (1, 0.0)}
"""How many tenants' ledgers are written in parallel, and how long each rests between two statements (seconds)."""
LASTING_KINDS: tuple[Kind, ...] = (
    "partition_late",
    "config_rejected",
    "ledger_lag",
    "automation_failing",
    "shares_wrong",
)
"""The conditions checked in each tick, resolved once not found."""
_OF_THE_WAREHOUSE: tuple[Kind, ...] = ("warehouse_unavailable",)
_OF_THE_DAEMON: tuple[Kind, ...] = ("daemon_dead",)
_OF_LOCATIONS: tuple[Kind, ...] = ("location_dead",)
_OF_AUTOMATION: tuple[Kind, ...] = ("automation_failing",)
BACKED_UP_EVERY = timedelta(hours=6)
_CONDITIONS_KEY = "standing"
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Monitor:
    """A deployment as its monitors see it. Between two calls its state is in the store."""

    registry: TenantRegistry
    settings: Settings
    store: ControlStore
    targets: Sequence[Target]
    routes: Routes
    links: Links

    @classmethod
    def of(cls, registry: TenantRegistry, settings: Settings) -> "Monitor":
        """Raises `ControlError` where the control store cannot be opened."""
        store = ControlStore.open(settings)
        targets = targets_of(registry.tenants.values())
        links = Links(settings.dagster_url, settings.runbook_url)
        return cls(registry, settings, store, targets, routes_of(registry), links)

    @property
    def tenants(self) -> Mapping[str, Tenant]:
        return self.registry.tenants

    def follow(self, instance: dg.DagsterInstance, seconds: float) -> str:
        """Bring index, incidents and ledger up to date with Dagster; what was done, in words."""
        followed = Follower(self.store, instance, self.tenants, RunAlerts(self.tenants, self.store).observe).follow(
            seconds / 2
        )
        opening = partial(open_warehouse, self.settings, budget_seconds=seconds / 2)
        at_once, rest = WRITING[self.settings.warehouse]
        written = write_ledger(self.store, opening, self.tenants, seconds / 2, at_once, rest)
        summary = f"{followed.events} events of {followed.runs} new runs read, {written.rows} rows written"
        if followed.unreadable:
            summary += (
                f"; not read: {'; '.join(f'run {run}: {why}' for run, why in list(followed.unreadable.items())[:5])}"
            )
        if written.failed:
            summary += f"; not written: {'; '.join(f'{t}: {error}' for t, error in list(written.failed.items())[:5])}"
        return summary

    def remedy(self, instance: dg.DagsterInstance, seconds: float) -> list[str]:
        """Find stuck runs and take the steps that can be taken now; what was done, in words."""
        remediation = Remediation(instance, self.store, self.settings, self.tenants)
        remediations = Remediations(self.store)
        unfinished = remediations.unfinished("closed")
        cases = [self._resumed(instance, run_id, steps) for run_id, steps in unfinished.items()]
        for stuck, limits in self.stuck(instance):
            if stuck.activity.run_id not in unfinished and self._is_not_over(instance, stuck.activity):
                cases.append(remediation.begin(stuck, limits.request_again))
        remediations.prune_steps()
        return remediation.run_all(cases, seconds)

    def sweep(self, instance: dg.DagsterInstance, seconds: float) -> list[str]:
        """Remove what dead and failed runs have staged; what was removed, in words."""
        with self.store.read() as connection:
            names = runs.tenants_with_unpublished(connection, self.store.now() - sweeping.KEPT - _DAY)
        tenants = [tenant for name, tenant in self.tenants.items() if name in names]
        return sweeping.Sweeper(instance, self.store, self.settings).sweep(tenants, seconds)

    def prune(self, instance: dg.DagsterInstance, seconds: float) -> str:
        """Once a day remove history that is older than it is kept; what was removed, in words."""
        history = History(instance, self.store, self.settings)
        return str(history.prune(self.tenants.values(), seconds)) if history.is_due() else "nothing is due"

    def back_up(self) -> str | None:
        """Copy the control store's file where the copy is old; what was done, or why not, in words."""
        try:
            copy = self.store.back_up(BACKED_UP_EVERY)
        except (ControlError, OSError) as error:
            return f"control store not copied: {error}"
        return f"control store copied to {copy}" if copy else None

    def stuck(self, instance: dg.DagsterInstance) -> list[tuple[Stuck, StuckLimits]]:
        """Every run that is stuck now, with its limits."""
        now = self.store.now()
        stuck_runs = []
        for activity in read_activities(instance, self.store):
            limits = limits_of(activity.parts, self.tenants)
            stuck = judge_activity(activity, limits, now)
            if stuck:
                stuck_runs.append((stuck, limits))
        return stuck_runs

    def judged(self, instance: dg.DagsterInstance, run_id: str) -> tuple[Stuck, StuckLimits] | None:
        """One run, also where it is within its limits (`by_hand`); None where it is over or not this platform's."""
        for activity in read_activities(instance, self.store, [run_id]):
            limits = limits_of(activity.parts, self.tenants)
            by_hand = Stuck(activity, "by_hand", activity.since, None)
            return judge_activity(activity, limits, self.store.now()) or by_hand, limits
        return None

    def alert(self, instance: dg.DagsterInstance, seconds: float) -> str:
        """Check the conditions, decide about messages and deliver them; what was done, in words."""
        self._check_conditions(instance)
        return self._send_alerts(seconds)

    def guard(self, instance: dg.DagsterInstance, seconds: float) -> tuple[str, bool]:
        """From outside the daemon: check that it, its code location and its sensors are alive, and notify; what was
        done, and whether daemon and location are alive.

        Conditions of tenants' files are left to the sensor, whose code location may have read other ones.
        """
        now = self.store.now()
        dead = list(automation.dead_daemons(instance, now))
        failing = list(automation.failing(instance, now))
        # Without a daemon nothing ticks, whatever the location does.
        silent = [] if dead else list(automation.silent_locations(instance, self.servers(), now))
        with self.store.write(_CONDITIONS_KEY) as connection:
            conditions.update_incidents(connection, _OF_THE_DAEMON, dead, now)
            conditions.update_incidents(connection, _OF_LOCATIONS, silent, now)
            conditions.update_incidents(connection, _OF_AUTOMATION, failing, now)
        summary = self._send_alerts(seconds)
        wrong = [*dead, *silent]
        return f"{wrong[0].happened} {summary}" if wrong else summary, not wrong

    def servers(self) -> Sequence[CodeLocation]:
        """The code servers whose address is known."""
        return code_servers.servers(self.settings)

    def _send_alerts(self, seconds: float) -> str:
        decided = decide(self.store, self.routes, self.links)
        delivered = deliver(self.store, self.routes, budget_seconds=seconds)
        summary = f"{decided.messages} messages decided, {delivered.sent} sent"
        failures = "; ".join(f"{destination}: {reason}" for destination, reason in delivered.failures.items())
        return f"{summary}; not delivered: {failures}" if failures else summary

    def _check_conditions(self, instance: dg.DagsterInstance) -> None:
        now = self.store.now()
        failing = list(automation.failing(instance, now))
        shares = list(conditions.shares_wrong(instance, self.registry))
        with self.store.write(_CONDITIONS_KEY) as connection:
            alerts: list[Alert] = [
                *conditions.late(connection, self.targets, now),
                *conditions.rejected(self.registry),
                *conditions.behind(lag(connection, now, self.tenants)),
                *failing,
                *shares,
            ]
            conditions.update_incidents(connection, LASTING_KINDS, alerts, now)
            conditions.update_incidents(connection, _OF_THE_WAREHOUSE, conditions.warehouse_away(connection), now)
            # A tick of a sensor shows that the daemon and the code location are alive.
            conditions.update_incidents(connection, _OF_THE_DAEMON, (), now)
            conditions.update_incidents(connection, _OF_LOCATIONS, (), now)
            for incident in conditions.without_a_pipeline(connection, self.tenants):
                resolve_incident(connection, incident.fingerprint, "its pipeline is gone", now)
            for incident in conditions.released_quotas(connection, now):
                resolve_incident(connection, incident.fingerprint, "nothing was refused for an hour", now)
            for incident in conditions.without_a_route(connection, self.routes):
                resolve_incident(connection, incident.fingerprint, "its route is gone", now)
        prune_alerts(self.store, self.routes)

    def _resumed(self, instance: dg.DagsterInstance, run_id: str, steps: Mapping[str, RemediationStep]) -> Case:
        first = next(iter(steps.values()))
        record = instance.get_run_record_by_id(run_id)
        parts = (parts_of(record) if record is not None else ()) or (first.part,)
        return Case(run_id, first.kind, parts, limits_of(parts, self.tenants).request_again)

    @staticmethod
    def _is_not_over(instance: dg.DagsterInstance, activity: Activity) -> bool:
        # It may have ended between its record and its process.
        run = instance.get_run_by_id(activity.run_id)
        return run is not None and not run.is_finished
