"""Runs over many days of a pipeline, one after the other in this process, each of as many days as their rows allow."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.text import Text

from convergence_assets.assets.window import days_of
from convergence_assets.cli.run import Definitions, RunResult
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline

if TYPE_CHECKING:
    import dagster as dg

Span = tuple[date, date]

ROWS_PER_RUN = 2_000_000
"""About how many rows of its largest table one run stages."""
FIRST_CHUNK_DAYS = 30
"""Until the rows of a day are known."""


@dataclass(frozen=True)
class DayRuns:
    """Runs over days of one pipeline, each as long as the rows of the one before allow; `tags` are given to all."""

    definitions: Definitions
    instance: "dg.DagsterInstance"
    tenant: Tenant
    pipeline: TenantPipeline
    tags: Mapping[str, str] = field(default_factory=dict)
    before_each: Callable[[], None] = lambda: None

    def run(
        self, pending: Sequence[date], progress: Progress, task: TaskID, as_json: bool, *, newest_first: bool = False
    ) -> set[date]:
        """Make these days, ascending, and print each run; the days that were not published."""
        from convergence_assets.assets.factory import PARTITIONS_PER_RUN

        missing, chunk = set(pending), FIRST_CHUNK_DAYS
        waiting = deque(spans(pending, PARTITIONS_PER_RUN))
        while waiting:
            chosen = waiting.pop() if newest_first else waiting.popleft()
            parts = list(spans(days_of(*chosen), chunk))
            span = parts.pop() if newest_first else parts.pop(0)
            _put_back(waiting, parts, newest_first=newest_first)
            self.before_each()
            result = self.definitions.run(
                self.instance, self.tenant, self.pipeline, *span, trigger="backfill", tags=self.tags
            )
            done, begun = _published_by(result, self.pipeline)
            # A bad day stops its own table's later ones for all days of the run: the good days go on without it.
            good = sorted(begun - done) if begun < set(days_of(*span)) else []
            _put_back(waiting, list(spans(good, PARTITIONS_PER_RUN)), newest_first=newest_first)
            missing -= done
            chunk = chunk_days(result.published, PARTITIONS_PER_RUN) or chunk
            progress.advance(task, len(days_of(*span)) - len(good))
            _print_run(progress.console, self.tenant.tenant_id, self.pipeline.name, result, span, len(done), as_json)
        return missing


def _put_back(waiting: deque[Span], parts: Sequence[Span], *, newest_first: bool) -> None:
    """As those that come next."""
    if newest_first:
        waiting.extend(parts)
    else:
        waiting.extendleft(reversed(parts))


def chunk_days(published: Mapping[str, Mapping[str, int]], longest: int) -> int | None:
    """How many days the next run covers, by the rows a day that the last one published; None if it published none."""
    rows = [sum(days.values()) / len(days) for days in published.values() if days]
    return min(max(int(ROWS_PER_RUN / max(*rows, 1)), 1), longest) if rows else None


def spans(days: Sequence[date], longest: int) -> Iterator[Span]:
    """Ascending days as runs of neighbours, none of more than `longest` days."""
    start = 0
    for position in range(1, len(days) + 1):
        goes_on = position < len(days) and days[position] - days[position - 1] == timedelta(days=1)
        if not goes_on or position - start == longest:
            yield days[start], days[position - 1]
            start = position


def _published_by(result: RunResult, pipeline: TenantPipeline) -> tuple[set[date], set[date]]:
    """The days of which the run published every table, and those of which it published any."""
    tables = [{date.fromisoformat(key) for key in result.published.get(s.table, {})} for s in pipeline.steps]
    return set.intersection(*tables), set.union(*tables)


def progress_bar(as_json: bool) -> Progress:
    """On stdout beside text, on stderr beside JSON."""
    return Progress(console=Console(stderr=as_json, soft_wrap=True, highlight=False), transient=True)


def _print_run(
    console: Console, tenant_id: str, pipeline: str, result: RunResult, span: Span, published: int, as_json: bool
) -> None:
    if as_json:
        rows = {table: sum(days.values()) for table, days in result.published.items()}
        fields = {"tenant": tenant_id, "pipeline": pipeline, "first": str(span[0]), "last": str(span[1])}
        fields |= {"run_id": result.run_id}
        typer.echo(
            json.dumps(
                fields
                | {"succeeded": result.succeeded, "days_published": published, "rows": rows, "failure": result.failure}
            )
        )
    elif result.failure:
        console.print(Text(f"{span[0]}...{span[1]} run {result.run_id}:", "red"), Text(result.failure))
