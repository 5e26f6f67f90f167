"""One day of a pipeline: what is published of it, the runs that worked on it, and why it is not requested."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from convergence_assets.control import publications, tenant_runs
from convergence_assets.control.publications import Publication
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.explain import explain
from convergence_assets.scheduling.targets import Target

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
IN_PROGRESS = "it is requested when the planner has looked at it, within a minute while the daemon runs"


@dataclass(frozen=True)
class ExplainedDay:
    """`tables` are the pipeline's, each with what is published of the day; `runs` those over it in the runs index, the
    newest first. `reason` says why the day is not requested; None where it is published."""

    tables: Mapping[str, Publication | None]
    reason: str | None
    runs: Sequence[IndexedRun]


def explain_day(store: ControlStore, target: Target, day: date, is_off: Callable[[Target], bool]) -> ExplainedDay:
    """`is_off` says whether the target's schedule is switched off. Raises `ControlError`."""
    with store.read() as connection:
        published = publications.between(connection, target.tenant_id, target.tables.reads, day, day)
        of_day = tenant_runs.overlapping(connection, *target.name, day, day, _BEGINNING)
    tables = {table: published.get((table, day)) for table in target.tables.reads}
    is_published = target.tables.are_whole(day, published)
    reason = _reason(store, target, day, is_off, is_published=is_published)
    return ExplainedDay(tables, reason, [part.run for part in of_day])


def _reason(
    store: ControlStore, target: Target, day: date, is_off: Callable[[Target], bool], *, is_published: bool
) -> str | None:
    if day < target.start_date:
        return f"the pipeline starts on {target.start_date}"
    if day > target.due_through(store.now()):
        return f"it is due at {target.due_at(day):%Y-%m-%dT%H:%MZ}"
    (pipeline,) = explain(store, [target], is_off=is_off)
    for pending in pipeline.days:
        if pending.day == day:
            return ": ".join(part for part in (pipeline.paused, pending.state, pending.reason) if part)
    if is_published:
        return None
    return pipeline.paused or pipeline.missed_because or IN_PROGRESS
