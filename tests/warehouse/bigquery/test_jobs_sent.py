"""What is sent to BigQuery, to the letter: the local server knows no partition decorators, so these are golden."""

import os
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse
from convergence_assets.warehouse.bigquery.job_owner import is_gone
from convergence_assets.warehouse.bigquery.labels import sanitised, value_of
from convergence_assets.warehouse.bigquery.staging import insert_of, token_of
from convergence_assets.warehouse.errors import StagingChanged
from convergence_assets.warehouse.interface import Job, Staged
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema
from tests.warehouse.bigquery.fake_bigquery import PROJECT, FakeBigQuery

DAY, EMPTY = date(2026, 3, 1), date(2026, 3, 2)
SCHEMA = TableSchema((Column("day", "DATE", "REQUIRED"), Column("cost", "NUMERIC")), partition_column="day")
TARGET, STAGING = TableRef("acme", "costs"), TableRef("_staging_acme", "costs__run_1")
LABELS = {"tenant": "acme", "pipeline": "gcp_billing", "asset": "costs", "partition": "2026-03-01...2026-03-02", "run_id": "run-1"}  # fmt: skip
JOB = Job("run-1", LABELS, timeout_seconds=600, maximum_bytes_billed=10**9)
SENT_LABELS = {
    "managed_by": "convergence", "tenant": "acme", "pipeline": "gcp_billing", "asset": "costs",
    "partition": "2026-03-01_to_2026-03-02", "run_id": "run-1",
}  # fmt: skip


def without_owner(labels: dict[str, str]) -> dict[str, str]:
    """The labels less those of the process, which must be there."""
    assert labels["owner_process"] == str(os.getpid())
    assert is_gone(labels) is False
    assert is_gone(labels | {"owner_started": "1"}) is True
    assert is_gone(labels | {"owner_host": "elsewhere"}) is None
    assert is_gone(labels | {"owner_boot_id": "an-earlier-one"}) is True
    assert is_gone(labels | {"owner_space": "another-container"}) is None
    assert is_gone({k: v for k, v in labels.items() if k != "owner_started"}) is None
    return {k: v for k, v in labels.items() if not k.startswith("owner_")}


def staging_table(rows: int = 3) -> dict[str, Any]:
    return {
        "tableReference": {"projectId": PROJECT, "datasetId": STAGING.dataset, "tableId": STAGING.table},
        "creationTime": "1000",
        "lastModifiedTime": "2000",
        "numRows": str(rows),
        "schema": {
            "fields": [{"name": "day", "type": "DATE", "mode": "REQUIRED"}, {"name": "cost", "type": "NUMERIC"}]
        },
    }


def staged(fake: FakeBigQuery) -> Staged:
    fake.tables[str(STAGING)] = staging_table()
    with BigQueryWarehouse(fake.client()) as warehouse:
        return Staged(STAGING, TARGET, SCHEMA, token_of(warehouse._administration.table(STAGING)), 3, {DAY: 3})


def test_a_partition_is_published_by_a_copy_of_its_staged_partition(fake: FakeBigQuery) -> None:
    with BigQueryWarehouse(fake.client()) as warehouse:
        assert warehouse.publish(staged(fake), [DAY], JOB) == 3
    (body,) = fake.inserted
    body["configuration"].pop("jobType")
    body["configuration"]["labels"] = without_owner(body["configuration"]["labels"])
    assert body["configuration"] == {
        "copy": {
            "sourceTables": [{"projectId": PROJECT, "datasetId": "_staging_acme", "tableId": "costs__run_1$20260301"}],
            "destinationTable": {"projectId": PROJECT, "datasetId": "acme", "tableId": "costs$20260301"},
            "writeDisposition": "WRITE_TRUNCATE",
            "createDisposition": "CREATE_NEVER",
        },
        "labels": SENT_LABELS,
        "jobTimeoutMs": "600000",
    }
    assert body["jobReference"]["location"] == "EU"


