"""Counts of each tenant's part of a shared source: the parts of all tenants and the rest make the whole."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from convergence_assets.pipelines.models import SourceSpec
from convergence_assets.tenancy.sharing import REST, SharedSource
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.warehouse.interface import GIGABYTE, Job, Warehouse
from convergence_assets.warehouse.schema import ParameterValue, Query, TableRef

COST = "cost"
"""The source's column that is summed, where it declares one."""
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Part:
    """Rows, and their cost where the source has one."""

    rows: int
    cost: Decimal | None


@dataclass(frozen=True)
class ShareCounts:
    """A shared source over some days of its partitions: the whole, and by tenant, then `REST`, its part."""

    table: str
    first: date
    last: date
    whole: Part
    parts: Mapping[str, Part]

    @property
    def adds_up(self) -> bool:
        """Whether every row, and all of the cost, is in exactly one part."""
        costs = [part.cost for part in self.parts.values() if part.cost is not None]
        rows = sum(part.rows for part in self.parts.values())
        return rows == self.whole.rows and (self.whole.cost is None or sum(costs, Decimal()) == self.whole.cost)


@dataclass(frozen=True)
class Reader:
    """How one of the tenants that read a shared source declares it, and writes its name."""

    table: str
    spec: SourceSpec


def read_sources(registry: TenantRegistry) -> list[tuple[SharedSource, Reader]]:
    """Every shared source that a tenant reads."""
    return [(shared, reader) for shared in registry.shared_sources if (reader := reader_of(shared, registry))]


def reader_of(shared: SharedSource, registry: TenantRegistry) -> Reader | None:
    """The first tenant's; None where none reads it."""
    for tenant in registry.tenants.values():
        if tenant.shares:
            for source in tenant.sources:
                for name in source.tables:
                    if name in tenant.shares and shared.is_among([name]):
                        return Reader(name, source.spec)
    return None


def count_shares(
    warehouse: Warehouse, shared: SharedSource, spec: SourceSpec, first: date, last: date, gigabytes: int
) -> ShareCounts:
    """Count it, as the tenants' own queries read it. Raises `WarehouseError`."""
    owners = [*shared.shares, REST]
    has_cost = any(column.name.lower() == COST for column in spec.columns)
    columns = list(_columns("whole", "TRUE", has_cost))
    for number, owner in enumerate(owners):
        columns += _columns(f"part{number}", shared.condition(owner), has_cost)
    sql = f"SELECT {', '.join(columns)} FROM {TableRef.parse(shared.table).quoted}"
    values: dict[str, ParameterValue] = {}
    if spec.partition_column:
        sql += f" WHERE DATE({spec.partition_column}) BETWEEN @first AND @last"
        values = {"first": first, "last": last}
    run_id = f"shares-{uuid.uuid4().hex[:12]}"
    job = Job(run_id, {"asset": "shared_source", "run_id": run_id}, _TIMEOUT_SECONDS, gigabytes * GIGABYTE)
    (row,) = warehouse.read(Query(sql, values), job).to_pylist()
    parts = {owner: _part(row, f"part{number}") for number, owner in enumerate(owners)}
    return ShareCounts(shared.table, first, last, _part(row, "whole"), parts)


def _part(row: Mapping[str, Any], name: str) -> Part:
    return Part(row[f"{name}_rows"], row.get(f"{name}_cost"))


def _columns(name: str, condition: str, has_cost: bool) -> Iterator[str]:
    yield f"COUNTIF({condition}) AS {name}_rows"
    if has_cost:
        yield f"COALESCE(SUM(IF({condition}, CAST({COST} AS NUMERIC), 0)), 0) AS {name}_cost"
