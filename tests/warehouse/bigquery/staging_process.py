"""Stages a query in a process that a test kills: `python staging_process.py SQL RUN_ID`; publishes its rows."""

import signal
import sys
from datetime import date

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema

TABLE = TableRef("acme", "costs")
SCHEMA = TableSchema((Column("day", "DATE", "REQUIRED"), Column("n", "INT64")), partition_column="day")
DAY = date(2026, 3, 1)


def stage_and_publish(sql: str, run_id: str) -> int:
    job = Job(run_id, {"tenant": "acme", "asset": "costs", "partition": "2026-03-01", "run_id": run_id})
    with open_warehouse(Settings.from_env()) as warehouse:
        warehouse.ensure_table(TABLE, SCHEMA)
        staged = warehouse.stage_query(TABLE, SCHEMA, [Query(sql)], job)
        return warehouse.publish(staged, [DAY], job)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(stage_and_publish(sys.argv[1], sys.argv[2]))