def test_an_empty_partition_is_emptied_and_never_copied(fake: FakeBigQuery) -> None:
    with BigQueryWarehouse(fake.client()) as warehouse:
        warehouse.publish(staged(fake), [DAY, EMPTY], JOB)
    configuration = fake.inserted[1]["configuration"]
    assert configuration["query"]["query"] == (f"DELETE FROM `{PROJECT}.acme.costs` WHERE `day` IN (DATE '2026-03-02')")
    assert "destinationTable" not in configuration["query"]


def test_nothing_is_published_from_a_staging_table_that_changed(fake: FakeBigQuery) -> None:
    validated = staged(fake)
    fake.tables[str(STAGING)] = staging_table(rows=4)
    with BigQueryWarehouse(fake.client()) as warehouse, pytest.raises(StagingChanged):
        warehouse.publish(validated, [DAY], JOB)
    fake.tables.clear()
    with BigQueryWarehouse(fake.client()) as warehouse, pytest.raises(StagingChanged):
        warehouse.publish(validated, [DAY], JOB)
    assert fake.inserted == []


def test_every_query_has_labels_a_timeout_and_a_byte_cap(fake: FakeBigQuery) -> None:
    with BigQueryWarehouse(fake.client()) as warehouse:
        warehouse.read(Query("SELECT @day AS day", {"day": DAY}), JOB)
    configuration = fake.inserted[0]["configuration"]
    assert without_owner(configuration["labels"]) == SENT_LABELS
    assert configuration["jobTimeoutMs"] == "600000"
    assert configuration["query"]["maximumBytesBilled"] == "1000000000"
    assert configuration["query"]["queryParameters"] == [
        {"name": "day", "parameterType": {"type": "DATE"}, "parameterValue": {"value": "2026-03-01"}}
    ]


def test_a_retry_of_the_same_publish_attaches_and_another_run_does_not(fake: FakeBigQuery) -> None:
    validated = staged(fake)
    with BigQueryWarehouse(fake.client()) as warehouse:
        warehouse.publish(validated, [DAY], JOB)
        warehouse.publish(validated, [DAY], JOB)
        assert [s.attached for s in warehouse.statements] == [False, True]
        warehouse.publish(validated, [DAY], Job("run-2", LABELS))
        assert [s.attached for s in warehouse.statements] == [False, True, False]


def test_a_failed_job_of_an_earlier_attempt_is_not_attached_to(fake: FakeBigQuery) -> None:
    from convergence_assets.warehouse.errors import AccessDenied
    from tests.warehouse.bigquery.fake_bigquery import Refusal

    validated = staged(fake)
    fake.job_errors = [Refusal(403, "accessDenied")]
    with BigQueryWarehouse(fake.client()) as warehouse:
        with pytest.raises(AccessDenied):
            warehouse.publish(validated, [DAY], JOB)
        warehouse.publish(validated, [DAY], JOB)
        assert [s.job_id.rsplit("_", 1)[1] for s in warehouse.statements] == ["2"]
        assert not warehouse.statements[0].attached


@given(st.text(max_size=200))
def test_any_name_becomes_a_legal_label_and_a_legal_job_id(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{0,63}", value_of(name))
    assert value_of(name) == value_of(name)


@given(st.text(max_size=80), st.text(max_size=80))
def test_names_that_differ_stay_different_labels(one: str, other: str) -> None:
    if one.replace("...", "_to_") != other.replace("...", "_to_"):
        assert (value_of(one) == value_of(other)) == (one == other) or one.lower() == other.lower()


def test_labels_keep_names_that_are_legal() -> None:
    assert sanitised({"tenant": "acme_1-x"})["tenant"] == "acme_1-x"


def test_temporary_functions_stand_before_the_insert_that_fills_a_staging_table() -> None:
    functions = "CREATE TEMP FUNCTION doubled(x NUMERIC)\n AS (x * 2);"
    assert insert_of(f"{functions}\nSELECT doubled(1) AS a;", "`s.t`", "`a`") == (
        f"\n{functions}INSERT INTO `s.t` (`a`) SELECT `a` FROM (\nSELECT doubled(1) AS a\n)"
    )
    assert (
        insert_of("SELECT ';' AS a", "`s.t`", "`a`") == "INSERT INTO `s.t` (`a`) SELECT `a` FROM (\nSELECT ';' AS a\n)"
    )
