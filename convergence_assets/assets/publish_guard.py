"""Guards a step's work on its tenant's pipeline and days: the lock, the plan, and recording what was published."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from convergence_assets.assets.tags import CONFIG_VERSION_TAG, REMAKES_TAG, REQUEST_TAG, TRIGGER_TAG
from convergence_assets.assets.window import days_of
from convergence_assets.dagster_internals import run_records
from convergence_assets.local_days import why_unfinished
from convergence_assets.settings import Settings
from convergence_assets.tenancy.definition import Definition
from convergence_assets.tenancy.description import dataset_of, described
from convergence_assets.tenancy.quota import quota_of
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline
from convergence_assets.warehouse.errors import UpgradeNotEnded
from convergence_assets.warehouse.interface import SchemaChange
from convergence_assets.warehouse.schema import version_name

if TYPE_CHECKING:
    from convergence_assets.control.lock_session import LockSession
    from convergence_assets.control.locks import Claim, Lock, LockLost, Refused
    from convergence_assets.control.published_locations import PublishedLocation
    from convergence_assets.control.run_requests import Duplicate, Outcome, OverLimit, Requests
    from convergence_assets.control.store import ControlStore

SIGN_OF_LIFE_SECONDS = 60.0
CONFIG_VERSION_SHOWN = 16
DAY_NOT_OVER = "day_not_over"
"""The error class of a step for a day that is not over."""
_RETRY_RUN_TAG = "dagster/retry_on_asset_or_op_failure"
_BACKFILL_TAG = "dagster/backfill"


class TenantLocationChanged(Exception):
    """The run has loaded another timezone or dataset for its tenant than the one that days were published with."""

    def __init__(self, claim: "Claim", published: str, loaded: str) -> None:
        super().__init__(
            f"{claim}: days were published with {published}, and this run has {loaded}; nothing was done here. Next: "
            f"correct the tenant's file, or `convergence tenants migrate {claim.tenant_id}`"
        )


class Unfinished(Exception):
    """The run covers a day that is not over in the tenant's timezone: its rows would be a part of it."""

    def __init__(self, claim: "Claim", sentence: str) -> None:
        super().__init__(f"{claim}: {sentence} Nothing was read or published. Next: run it when the day is over")


class PublishGuard:
    """What holds a step's days for its run: the lock and the run's request, and what is recorded of its work.

    `missing` are, by day, the tables of other pipelines that it reads and that are not published.
    """

    def __init__(
        self,
        held: "HeldDays",
        tenant: Tenant,
        table: str,
        dataset: str,
        upstream: Mapping[str, date],
        context: dg.AssetExecutionContext,
    ) -> None:
        from convergence_assets.control.publications import Publications, Tables

        self._held = held
        self._table = table
        self._dataset = dataset
        self._context = context
        self._began = self._logged_at = time.monotonic()
        self._publications = Publications(held.session.store)
        self._read_through = self._publications.newest_version()
        days = days_of(held.claim.first, held.claim.last)
        publications = self._publications.between(tenant.tenant_id, upstream, days[0], days[-1]) if upstream else {}
        tables = Tables({table: upstream}, tenant.timezone)
        self.missing: Mapping[date, tuple[str, ...]] = {
            day: names for day in days if (names := tables.missing(day, publications))
        }

    @property
    def may_empty(self) -> bool:
        """Whether the run is of a person who named its days: the planner's, and those that make days again for another
        definition, may be about other tables of the day."""
        return not {REMAKES_TAG, REQUEST_TAG} & self._context.run.tags.keys()

    def days_with_rows(self) -> list[date]:
        """The days that are published with rows."""
        claim = self._held.claim
        published = self._publications.between(claim.tenant_id, [self._table], claim.first, claim.last)
        return sorted(day for (_, day), publication in published.items() if publication.rows)

    def record_source_gone(self, days: Sequence[date]) -> None:
        """Record that the source of published days has no rows of them any more, so that the days are requested again
        once it has, and not until then. Raises `LockLost`."""
        self.confirm_lock()
        self._publications.forget_markers(self._held.claim.tenant_id, self._table, days)

    def confirm_lock(self) -> None:
        """To be called before publishing; raises `LockLost` where another run took one of the days."""
        self._held.session.locks.confirm(self._held.lock)

    def refuse_unfinished_switch(self, version: int) -> None:
        """To be called before rows are read; raises `UpgradeNotEnded` where the switch of the table to this version,
        which is in its place already, is not recorded: a day published now would be lost with that."""
        from convergence_assets.control.table_versions import unfinished_switch

        name = version_name(self._table, version)
        with self._held.session.store.read() as connection:
            unfinished = unfinished_switch(connection, self._held.claim.tenant_id, name)
        if unfinished:
            raise UpgradeNotEnded(
                f"the switch of table {self._dataset}.{self._table} to version {version} has not ended"
            )

    def record_published(self, rows: Mapping[date, int], markers: Mapping[date, str], definition: Definition) -> None:
        """Record what was published: rows and late-data markers by day, and by which definition."""
        from convergence_assets.control.definitions import StoredDefinition

        claim = self._held.claim
        self._publications.record(
            claim.tenant_id, claim.pipeline, self._table, rows,
            run_id=self._held.run_id, read_through=self._read_through, markers=markers,
            definition=StoredDefinition(definition.version, definition.content), table_version=definition.number,
        )  # fmt: skip
        self._held.record_location()

    def record_schema(self, change: SchemaChange) -> None:
        """Record that the step made its table or added columns to it."""
        from convergence_assets.control.change_log import Changes

        changes, name = Changes(self._held.session.store), f"{self._dataset}.{self._table}"
        added = () if change.created else change.added
        changes.record_schema(self._held.claim.tenant_id, name, added, self._held.run_id)

    def record_failure(self) -> None:
        """Record that the run has failed: until then the plan counts it, or its outcome has to be looked up."""
        from convergence_assets.control.errors import ControlError

        with suppress(ControlError):
            self._held.requests.record_outcome(self._held.request_key, "failed")

    def report_wait(self, statement: str) -> None:
        """A log line a minute while a statement takes long, so that the run does not count as stuck."""
        now = time.monotonic()
        if now - self._logged_at >= SIGN_OF_LIFE_SECONDS:
            self._logged_at = now
            self._context.log.info(
                f"the warehouse still runs {statement}, {now - self._began:.0f} s since the step began"
            )


