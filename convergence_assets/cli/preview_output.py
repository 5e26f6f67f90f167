"""A preview as tables for people, as one JSON object, and as Markdown for a pull request."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convergence_assets.cli.tables import print_table, prose
from convergence_assets.preview.comparison import AmountChanges, Amounts, DayChanges, Example
from convergence_assets.preview.sampling import Touched
from convergence_assets.preview.table_preview import TablePreview, changes_money, together
from convergence_assets.preview.touched import TouchedTable
from convergence_assets.redaction import redacted
from convergence_assets.tenancy.tenant import Rejection

_MOST_AMOUNTS = 3
_MOST_KEY_COLUMNS = 6


@dataclass(frozen=True)
class PreviewReport:
    """`touched` are all tables that the change touches, `previews` those that were run, `refused` tenants whose files
    are wrong."""

    touched: Touched
    previews: Sequence[TablePreview]
    refused: Mapping[str, Rejection]

    def as_json(self) -> str:
        """Amounts are text, so that none is rounded."""
        fields = {
            "changes_money": changes_money(self.previews),
            "touched": [_touched_fields(name, one) for name, tables in self.touched.items() for one in tables],
            "previewed": [_fields(preview) for preview in self.previews],
            "refused": {name: [p.render() for p in one.problems] for name, one in self.refused.items()},
        }  # fmt: skip
        return redacted(json.dumps(fields))

    def print(self) -> None:
        """On stdout, problems on stderr."""
        console = Console(soft_wrap=True, highlight=False)
        typer.echo(self._summary())
        if self.previews:
            table = Table("tenant", "table", "days", prose("why"), prose("rows"), prose("amounts"), prose("checks"))
            for preview in self.previews:
                table.add_row(*(redacted(cell) for cell in _cells(preview)))
            print_table(table)
        for preview in self.previews:
            for line in _details(preview):
                console.print(Text(redacted(line)))
        for line in self._refusals():
            typer.echo(redacted(line), err=True)

    def as_markdown(self) -> str:
        """A summary, a table, and the largest changes folded away."""
        lines = ["### Preview of published tables", "", self._summary(), ""]
        if self.previews:
            names = ("tenant", "table", "days", "why", "rows", "amounts", "checks")
            lines += [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
            for preview in self.previews:
                cells = (_escaped(cell) for cell in _cells(preview))
                lines.append(f"| {' | '.join(cells)} |")
        details = [line for preview in self.previews for line in _details(preview)]
        if details:
            lines += ["", "<details><summary>Largest changes</summary>", "", "```text", *details, "```", "</details>"]
        lines += [f"- {line}" for line in self._refusals()]
        return redacted("\n".join(lines))

    def _summary(self) -> str:
        if not self.touched:
            return "No published table is touched."
        tables = sum(map(len, self.touched.values()))
        run = {preview.tenant_id for preview in self.previews}
        money = "Money changes." if changes_money(self.previews) else "No money changes."
        return (
            f"{_counted(tables, 'table')} of {_counted(len(self.touched), 'tenant')} touched; "
            f"{_counted(len(run), 'tenant')} previewed. {money}"
        )

    def _refusals(self) -> Iterator[str]:
        for tenant_id, rejection in self.refused.items():
            yield f"{tenant_id} is not previewed: {rejection.problems[0].render()}"


def why(touched: TouchedTable) -> str:
    """Why a table is touched."""
    if touched.served is None:
        return "by an unknown definition" if touched.is_published else "new"
    reasons: list[str] = [part for part in touched.parts if part != "suite"]
    if touched.checks:
        reasons.append(f"checks {', '.join(touched.checks)}")
    if touched.reads:
        reasons.append(f"reads {', '.join(touched.reads)}")
    return "; ".join(reasons)


def _cells(preview: TablePreview) -> tuple[str, ...]:
    days = f"{preview.days[0]}...{preview.days[-1]}" if len(preview.days) > 1 else "".join(map(str, preview.days))
    start = (preview.tenant_id, preview.touched.step.table, days, why(preview.touched))
    if preview.problem:
        return (*start, "not previewed", preview.problem, "")
    rows = preview.rows
    changes = [
        f"{sign}{count:,}" for sign, count in (("+", rows.added), ("-", rows.lost), ("~", rows.changed)) if count
    ]
    return (*start, f"{' '.join(changes) or 'same'} of {rows.before:,}", _amounts(preview), _checks(preview))


def _amounts(preview: TablePreview) -> str:
    return _spelled_amounts(preview.moved(preview.amounts)) or "same"


def _spelled_amounts(amounts: Amounts) -> str:
    moved = list(amounts.items())
    shown = []
    for name, change in moved[:_MOST_AMOUNTS]:
        text = f"{_signed(change.difference)} ({_spelled(change.before)} -> {_spelled(change.after)})"
        both_ways = "" if change.moved == abs(change.difference) else f", moved {_spelled(change.moved)}"
        shown.append(" ".join(filter(None, (*name, text))) + both_ways)
    more = [f"and {len(moved) - _MOST_AMOUNTS} more"] if len(moved) > _MOST_AMOUNTS else []
    return "; ".join(shown + more)


def _checks(preview: TablePreview) -> str:
    flips = [
        f"{flip.check} ({flip.severity}) {'passes' if flip.passes else 'fails'}, {_counted(len(flip.days), 'day')}"
        for flip in preview.flips
    ]
    stopped = [f"{_counted(len(preview.stopped), 'day')} would be stopped"] if preview.stopped else []
    missing = [f"{_counted(len(preview.missing), 'day')} not made: what it reads is stopped"] if preview.missing else []
    return "; ".join(flips + stopped + missing)


def _details(preview: TablePreview) -> Iterator[str]:
    where = f"{preview.tenant_id} {preview.touched.step.table}"
    if preview.schema and preview.schema.described:
        kind = "added by itself" if preview.schema.is_additive else "an existing table does not take this"
        yield f"{where}: columns, {kind}: {'; '.join(preview.schema.described)}"
    for day, names in preview.stopped.items():
        moved = _spelled_amounts(preview.moved(together({day: preview.stopped_changes.get(day, DayChanges())})))
        yield f"{where}: {day} would be stopped by {', '.join(names)}" + (f", else {moved}" if moved else "")
    for example in preview.examples:
        yield f"{where}: {_example(example)}"


def _example(example: Example) -> str:
    key = list(example.key.items())
    shown = ", ".join(f"{name}={value}" for name, value in key[:_MOST_KEY_COLUMNS])
    more = f", and {len(key) - _MOST_KEY_COLUMNS} more columns" if len(key) > _MOST_KEY_COLUMNS else ""
    rows = "" if example.rows[0] == example.rows[1] else f" rows {example.rows[0]} -> {example.rows[1]}"
    amounts = "".join(f" {n} {_spelled(b)} -> {_spelled(a)}" for n, (b, a) in example.amounts.items())
    return f"{shown}{more}:{rows}{amounts}"


def _touched_fields(tenant_id: str, one: TouchedTable) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "pipeline": one.pipeline.name,
        "table": one.step.table,
        "parts": list(one.parts),
        "checks": list(one.checks),
        "reads": list(one.reads),
        "new": one.served is None and not one.is_published,
    }


def _fields(preview: TablePreview) -> dict[str, Any]:
    touched, schema = preview.touched, preview.schema
    return {
        "tenant_id": preview.tenant_id,
        "pipeline": touched.pipeline.name,
        "table": touched.step.table,
        "why": why(touched),
        "days": list(map(str, preview.days)),
        "schema": list(schema.described) if schema else [],
        "schema_is_additive": schema.is_additive if schema else True,
        "key": list(preview.key),
        "has_declared_key": preview.has_declared_key,
        "rows": vars(preview.rows),
        "amounts": [_amount_fields(name, change) for name, change in preview.amounts.items()],
        "by_day": _day_fields(preview.changes),
        "stopped_by_day": _day_fields(preview.stopped_changes),
        "examples": [
            {
                "key": dict(e.key),
                "rows": list(e.rows),
                "amounts": {n: list(map(_text, p)) for n, p in e.amounts.items()},
            }
            for e in preview.examples
        ],
        "flips": [
            {"check": f.check, "severity": f.severity, "passes": f.passes, "days": list(map(str, f.days))}
            for f in preview.flips
        ],
        "stopped": {str(day): list(names) for day, names in preview.stopped.items()},
        "missing": list(map(str, preview.missing)),
        "bytes_a_day": preview.bytes_a_day,
        "problem": preview.problem,
    }


def _day_fields(changes: Mapping[date, DayChanges]) -> dict[str, Any]:
    return {
        str(day): {
            "rows": vars(change.rows),
            "amounts": [_amount_fields(name, amount) for name, amount in change.amounts.items()],
        }
        for day, change in sorted(changes.items())
    }


def _amount_fields(name: tuple[str, str], change: AmountChanges) -> dict[str, Any]:
    column, currency = name
    return {"column": column, "currency": currency} | {key: _text(value) for key, value in vars(change).items()}


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _spelled(value: Decimal | None) -> str:
    return "none" if value is None else f"{value.normalize():f}"


def _signed(value: Decimal) -> str:
    return f"{value.normalize():+f}" if value else "+0"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
