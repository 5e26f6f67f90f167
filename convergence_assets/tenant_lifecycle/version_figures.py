"""Rows and amounts of two versions of a table, day by day and exact: whether one may take the other's place."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from convergence_assets.preview.relations import is_among
from convergence_assets.preview.tenant_run import currency_column
from convergence_assets.tenant_lifecycle.table_versions import TableVersion
from convergence_assets.warehouse.interface import Job, Warehouse
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema

_EXACT = ("NUMERIC", "BIGNUMERIC")
_INEXACT = ("FLOAT64", "INT64")

Sums = tuple[Decimal | None, ...]
Figures = Mapping[tuple[date, str | None], tuple[int, Sums]]
"""Rows and sums by day and currency; the currency is None where a row has none, or none is told apart."""


@dataclass(frozen=True)
class Pairs:
    """The amounts of the former version, each with the column that has it in the new one (None: there is none), and the
    columns that tell currencies apart, where both versions have one; `doubts` says what of that is not known."""

    amounts: tuple[tuple[str, str | None], ...]
    currency: tuple[str, str] | None
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """Rows and sums of a day and currency that are not the same before and after."""

    day: date
    currency: str | None
    rows: tuple[int, int]
    amounts: Mapping[str, tuple[Decimal | None, Decimal | None]]

    def __str__(self) -> str:
        changes = [f"{self.rows[0]:,} -> {self.rows[1]:,} rows"]
        changes += [f"{name} {_shown(before)} -> {_shown(after)}" for name, (before, after) in self.amounts.items()]
        return f"{self.day}{f' {self.currency}' if self.currency else ''}: {', '.join(changes)}"


def pairs_of(found: TableVersion, old: TableSchema, new: TableSchema) -> Pairs:
    """What is compared of two versions: amounts of one name, and the money of both definitions where it is known."""
    before, spec = found.made_by, found.step.spec
    renamed: dict[str, str] = {}
    if before and spec.money:
        named = ((before.money, spec.money.column), (before.currency, spec.money.currency_column))
        renamed = {was: now for was, now in named if was and now and old.column(was) and new.column(now)}
    amounts: list[tuple[str, str | None]] = []
    for column in old.columns:
        counterpart = new.column(column.name) or new.column(renamed.get(column.name, ""))
        becomes_exact = column.type in _INEXACT and counterpart is not None and counterpart.type in _EXACT
        if column.mode != "REPEATED" and (column.type in _EXACT or becomes_exact):
            is_number = counterpart is not None and counterpart.type in (*_EXACT, *_INEXACT)
            fits = counterpart is not None and is_number and counterpart.mode != "REPEATED"
            amounts.append((column.name, counterpart.name if counterpart and fits else None))
    now = currency_column(spec)
    was = next((name for name, to in renamed.items() if to == now), now)
    if now is None:
        was = before.currency if before and before.currency else None
    doubts = tuple(f"amounts within column {c.name} are not compared" for c in old.columns if _has_inner_amounts(c))
    if now and was and old.column(was):
        return Pairs(tuple(amounts), (was, now), doubts)
    one_sided = now if now else was
    if one_sided:
        doubts += (f"column {one_sided} tells currencies apart in one version alone",)
    elif before is None and amounts:
        gone = [c.name for c in old.columns if c.type == "STRING" and new.column(c.name) is None]
        if gone:
            doubts += (f"{', '.join(gone)} may tell currencies apart in the former version alone",)
    return Pairs(tuple(amounts), None, doubts)


def _has_inner_amounts(column: Column, *, is_inner: bool = False) -> bool:
    """Whether a column has amounts that no sum of it shows: of a RECORD, or of several values a row."""
    if column.fields:
        return any(_has_inner_amounts(one, is_inner=True) for one in column.fields)
    return column.type in _EXACT and (is_inner or column.mode == "REPEATED")


def figures(
    warehouse: Warehouse, table: TableRef, schema: TableSchema, columns: Sequence[str | None], currency: str | None,
    job: Job, days: Collection[date] | None = None,
) -> Figures:  # fmt: skip
    """Rows and sums of these columns for these days of a table, or all. Raises `WarehouseError`."""
    day, kind = f"`{schema.partition_column}`", f"`{currency}`" if currency else "CAST(NULL AS STRING)"
    sums = [_sum(schema, name) for name in columns]
    named = "".join(f", {expression} AS x_{at}" for at, expression in enumerate(sums))
    chosen = f"{day} >= DATE '0001-01-01'" if days is None else is_among(day, days)
    sql = (
        f"SELECT {day} AS x_day, {kind} AS x_currency, COUNT(*) AS x_rows{named} FROM {table.quoted} "
        f"WHERE {chosen} GROUP BY 1, 2"
    )
    return {
        (row["x_day"], row["x_currency"]): (row["x_rows"], tuple(row[f"x_{at}"] for at in range(len(sums))))
        for row in warehouse.rows(Query(sql), job)
    }


def rows_by_day(
    warehouse: Warehouse, table: TableRef, schema: TableSchema, job: Job, days: Collection[date] | None = None
) -> dict[date, int]:
    """How many rows there are of each of these days, or of all. Raises `WarehouseError`."""
    counted = figures(warehouse, table, schema, (), None, job, days)
    return {day: rows for (day, _), (rows, _) in counted.items()}


def differences(pairs: Pairs, before: Figures, after: Figures) -> list[Difference]:
    """Where they are not the same, by day and currency."""
    nothing: tuple[int, Sums] = (0, (None,) * len(pairs.amounts))
    differing = []
    for day, currency in sorted({*before, *after}, key=lambda key: (key[0], key[1] or "", key[1] is None)):
        was, now = before.get((day, currency), nothing), after.get((day, currency), nothing)
        if was != now:
            names = [old if new in (old, None) else f"{old} ({new})" for old, new in pairs.amounts]
            changed = {
                name: (one, other)
                for name, one, other in zip(names, was[1], now[1], strict=True)
                if one != other
            }  # fmt: skip
            differing.append(Difference(day, currency, (was[0], now[0]), changed))
    return differing


def _sum(schema: TableSchema, name: str | None) -> str:
    column = schema.column(name) if name else None
    if column is None:
        return "CAST(NULL AS NUMERIC)"
    total = f"SUM(`{column.name}`)"
    return total if column.type in _EXACT else f"CAST({total} AS NUMERIC)"


def _shown(amount: Decimal | None) -> str:
    if amount is None:
        return "none"
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