@contextmanager
def guarded(
    settings: Settings,
    tenant: Tenant,
    pipeline: TenantPipeline,
    table: str,
    upstream: Mapping[str, date],
    days: Sequence[date],
    context: dg.AssetExecutionContext,
) -> Iterator[PublishGuard]:
    """Hold the days for the step's run, until the run ends; `upstream` are the tables of other pipelines that `table`
    reads, each with its first day.

    Raises `dg.Failure`: not to be retried where a day is not over yet, another run holds or took one of the days, was
    launched for the same request, has another place for the tenant, or the plan allows no further run; to be retried
    where the control store cannot be reached.
    """
    # Dagster has imported SQLAlchemy by the time a step runs; loading definitions does not.
    from convergence_assets.control.locks import Claim

    claim = Claim(tenant.tenant_id, pipeline.name, days[0], days[-1])
    with _refusals_as_failures(claim, context):
        held = _hold(settings, tenant, claim, context)
        guard = PublishGuard(held, tenant, table, dataset_of(tenant), upstream, context)
        try:
            yield guard
        except BaseException:
            guard.record_failure()
            raise


@dataclass(frozen=True)
class HeldDays:
    """The days that a run holds, with its request; `location` is where the tenant's days are published, as the run
    loaded it, and `is_first` whether none was published before."""

    session: "LockSession"
    lock: "Lock"
    claim: "Claim"
    run_id: str
    requests: "Requests"
    request_key: str
    location: "PublishedLocation"
    is_first: bool

    def record_location(self) -> None:
        """Record the tenant's location with its first publication."""
        from convergence_assets.control.published_locations import set_location

        if self.is_first:
            store = self.session.store
            with store.write() as connection:
                set_location(connection, self.claim.tenant_id, self.location, store.now())


def _hold(settings: Settings, tenant: Tenant, claim: "Claim", context: dg.AssetExecutionContext) -> HeldDays:
    """Lock the days and begin the run's request, or raise why not."""
    from convergence_assets.control.lock_session import holding
    from convergence_assets.control.published_locations import PublishedLocation, place_of
    from convergence_assets.control.run_requests import Requests

    session, run_id = holding(settings), context.run.run_id
    if unfinished := why_unfinished(claim.last, tenant.timezone, session.store.now()):
        raise Unfinished(claim, unfinished)
    lock = session.hold_lock(claim, run_id, lambda other: outcome_of(context.instance, other) is not None)
    _record_start(session.store, tenant, context)
    location = PublishedLocation(tenant.timezone, dataset_of(tenant, settings.project))
    with session.store.read() as connection:
        published = place_of(connection, tenant.tenant_id)
    if published not in (None, location):
        raise TenantLocationChanged(claim, f"{published}", f"{location}")
    requests = Requests(session.store)
    key = _begin_request(requests, claim, tenant, context)
    return HeldDays(session, lock, claim, run_id, requests, key, location, is_first=published is None)


