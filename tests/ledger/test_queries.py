"""The queries that on-call people have in their fingers, as they stand, on both warehouses."""

from pathlib import Path

import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query
from tests.assets.project import Project, hourly
from tests.ledger.following import World, good, materialize, table
from tests.ledger.test_follow import BERLIN, DAY, failing, run

QUERIES = (
    "SELECT * FROM acme.x_meta_pipeline_logs WHERE pipeline_run_id = '{run}' ORDER BY created_at DESC LIMIT 100",
    "SELECT * FROM acme.x_meta_data_quality_results WHERE pipeline_run_id = '{run}'",
    "SELECT COUNT(*) FROM acme.x_meta_pipeline_runs WHERE created_at > TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 24 HOUR)",
    "SELECT * FROM acme.x_meta_api_keys WHERE tenant_id = 'acme' AND is_active = true",
)
COLUMNS = {
    0: "log_id, pipeline_run_id, tenant_id, pipeline_id, step, event, level, message, partition, rows, bytes_billed, "
    "bigquery_job_id, duration_ms, error_class, metadata, created_at",
    1: "result_id, pipeline_run_id, tenant_id, pipeline_id, table_name, partition, check_name, expectation_type, "
    "column_name, severity, passed, observed_value, unexpected_count, unexpected_percent, examples, published, created_at",
    3: "key_id, tenant_id, key_prefix, scopes, is_active, created_by, created_at, expires_at, last_used_at, revoked_at",
}
RUN_COLUMNS = (
    "pipeline_run_id, tenant_id, pipeline_id, status, stuck_reason, trigger, triggered_by, partition_start, "
    "partition_end, config_version, attempt, started_at, ended_at, duration_ms, rows_published, bytes_billed, "
    "error_class, error_message, created_at, updated_at"
)


@pytest.mark.parametrize("warehouse", ["embedded", pytest.param("bigquery", marks=pytest.mark.peer)])
def test_the_four_queries_work_as_they_stand_and_agree_with_the_index(
    warehouse: str, simple: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    simple.project.load_bills(hourly(DAY, BERLIN, 1.25))
    run_id = run(simple, DAY, DAY)
    materialize(simple, table("a", good()), table("b", failing(ValueError("no"))))
    simple.follow()
    if warehouse == "embedded":
        settings = simple.project.settings
    else:
        settings = request.getfixturevalue("peer").settings(tmp_path)
    assert not simple.write(lambda location: open_warehouse(settings, location)).failed

    def read(sql: str) -> list[dict[str, object]]:
        with open_warehouse(settings) as opened:
            found: list[dict[str, object]] = opened.read(Query(sql), Job("read")).to_pylist()
            return found

    logs, results, count, keys = (read(query.format(run=run_id)) for query in QUERIES)
    assert [row["event"] for row in reversed(logs)] == ["step_started", "published", "step_succeeded"] * 2
    assert len(results) == 8
    assert all(row["passed"] and row["published"] for row in results)
    assert [list(row.values()) for row in count] == [[2]]
    assert keys == []
    for number, rows in ((0, logs), (1, results)):
        assert list(rows[0]) == COLUMNS[number].split(", ")
    runs = read("SELECT * FROM acme.x_meta_pipeline_runs ORDER BY created_at")
    assert list(runs[0]) == RUN_COLUMNS.split(", ")
    for row, ledger_row in zip(runs, simple.index(), strict=True):
        assert row["pipeline_run_id"] == ledger_row.run_id
        for column in ("status", "started_at", "ended_at", "rows_published", "error_class", "error_message", "attempt"):
            assert row[column] == getattr(ledger_row, column), column
        assert (row["partition_start"], row["updated_at"]) == (ledger_row.first, ledger_row.updated_at)


def test_the_project_of_the_tests_is_the_tenant_that_the_queries_name(project: Project) -> None:
    assert project.tenant.dataset == "acme"
