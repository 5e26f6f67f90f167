"""What every warehouse adapter promises: a partition as it was at an earlier moment."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.errors import NotKept
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Query
from tests.peer.peer_server import Peer
from tests.warehouse.contract import DAY, JOB, NEXT, SCHEMA, TABLE, published, rows, stage


@pytest.mark.peer
def test_a_partition_is_staged_as_it_was_at_a_moment_and_put_back(peer: Peer, tmp_path: Path) -> None:
    wider = replace(SCHEMA, columns=(*SCHEMA.columns, Column("team", "STRING"), Column("tags", "STRING", "REPEATED")))
    again, third = Job("run-2"), Job("run-3")
    with open_warehouse(peer.settings(tmp_path)) as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        before = a_moment()
        warehouse.publish(stage(warehouse, rows(DAY, "1"), rows(NEXT, "2")), [DAY, NEXT], JOB)
        good = a_moment()
        warehouse.ensure_table(TABLE, wider)
        spoilt = Query(f"SELECT *, 'a' AS team, ['t'] AS tags FROM ({rows(DAY, '9', n=5).sql})", {"day": DAY})
        bad = warehouse.stage_query(TABLE, wider, [spoilt], again)
        warehouse.publish(bad, [DAY], again)
        assert {r[2] for r in published(warehouse)} == {Decimal(9), Decimal(2)}
        staged = warehouse.stage_past(TABLE, wider, DAY, good, third)
        assert (staged.rows, staged.rows_per_partition, staged.target) == (2, {DAY: 2}, TABLE)
        assert warehouse.publish(staged, [DAY], third) == 2
        assert published(warehouse) == [
            (DAY, "n0", Decimal(1)), (DAY, "n1", Decimal(1)), (NEXT, "n0", Decimal(2)), (NEXT, "n1", Decimal(2)),
        ]  # fmt: skip
        assert published(warehouse, f"SELECT team, tags FROM acme.costs WHERE day = '{DAY}'") == [(None, [])] * 2
        assert warehouse.stage_past(TABLE, wider, DAY, before, Job("run-4")).rows == 0


@pytest.mark.peer
@pytest.mark.parametrize(
    ("ago", "message"),
    [
        (timedelta(days=8), "longer ago than BigQuery keeps rows"),
        (timedelta(days=-1), "still to come"),
        (timedelta(days=3), "no rows kept of|did not exist at"),
    ],
)
def test_a_moment_of_which_nothing_is_kept_is_refused(peer: Peer, tmp_path: Path, ago: timedelta, message: str) -> None:
    with open_warehouse(peer.settings(tmp_path)) as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        with pytest.raises(NotKept, match=message) as refused:
            warehouse.stage_past(TABLE, SCHEMA, DAY, datetime.now(UTC) - ago, JOB)
        assert "convergence run" in refused.value.remedy


def test_the_embedded_warehouse_says_that_it_keeps_no_past(tmp_path: Path) -> None:
    with DuckDBWarehouse(tmp_path) as warehouse, pytest.raises(NotKept, match="keeps no earlier rows of table acme"):
        warehouse.stage_past(TABLE, SCHEMA, DAY, datetime.now(UTC), JOB)


def a_moment() -> datetime:
    """One that lies after everything done so far and before everything done next, for a server that counts in ms."""
    time.sleep(0.05)
    moment = datetime.now(UTC)
    time.sleep(0.05)
    return moment