@contextmanager
def _refusals_as_failures(claim: "Claim", context: dg.AssetExecutionContext) -> Iterator[None]:
    """Raise `dg.Failure` for what stops a run before it publishes."""
    from convergence_assets.control.errors import ControlError
    from convergence_assets.control.locks import LockLost, Refused
    from convergence_assets.control.run_requests import Duplicate, OverLimit

    try:
        yield
    except (Unfinished, Refused, LockLost, Duplicate, OverLimit, TenantLocationChanged) as error:
        # Retries of whole runs read only this tag.
        run_records.add_run_tags(context.instance, context.run.run_id, {_RETRY_RUN_TAG: "false"})
        raise dg.Failure(str(error), _metadata(error), allow_retries=False) from error
    except ControlError as error:
        raise dg.Failure(f"{claim}: {error}", {"error_class": "control_store"}) from error


def outcome_of(instance: dg.DagsterInstance, run_id: str) -> "Outcome | None":
    """What became of a run. One that this instance does not know may be another instance's: None."""
    run = instance.get_run_by_id(run_id)
    return outcome_of_run(instance, run) if run else None


def outcome_of_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> "Outcome | None":
    """What became of a run; None while it is not over."""
    if not run.is_finished:
        return None
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return "succeeded"
    return "interrupted" if run_records.was_interrupted(instance, run) else "failed"


_recorded_runs: set[str] = set()


def _record_start(store: "ControlStore", tenant: Tenant, context: dg.AssetExecutionContext) -> None:
    """Record once a run which process works on it and its version of the tenant's files."""
    from convergence_assets.control.change_log import Changes
    from convergence_assets.control.workers import Workers
    from convergence_assets.process import this_process

    run_id, process = context.run.run_id, this_process()
    if run_id in _recorded_runs:
        return
    workers = Workers(store)
    worker = workers.find(run_id)
    if worker is None or worker.owner != process:
        workers.record(run_id, process)
    Changes(store).record_run(tenant.tenant_id, described(tenant), run_id)
    if CONFIG_VERSION_TAG not in context.run.tags:
        tags = {CONFIG_VERSION_TAG: tenant.config_version[:CONFIG_VERSION_SHOWN]}
        run_records.add_run_tags(context.instance, run_id, tags)
    _recorded_runs.add(run_id)


def _begin_request(requests: "Requests", claim: "Claim", tenant: Tenant, context: dg.AssetExecutionContext) -> str:
    from convergence_assets.control.run_requests import REMAKE

    run, quota, outcome = context.run, quota_of(tenant), partial(outcome_of, context.instance)
    if REQUEST_TAG in run.tags:
        return requests.take(run.tags[REQUEST_TAG], claim, run.run_id, run.root_run_id, quota, outcome)
    if REMAKES_TAG in run.tags:
        return requests.begin(claim, run.run_id, REMAKE, quota, outcome)
    trigger = run.tags.get(TRIGGER_TAG) or ("backfill" if _BACKFILL_TAG in run.tags else "manual")
    return requests.begin(claim, run.run_id, trigger, quota, outcome)


def _metadata(
    error: "Unfinished | Refused | LockLost | Duplicate | OverLimit | TenantLocationChanged",
) -> dict[str, str]:
    from convergence_assets.control.locks import LockLost
    from convergence_assets.control.run_requests import Duplicate, OverLimit

    if isinstance(error, Unfinished):
        return {"error_class": DAY_NOT_OVER}
    if isinstance(error, TenantLocationChanged):
        return {"error_class": "tenant_moved"}
    if isinstance(error, OverLimit):
        return {"error_class": "over_limit"} | ({"retry_at": error.retry_at.isoformat()} if error.retry_at else {})
    if isinstance(error, Duplicate):
        return {"error_class": "duplicate_request", "holder_run_id": error.holder}
    holder = {"holder_run_id": error.holder.run_id} if error.holder else {}
    return {"error_class": "lock_lost" if isinstance(error, LockLost) else "locked"} | holder
