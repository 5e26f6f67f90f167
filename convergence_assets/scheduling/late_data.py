"""Days that were published before all their rows had arrived: checked once per schedule tick, marked to run again."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from convergence_assets.alerting import kinds
from convergence_assets.alerting.alert import Alert, Kind, fingerprint
from convergence_assets.assets.late_data import markers
from convergence_assets.assets.shared_views import ensure_shared_views
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window, days_of
from convergence_assets.control import partition_states
from convergence_assets.control.incidents import raise_alert, resolve_incident
from convergence_assets.control.partition_states import Name
from convergence_assets.control.publications import Publication, between, republished
from convergence_assets.control.store import ControlStore
from convergence_assets.pipelines.models import BigQueryStep
from convergence_assets.scheduling.requesting import PipelineDays
from convergence_assets.scheduling.targets import Target
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.errors import NotFound, WarehouseError
from convergence_assets.warehouse.interface import GIGABYTE, Job

PIPELINES_A_TICK = 40
"""The pipelines that one tick checks: it must end within Dagster's 60 seconds."""
_AT_ONCE = 8
_TIMEOUT_SECONDS = 30
_DAY = timedelta(days=1)
LATE_DATA_UNASKED: Kind = "late_data_unasked"


@dataclass(frozen=True)
class Question:
    """A step that defines the query, and the days to check: the newest ones, [first, last], and `earlier`."""

    target: Target
    tenant: Tenant
    pipeline: TenantPipeline
    step: Step
    first: date
    last: date
    earlier: tuple[date, ...] = ()

    @property
    def days(self) -> tuple[date, ...]:
        return (*self.earlier, *days_of(self.first, self.last))

    def windows(self) -> Iterator[Window]:
        """The days in runs without a gap."""
        runs: list[list[date]] = []
        for day in self.days:
            if runs and day - runs[-1][-1] == _DAY:
                runs[-1].append(day)
            else:
                runs.append([day])
        for run in runs:
            yield Window.local(run[0], run[-1], self.target.timezone)


def ask_sources(
    store: ControlStore, settings: Settings, tenants: Iterable[Tenant], targets: Iterable[Target]
) -> list[str]:
    """Query the sources of the pipelines whose schedule has ticked since the last query; the changed days, in words.

    A failed query is an incident until one succeeds, and is retried after the schedule's next tick.
    """
    questions = list(_questions(store, {tenant.tenant_id: tenant for tenant in tenants}, targets))
    if not questions:
        return []
    # The embedded engine is one machine's: concurrent statements only compete for its cores.
    with ThreadPoolExecutor(_AT_ONCE if settings.warehouse == "bigquery" else 1) as pool:
        answers = pool.map(lambda question: _ask_source(settings, question), questions)
        answered = zip(questions, answers, strict=True)
        return [line for question, answer in answered for line in _mark(store, question, answer)]


def _questions(store: ControlStore, tenants: Mapping[str, Tenant], targets: Iterable[Target]) -> Iterator[Question]:
    with store.read() as connection:
        progress = partition_states.progress(connection)
    waiting: list[tuple[datetime, Name, list[Question]]] = []
    for target in targets:
        state = progress.get(target.name)
        if state is None or target.paused:
            continue
        last = target.due_through(store.now())
        before = state.late_data_asked_at
        if before is not None and before >= target.due_at(last):
            continue
        tenant = tenants[target.tenant_id]
        pipeline = next(p for p in tenant.pipelines if p.name == target.pipeline)
        questions = []
        for step in pipeline.steps:
            if isinstance(step.spec, BigQueryStep) and step.spec.late_data:
                first = max(target.start_date, last - (step.spec.late_data.look_back_days - 1) * _DAY)
                earlier = _made_before_what_they_read(store, target, step, first, step.spec.late_data.look_back_days)
                questions.append(Question(target, tenant, pipeline, step, first, last, earlier))
        if questions:
            waiting.append((before or datetime.min.replace(tzinfo=UTC), target.name, questions))
    # A pipeline is marked as checked once, so all its queries belong to one tick.
    for _, _, questions in sorted(waiting, key=lambda f: f[:2])[:PIPELINES_A_TICK]:
        yield from questions


