"""`convergence backfill`: every day of a range that is not published yet, in runs of many days each."""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from convergence_assets.assets.window import days_of
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import pipeline_of, running_tenant_of
from convergence_assets.cli.run import Definitions, RunResult, finished_days_between
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_for_a_run
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline

Span = tuple[date, date]

ROWS_PER_RUN = 2_000_000
"""About how many rows of its largest table one run stages."""
FIRST_CHUNK_DAYS = 30
"""Until the rows of a day are known."""


def backfill(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str, typer.Argument(help="Pipeline name")],
    first: Annotated[str, typer.Option("--from", help="First day, e.g. 2026-01-01")],
    last: Annotated[str, typer.Option("--to", help="Last day")],
    again: Annotated[bool, typer.Option("--again", help="Also the days that are published already")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a run")] = False,
) -> None:
    """Materialise a range of days, oldest first; started again, it goes on with those that are not published.

    A run that fails does not stop the next one; exit code 1 if a day was not published.

    Example: convergence backfill acme gcp_billing --from 2026-10-01 --to 2026-10-31
    """
    from convergence_assets.assets.factory import PARTITIONS_PER_RUN

    settings = replace(Settings.from_env(), only_tenants=frozenset({tenant}))
    chosen = running_tenant_of(load_for_a_run(settings), tenant)
    chosen_pipeline = pipeline_of(chosen, pipeline)
    start, end = finished_days_between(chosen, chosen_pipeline, first, last)
    days = days_of(start, end)
    definitions = Definitions(settings)
    with open_instance(settings) as instance, _progress(as_json) as progress:
        before = set() if again else published_days(settings, chosen, chosen_pipeline, start, end)
        pending = [day for day in days if day not in before]
        missing, chunk = set(pending), FIRST_CHUNK_DAYS
        task = progress.add_task(f"{tenant} {pipeline}", total=len(days), completed=len(days) - len(pending))
        waiting = deque(spans(pending, PARTITIONS_PER_RUN))
        while waiting:
            span, *rest = spans(days_of(*waiting.popleft()), chunk)
            waiting.extendleft(reversed(rest))
            result = definitions.run(instance, chosen, chosen_pipeline, *span, trigger="backfill")
            done, begun = _published_by(result, chosen_pipeline)
            # A bad day stops its own table's later ones for all days of the run: the good days go on without it.
            good = sorted(begun - done) if begun < set(days_of(*span)) else []
            waiting.extendleft(reversed(list(spans(good, PARTITIONS_PER_RUN))))
            missing -= done
            chunk = chunk_days(result.published, PARTITIONS_PER_RUN) or chunk
            progress.advance(task, len(days_of(*span)) - len(good))
            _print_run(progress.console, result, span, len(done), as_json)
    if not as_json:
        _print_summary(len(days), len(pending), sorted(missing))
    raise typer.Exit(1 if missing else 0)


def published_days(settings: Settings, tenant: Tenant, pipeline: TenantPipeline, first: date, last: date) -> set[date]:
    """The days of [first, last] of which every table is published, and read what is published now."""
    from convergence_assets.control.publications import Publications
    from convergence_assets.control.store import ControlStore
    from convergence_assets.scheduling.targets import tables_of

    tables = tables_of(tenant, pipeline)
    publications = Publications(ControlStore.open(settings)).between(tenant.tenant_id, tables.all_tables(), first, last)
    return {day for day in days_of(first, last) if tables.is_current(day, publications)}


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


def _progress(as_json: bool) -> Progress:
    return Progress(console=Console(stderr=as_json, soft_wrap=True, highlight=False), transient=True)


def _print_run(console: Console, result: RunResult, span: Span, published: int, as_json: bool) -> None:
    if as_json:
        rows = {table: sum(days.values()) for table, days in result.published.items()}
        fields = {"first": str(span[0]), "last": str(span[1]), "run_id": result.run_id, "succeeded": result.succeeded}
        typer.echo(json.dumps(fields | {"days_published": published, "rows": rows, "failure": result.failure}))
    elif result.failure:
        console.print(Text(f"{span[0]}...{span[1]} run {result.run_id}:", "red"), Text(result.failure))


def _print_summary(requested: int, pending: int, missing: Sequence[date]) -> None:
    table = Table("days", "count")
    table.add_row("asked for", str(requested))
    table.add_row("published before", str(requested - pending))
    table.add_row("published now", str(pending - len(missing)))
    table.add_row("not published", str(len(missing)), style="red" if missing else None)
    console = Console(soft_wrap=True, highlight=False)
    print_table(table)
    if missing:
        named = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
        console.print(f"not published: {named}. Next: read the reasons above, then give the same command again")
