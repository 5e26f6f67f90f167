"""Two versions of a table have the same figures where rows and amounts of every day and currency are the same."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.tenant_lifecycle.table_versions import TableVersion
from convergence_assets.tenant_lifecycle.version_figures import Pairs, differences, figures, pairs_of
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema

FIRST = date(2026, 10, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(3)]
OLD = TableSchema(
    (Column("day", "DATE"), Column("currency", "STRING"), Column("cost", "NUMERIC")), partition_column="day"
)
NEW = TableSchema(
    (Column("money", "STRING"), Column("price", "NUMERIC"), Column("on", "DATE")), partition_column="on", version=2
)
PAIRS = Pairs((("cost", "price"),), ("currency", "money"), ())
Row = tuple[date, str | None, Decimal | None]

amounts = st.none() | st.decimals(-3, 3, places=9, allow_nan=False) | st.sampled_from([Decimal(0), Decimal(1)])
row = st.tuples(st.sampled_from(DAYS), st.sampled_from([None, "", "EUR", "USD"]), amounts)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    folder: Path = tmp_path_factory.mktemp("warehouse")
    with DuckDBWarehouse(folder) as opened:
        yield opened


def _publish(warehouse: DuckDBWarehouse, name: str, schema: TableSchema, names: str, rows: list[Row]) -> None:
    def literal(one: Row) -> str:
        currency = "CAST(NULL AS STRING)" if one[1] is None else f"'{one[1]}'"
        cost = "CAST(NULL AS NUMERIC)" if one[2] is None else f"NUMERIC '{one[2]:f}'"
        return f"SELECT DATE '{one[0]}' AS day, {currency} AS currency, {cost} AS cost"

    nothing = "SELECT DATE '2026-10-01' AS day, CAST('' AS STRING) AS currency, NUMERIC '0' AS cost LIMIT 0"
    sql = f"SELECT {names} FROM ({' UNION ALL '.join(map(literal, rows)) or nothing}) AS made"
    table, job = TableRef("acme", name), Job("run")
    warehouse.ensure_table(table, schema)
    staged = warehouse.stage_query(table, schema, [Query(sql)], job)
    warehouse.publish(staged, DAYS, job)
    warehouse.discard(staged)


def _added(rows: list[Row]) -> dict[tuple[date, str | None], tuple[int, Decimal | None]]:
    sums: dict[tuple[date, str | None], tuple[int, Decimal | None]] = {}
    for day, currency, cost in rows:
        count, total = sums.get((day, currency), (0, None))
        added = total if cost is None else cost + (total or Decimal())
        sums[day, currency] = (count + 1, added)
    return sums


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(before=st.lists(row, max_size=6), after=st.none() | st.lists(row, max_size=6))
def test_a_difference_is_named_for_each_day_and_currency_that_differs_and_for_no_other(
    warehouse: DuckDBWarehouse, before: list[Row], after: list[Row] | None
) -> None:
    after = before[::-1] if after is None else after
    _publish(warehouse, "lines", OLD, "day, currency, cost", before)
    _publish(warehouse, "lines__v2", NEW, "currency AS money, cost AS price, day AS `on`", after)
    found = differences(
        PAIRS,
        figures(warehouse, TableRef("acme", "lines"), OLD, ["cost"], "currency", Job("read")),
        figures(warehouse, TableRef("acme", "lines__v2"), NEW, ["price"], "money", Job("read")),
    )
    was, now = _added(before), _added(after)
    assert {(one.day, one.currency) for one in found} == {key for key in {*was, *now} if was.get(key) != now.get(key)}
    for one in found:
        key = (one.day, one.currency)
        assert one.rows == (was.get(key, (0, None))[0], now.get(key, (0, None))[0])
        assert str(one).startswith(str(one.day))


COST, NAME = Column("cost", "NUMERIC"), Column("kind", "STRING")
CREDITS = Column("credits", "RECORD", "REPEATED", fields=(Column("name", "STRING"), Column("amount", "NUMERIC")))


@pytest.mark.parametrize(
    ("was", "now", "known", "doubts"),
    [
        ((COST, NAME), (COST,), False, ("kind may tell currencies apart in the former version alone",)),
        ((COST, NAME), (COST,), True, ()),
        ((COST, NAME), (COST, NAME), False, ()),
        ((NAME,), (COST,), False, ()),
        ((COST, CREDITS), (COST, CREDITS), True, ("amounts within column credits are not compared",)),
        ((Column("parts", "NUMERIC", "REPEATED"),), (), True, ("amounts within column parts are not compared",)),
        ((Column("labels", "RECORD", fields=(NAME,)),), (), True, ()),
    ],
)
def test_amounts_and_currencies_that_cannot_be_compared_are_doubts(
    was: tuple[Column, ...], now: tuple[Column, ...], known: bool, doubts: tuple[str, ...]
) -> None:
    declared = SimpleNamespace(money=None, columns=now)
    made_by = SimpleNamespace(money=None, currency=None) if known else None
    found = cast(TableVersion, SimpleNamespace(made_by=made_by, step=SimpleNamespace(spec=declared)))
    assert pairs_of(found, TableSchema(was), TableSchema(now, version=2)).doubts == doubts