def _made_before_what_they_read(
    store: ControlStore, target: Target, step: Step, first: date, look_back_days: int
) -> tuple[date, ...]:
    """Days before `first` that were made before a day which the query reads for them: one of the tenant's tables, up to
    `look_back_days` earlier, that was run out of the calendar's order in the last `look_back_days`."""
    read = step.late_data.tables & set(step.upstream) if step.late_data else frozenset()
    reach = look_back_days * _DAY
    if not read:
        return ()
    with store.read() as connection:
        changed = republished(connection, target.tenant_id, read, first, store.now() - reach)
        if not changed:
            return ()
        oldest = max(target.start_date, min(day for day, _ in changed) + _DAY)
        made = between(connection, target.tenant_id, [step.table], oldest, first - _DAY)
    return tuple(
        day
        for (_, day), publication in sorted(made.items())
        if any(day - reach <= other < day and version > publication.read_through for other, version in changed)
    )


def _ask_source(settings: Settings, question: Question) -> Mapping[date, str] | WarehouseError:
    tenant, pipeline, step = question.tenant, question.pipeline, question.step
    labels = {"tenant": tenant.tenant_id, "pipeline": pipeline.name, "asset": step.table, "purpose": "late_data"}

    def job(window: Window) -> Job:
        return Job(
            run_id=f"late-data-{tenant.tenant_id}-{window.days[-1]}",
            labels=labels,
            timeout_seconds=_TIMEOUT_SECONDS,
            maximum_bytes_billed=pipeline.maximum_gigabytes_billed * GIGABYTE,
        )

    try:
        ensure_shared_views(settings, tenant, step.sources.values())
        with open_warehouse(settings, tenant.location, service_account=tenant.service_account) as warehouse:
            found: dict[date, str] = {}
            for window in question.windows():
                found |= markers(warehouse, tenant, step, window, job(window))
            return found
    except NotFound as error:
        # A table of the tenant that is not made yet has no rows that could be late.
        return {} if step.late_data and step.late_data.tables <= set(step.upstream) else error
    except WarehouseError as error:
        return error


def _mark(store: ControlStore, question: Question, answer: Mapping[date, str] | WarehouseError) -> list[str]:
    target, table = question.target, question.step.table
    alert_key = fingerprint(LATE_DATA_UNASKED, target.tenant_id, target.pipeline, table=table)
    changed: list[date] = []
    with store.write("planner") as connection:
        if isinstance(answer, WarehouseError):
            raise_alert(connection, _unasked(question, answer), store.now())
        else:
            resolve_incident(connection, alert_key, "its sources were asked", store.now())
            days = PipelineDays.of(connection, target, question.days, store.now())
            asked = set(question.days)
            changed = days.request_changed(
                {
                    day: _reason(publication, answer.get(day))
                    for (name, day), publication in days.published.items()
                    if name == table and day in asked and answer.get(day) != publication.marker
                }
            )
        partition_states.mark_late_data_asked(connection, target.name, store.now())
    return [f"{target.tenant_id}/{target.pipeline} {day}" for day in changed]


def _unasked(question: Question, error: WarehouseError) -> Alert:
    tenant_id, pipeline, table = question.tenant.tenant_id, question.pipeline.name, question.step.table
    return kinds.LATE_DATA_UNASKED.alert(
        f"{question.first}...{question.last}: {error}",
        error.error_class,
        tenant_id=tenant_id,
        pipeline=pipeline,
        table=table,
        remedy=error.remedy,
    )


def _reason(published: Publication, marker: str | None) -> str:
    then = published.marker or "no rows"
    return f"late data: the source says {marker or 'no rows'}, and {then} when it was published"
