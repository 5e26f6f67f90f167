"""A cap on what all statements of a process are billed for together."""

import pytest

from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse
from convergence_assets.warehouse.bigquery.spending import Spending, limited
from convergence_assets.warehouse.errors import AccessDenied, BytesCapExceeded
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query
from tests.warehouse.bigquery.fake_bigquery import FakeBigQuery, Refusal

BILLED = 10 * 2**20
"""Of each statement, by the server of these tests."""
JOB = Job("run-1", {"tenant": "acme"}, timeout_seconds=600, maximum_bytes_billed=10**9)
ONE = Query("SELECT 1 AS one")


def caps(fake: FakeBigQuery) -> list[int]:
    return [int(body["configuration"]["query"]["maximumBytesBilled"]) for body in fake.inserted]


def test_a_statement_may_be_billed_for_what_is_left_and_none_is_sent_when_nothing_is(fake: FakeBigQuery) -> None:
    with limited(Spending(BILLED * 2 + 5)) as spending:
        for _ in range(3):  # each in a warehouse of its own, as the steps of a run
            with BigQueryWarehouse(fake.client()) as warehouse:
                warehouse.read(ONE, JOB)
        assert caps(fake) == [BILLED * 2 + 5, BILLED + 5, 5]
        with BigQueryWarehouse(fake.client()) as warehouse, pytest.raises(BytesCapExceeded, match="31,457,280 bytes"):
            warehouse.read(ONE, JOB)
        assert len(fake.inserted) == 3
    assert spending.billed == BILLED * 3
    with BigQueryWarehouse(fake.client()) as warehouse:
        warehouse.read(ONE, JOB)
    assert caps(fake)[-1] == 10**9, "without a limit the job's own cap holds"


def test_a_statement_that_failed_counts_once(fake: FakeBigQuery) -> None:
    fake.job_errors = [Refusal(403, "accessDenied")]
    with limited(Spending(10**9)) as spending, BigQueryWarehouse(fake.client()) as warehouse:
        with pytest.raises(AccessDenied):
            warehouse.read(ONE, JOB)
        assert spending.billed == BILLED


def test_a_statement_whose_worker_is_ended_counts_once(fake: FakeBigQuery) -> None:
    class Ended(BaseException):
        pass

    def end() -> None:
        raise Ended

    with limited(Spending(10**9, sent=end)) as spending, BigQueryWarehouse(fake.client()) as warehouse:
        with pytest.raises(Ended):
            warehouse.read(ONE, JOB)
        assert spending.billed == BILLED


def test_each_attempt_of_a_statement_that_is_sent_again_counts(
    fake: FakeBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convergence_assets.warehouse.bigquery.jobs.time.sleep", lambda seconds: None)
    fake.job_errors = [Refusal(503, "backendError")]
    with limited(Spending(10**9)) as spending, BigQueryWarehouse(fake.client()) as warehouse:
        warehouse.read(ONE, JOB)
    assert spending.billed == BILLED * len(fake.inserted) == BILLED * 2
