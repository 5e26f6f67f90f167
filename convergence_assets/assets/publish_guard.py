"""Guards a step's work on its tenant's pipeline and days: the lock, the plan, and recording what was published."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from convergence_assets import dagster_compat
from convergence_assets.assets.tags import CONFIG_VERSION_TAG, REQUEST_TAG, TRIGGER_TAG
from convergence_assets.local_days import why_unfinished
from convergence_assets.settings import Settings
from convergence_assets.tenancy.description import dataset_of, described
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline
from convergence_assets.warehouse.interface import SchemaChange, Waits, silent

if TYPE_CHECKING:
    from convergence_assets.control.locks import Claim, LockLost, Refused
    from convergence_assets.control.run_requests import Duplicate, Outcome, OverLimit, Quota, Requests
    from convergence_assets.control.store import ControlStore

SIGN_OF_LIFE_SECONDS = 60.0
CONFIG_VERSION_SHOWN = 16
DAY_NOT_OVER = "day_not_over"
"""The error class of a step for a day that is not over."""
_RETRY_RUN_TAG = "dagster/retry_on_asset_or_op_failure"
_BACKFILL_TAG = "dagster/backfill"


@dataclass(frozen=True)
class PublishGuard:
    """What a step calls before and after it publishes (rows and late-data markers by day), while a statement takes
    long, where it made or changed its table, and where it fails.

    `missing` are, by day, the tables of other pipelines that it reads and that are not published.
    """

    before_publish: Callable[[], None] = lambda: None
    published: Callable[[Mapping[date, int], Mapping[date, str]], None] = lambda rows, markers: None
    waits: Waits = silent
    schema_changed: Callable[[SchemaChange], None] = lambda change: None
    failed: Callable[[], None] = lambda: None
    missing: Mapping[date, tuple[str, ...]] = field(default_factory=dict)


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


def quota_of(tenant: Tenant) -> "Quota":
    """What the tenant's plan allows."""
    from convergence_assets.control.run_requests import Quota

    plan = tenant.plan
    return Quota(tenant.tenant_id, tenant.timezone, plan.max_concurrent_runs, plan.daily_runs, plan.monthly_runs)


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
    from convergence_assets.control.change_log import Changes
    from convergence_assets.control.errors import ControlError
    from convergence_assets.control.lock_session import holding
    from convergence_assets.control.locks import Claim, LockLost, Refused
    from convergence_assets.control.publications import Publications, Tables
    from convergence_assets.control.published_locations import PublishedLocation, place_of, set_location
    from convergence_assets.control.run_requests import Duplicate, OverLimit, Requests

    claim = Claim(tenant.tenant_id, pipeline.name, days[0], days[-1])
    run_id = context.run.run_id
    try:
        session = holding(settings)
        if unfinished := why_unfinished(days[-1], tenant.timezone, session.store.now()):
            raise Unfinished(claim, unfinished)
        publications, requests = Publications(session.store), Requests(session.store)
        lock = session.hold_lock(claim, run_id, lambda other: outcome_of(context.instance, other) is not None)
        _record_start(session.store, tenant, context)
        location = PublishedLocation(tenant.timezone, dataset_of(tenant, settings.project))
        with session.store.read() as connection:
            published_location = place_of(connection, tenant.tenant_id)
        if published_location not in (None, location):
            raise TenantLocationChanged(claim, f"{published_location}", f"{location}")
        key = _begin_request(requests, claim, tenant, context)
        read_through = publications.newest_version()
        upstream_publications = publications.between(tenant.tenant_id, upstream, days[0], days[-1]) if upstream else {}
        upstream_tables = Tables({table: upstream}, tenant.timezone)

        def published(rows: Mapping[date, int], markers: Mapping[date, str]) -> None:
            publications.record(
                tenant.tenant_id, pipeline.name, table, rows,
                run_id=run_id, read_through=read_through, markers=markers,
            )  # fmt: skip
            if published_location is None:
                with session.store.write() as connection:
                    set_location(connection, tenant.tenant_id, location, session.store.now())

        def schema_changed(change: SchemaChange) -> None:
            description = "made" if change.created else f"columns added: {', '.join(change.added)}"
            Changes(session.store).record_schema(tenant.tenant_id, f"{dataset_of(tenant)}.{table}", description, run_id)

        def failed() -> None:
            # Without this the plan counts the run until its outcome is looked up.
            with suppress(ControlError):
                requests.record_outcome(key, "failed")

        missing = {day: tables for day in days if (tables := upstream_tables.missing(day, upstream_publications))}
        try:
            confirm, waits = partial(session.locks.confirm, lock), _SignOfLife(context)
            yield PublishGuard(confirm, published, waits, schema_changed, failed, missing)
        except BaseException:
            failed()
            raise
    except (Unfinished, Refused, LockLost, Duplicate, OverLimit, TenantLocationChanged) as error:
        # Retries of whole runs read only this tag.
        dagster_compat.add_run_tags(context.instance, run_id, {_RETRY_RUN_TAG: "false"})
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
    return "interrupted" if dagster_compat.was_interrupted(instance, run) else "failed"


class _SignOfLife:
    """A log line a minute while a statement takes long, so that the run does not count as stuck."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._began = self._logged_at = time.monotonic()

    def __call__(self, statement: str) -> None:
        now = time.monotonic()
        if now - self._logged_at >= SIGN_OF_LIFE_SECONDS:
            self._logged_at = now
            self._context.log.info(
                f"the warehouse still runs {statement}, {now - self._began:.0f} s since the step began"
            )


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
        dagster_compat.add_run_tags(context.instance, run_id, tags)
    _recorded_runs.add(run_id)


def _begin_request(requests: "Requests", claim: "Claim", tenant: Tenant, context: dg.AssetExecutionContext) -> str:
    run, quota, outcome = context.run, quota_of(tenant), partial(outcome_of, context.instance)
    if REQUEST_TAG in run.tags:
        return requests.take(run.tags[REQUEST_TAG], claim, run.run_id, run.root_run_id, quota, outcome)
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
