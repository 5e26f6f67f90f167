"""The statement that merges rows: what BigQuery is sent, and that the same rows are the same job."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.warehouse.bigquery.merging import merge_statement
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, TableRef, TableSchema
from tests.peer.peer_server import Peer

SCHEMA = TableSchema(
    (
        Column("id", "STRING", "REQUIRED"),
        Column("said", "JSON"),
        Column("number", "INT64"),
        Column("tags", "STRING", "REPEATED"),
        Column("created_at", "TIMESTAMP", "REQUIRED"),
    ),
    partition_column="created_at",
)


def test_the_statement_reads_only_the_partitions_of_the_rows() -> None:
    days = ("2026-03-01T00:00:00+00:00", "2026-03-02T23:00:00+00:00")
    assert merge_statement("`p.acme.x`", SCHEMA, ("id",), "number", days).splitlines() == [
        "MERGE INTO `p.acme.x` AS target",
        "USING (SELECT JSON_VALUE(said, '$.id') AS `id`, PARSE_JSON(JSON_VALUE(said, '$.said')) AS `said`, "
        "CAST(JSON_VALUE(said, '$.number') AS INT64) AS `number`, "
        "CAST(JSON_VALUE(said, '$.created_at') AS TIMESTAMP) AS `created_at`",
        "       FROM UNNEST(JSON_QUERY_ARRAY(@rows)) AS said) AS fresh",
        "ON target.`created_at` BETWEEN TIMESTAMP '2026-03-01T00:00:00+00:00' AND TIMESTAMP '2026-03-02T23:00:00+00:00' "
        "AND target.`id` = fresh.`id`",
        "WHEN MATCHED AND fresh.`number` >= target.`number` THEN UPDATE SET `id` = fresh.`id`, `said` = fresh.`said`, "
        "`number` = fresh.`number`, `created_at` = fresh.`created_at`",
        "WHEN NOT MATCHED THEN INSERT (`id`, `said`, `number`, `created_at`)",
        "VALUES (fresh.`id`, fresh.`said`, fresh.`number`, fresh.`created_at`)",
    ]


@pytest.mark.peer
def test_a_batch_that_is_sent_again_is_the_job_that_was_sent(peer: Peer, tmp_path: Path) -> None:
    settings, table = peer.settings(tmp_path), TableRef("acme", "x")
    row = {"id": "a", "number": 1, "created_at": datetime(2026, 3, 1, tzinfo=UTC)}
    with open_warehouse(settings) as warehouse:
        warehouse.ensure_table(table, SCHEMA)
        for run_id, number in (("ledger-1-1", 1), ("ledger-1-1", 1), ("ledger-2-2", 1), ("ledger-2-2", 2)):
            warehouse.merge_rows(table, SCHEMA, [row | {"number": number}], ("id",), Job(run_id, {"tenant": "acme"}))
        assert [s.attached for s in warehouse.statements] == [False, True, False, False]
