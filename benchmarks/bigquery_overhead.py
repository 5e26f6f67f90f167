"""The BigQuery adapter over a bare script that sends the same jobs: `python -m benchmarks.bigquery_overhead`.

Both in turn on the local server of `make test-bigquery`; the ratio is of medians.
"""

import argparse
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import date
from pathlib import Path

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema
from tests.peer.peer_server import PROJECT, Peer

ROOT = Path(__file__).parents[1]

DAY = date(2026, 3, 1)
SCHEMA = TableSchema((Column("day", "DATE", "REQUIRED"), Column("n", "INT64")), partition_column="day")
SQL = (
    "SELECT DATE '2026-03-01' AS day, DATE_DIFF(i, DATE '1900-01-01', DAY) AS n "
    "FROM UNNEST(GENERATE_DATE_ARRAY(DATE '1900-01-01', DATE '2100-01-01')) AS i"
)
TRANSACTION = (
    "BEGIN TRANSACTION; DELETE FROM {t} WHERE day = DATE '2026-03-01'; "
    "INSERT INTO {t} (day, n) SELECT day, n FROM {s}; COMMIT TRANSACTION;"
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=10)
    rounds = arguments.parse_args().rounds
    environment = Path(os.environ.get("CONVERGENCE_PEER_ENVIRONMENT", ROOT / ".peer"))
    with tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder:
        peer = Peer(environment, Path(folder))
        peer.start()
        try:
            settings = peer.settings(Path(folder) / "home")
            seconds: dict[str, list[float]] = {"adapter": [], "bare": []}
            for _ in range(rounds + 1):
                seconds["adapter"].append(_timed(lambda: _adapter(settings)))
                seconds["bare"].append(_timed(lambda: _bare(peer)))
        finally:
            peer.stop()
    adapter, bare = (statistics.median(seconds[kind][1:]) for kind in ("adapter", "bare"))
    print(f"adapter {adapter:.2f} s, bare {bare:.2f} s: {adapter / bare:.2f} x (medians of {rounds})")


def _adapter(settings: Settings) -> None:
    job = Job(uuid.uuid4().hex)
    with open_warehouse(settings) as warehouse:
        warehouse.ensure_table(TableRef("acme", "numbers"), SCHEMA)
        staged = warehouse.stage_query(TableRef("acme", "numbers"), SCHEMA, [Query(SQL)], job)
        warehouse.read_staged(staged, ["day", "n"], job)
        warehouse.publish(staged, [DAY], job)
        warehouse.discard(staged)


def _bare(peer: Peer) -> None:
    from google.cloud import bigquery, bigquery_storage  # noqa: F401

    from convergence_assets.assets.warehouse_factory import _emulated_storage

    fields = [bigquery.SchemaField("day", "DATE", "REQUIRED"), bigquery.SchemaField("n", "INT64")]
    staging, target = f"{PROJECT}.staging.numbers_{uuid.uuid4().hex}", f"{PROJECT}.bare.numbers"
    with peer.client() as client:
        for name in (target, staging):
            table = bigquery.Table(name, schema=fields)
            table.time_partitioning = bigquery.TimePartitioning(field="day")
            client.create_dataset(name.rsplit(".", 1)[0], exists_ok=True)
            client.create_table(table, exists_ok=True)
        client.query(SQL, bigquery.QueryJobConfig(dry_run=True))
        client.query(f"INSERT INTO {staging} (day, n) {SQL}").result()
        list(client.query(f"SELECT day, COUNT(*) AS n FROM {staging} GROUP BY 1").result())
        storage = _emulated_storage(peer.settings(Path()))
        client.list_rows(client.get_table(staging)).to_arrow(bqstorage_client=storage)
        client.query(TRANSACTION.format(t=target, s=staging)).result()
        client.delete_table(staging)


def _timed(work: Callable[[], None]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


if __name__ == "__main__":
    main()
