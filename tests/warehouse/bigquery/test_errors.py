"""Every documented error reason ends in its class, sent again as often as that class asks for."""

import time

import pytest

from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse
from convergence_assets.warehouse.bigquery.classify import classified
from convergence_assets.warehouse.errors import (
    ERROR_CLASSES,
    AccessDenied,
    BytesCapExceeded,
    InvalidQuery,
    JobCancelled,
    JobTimeout,
    NotFound,
    PartitionConflict,
    QuotaExceeded,
    RateLimited,
    ResourcesExceeded,
    SchemaMismatch,
    WarehouseError,
    WarehouseUnavailable,
)
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query
from tests.warehouse.bigquery.fake_bigquery import FakeBigQuery, Refusal

ONE = Query("SELECT 1 AS one")
JOB = Job("run-1", {"tenant": "acme"}, timeout_seconds=60)

# https://cloud.google.com/bigquery/docs/error-messages
PERMANENT = [
    (
        Refusal(403, "accessDenied", "Access Denied: Project p: User does not have bigquery.jobs.create permission"),
        AccessDenied,
    ),
    (Refusal(403, "billingNotEnabled"), AccessDenied),
    (Refusal(401, "authError"), AccessDenied),
    (Refusal(404, "notFound", "Not found: Dataset p:d was not found in location EU"), NotFound),
    (Refusal(400, "invalidQuery", "Syntax error: Unexpected keyword FROM at [2:7]"), InvalidQuery),
    (Refusal(400, "invalid", "Invalid value"), InvalidQuery),
    (Refusal(400, "invalid", "Provided Schema does not match Table p:d.t. Field a has changed type"), SchemaMismatch),
    (Refusal(400, "invalidQuery", "Required field day cannot be null"), SchemaMismatch),
    (Refusal(400, "bytesBilledLimitExceeded", "Query exceeded limit for bytes billed: 1"), BytesCapExceeded),
    (Refusal(400, "resourcesExceeded"), ResourcesExceeded),
    (Refusal(403, "responseTooLarge"), ResourcesExceeded),
    (Refusal(499, "stopped", "Job execution was cancelled: User requested cancellation"), JobCancelled),
]
PASSING = [
    (Refusal(403, "quotaExceeded", "Exceeded quota for concurrent queries"), QuotaExceeded),
    (Refusal(403, "rateLimitExceeded"), RateLimited),
    (Refusal(429, "jobRateLimitExceeded"), RateLimited),
    (Refusal(503, "backendError"), WarehouseUnavailable),
    (Refusal(500, "internalError"), WarehouseUnavailable),
    (Refusal(502, ""), WarehouseUnavailable),
    (Refusal(400, "resourceInUse"), PartitionConflict),
    (Refusal(400, "invalidQuery", "Could not serialize access to table p:d.t due to concurrent update"), PartitionConflict),
]  # fmt: skip


def ids(cases: list[tuple[Refusal, type[WarehouseError]]]) -> list[str]:
    return [f"{r.status}-{r.reason or 'none'}-{kind.error_class}" for r, kind in cases]


def warehouse(fake: FakeBigQuery, budget: float = 30.0) -> BigQueryWarehouse:
    return BigQueryWarehouse(fake.client(), principal="robot@p.iam", budget_seconds=budget)


@pytest.mark.parametrize(("refusal", "kind"), PERMANENT, ids=ids(PERMANENT))
def test_a_permanent_refusal_is_sent_once_and_raised_as_its_class(
    fake: FakeBigQuery, refusal: Refusal, kind: type[WarehouseError]
) -> None:
    fake.refusals = [refusal]
    with warehouse(fake) as opened, pytest.raises(kind) as caught:
        opened.read(ONE, JOB)
    assert type(caught.value) is kind
    assert not caught.value.retryable
    assert caught.value.remedy
    assert len(fake.inserted) == 1


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts are a fiftieth of what they are."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 50))


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(("refusal", "kind"), PASSING, ids=ids(PASSING))
def test_a_passing_refusal_is_sent_again_under_the_same_id_until_it_passes(
    fake: FakeBigQuery, refusal: Refusal, kind: type[WarehouseError]
) -> None:
    assert type(classified_by(refusal)) is kind
    fake.refusals = [refusal, refusal]
    with warehouse(fake) as opened:
        opened.read(ONE, JOB)
    assert len(fake.inserted) == 3
    assert len({body["jobReference"]["jobId"] for body in fake.inserted}) == 1


@pytest.mark.parametrize(("refusal", "kind"), PASSING[:1] + PASSING[3:4], ids=ids(PASSING[:1] + PASSING[3:4]))
def test_a_refusal_that_stays_is_raised_when_the_budget_is_used_up(
    fake: FakeBigQuery, refusal: Refusal, kind: type[WarehouseError]
) -> None:
    fake.refusals = [refusal] * 100
    with warehouse(fake, budget=1.5) as opened, pytest.raises(kind) as caught:
        opened.read(ONE, JOB)
    assert caught.value.retryable
    assert 2 <= len(fake.inserted) < 20


@pytest.mark.parametrize(("error", "kind"), PERMANENT[4:9], ids=ids(PERMANENT[4:9]))
def test_a_job_that_fails_for_good_is_not_followed_by_another(
    fake: FakeBigQuery, error: Refusal, kind: type[WarehouseError]
) -> None:
    fake.job_errors = [error]
    with warehouse(fake) as opened, pytest.raises(kind):
        opened.read(ONE, JOB)
    assert len(fake.inserted) == 1


@pytest.mark.usefixtures("short_waits")
def test_a_job_that_fails_in_passing_is_followed_by_the_next_attempt(fake: FakeBigQuery) -> None:
    fake.job_errors = [Refusal(503, "backendError"), Refusal(403, "rateLimitExceeded")]
    with warehouse(fake) as opened:
        opened.read(ONE, JOB)
    attempts = [body["jobReference"]["jobId"].rsplit("_", 1) for body in fake.inserted]
    assert len({name for name, _ in attempts}) == 1
    assert [number for _, number in attempts] == ["1", "2", "3"]


def test_a_job_that_ran_into_its_time_limit_is_a_timeout_and_is_not_sent_again(fake: FakeBigQuery) -> None:
    fake.job_errors = [Refusal(400, "stopped", "Job execution was cancelled: Job timed out after 60s")]
    with warehouse(fake) as opened, pytest.raises(JobTimeout):
        opened.read(ONE, JOB)
    assert len(fake.inserted) == 1


def test_a_denied_access_names_the_permission_and_who_asked(fake: FakeBigQuery) -> None:
    fake.refusals = [PERMANENT[0][0]]
    with warehouse(fake) as opened, pytest.raises(AccessDenied, match=r"bigquery\.jobs\.create.*asked by robot@p\.iam"):
        opened.read(ONE, JOB)


def test_a_wrong_query_says_its_line_and_column_in_the_authors_text() -> None:
    error = classified_by(PERMANENT[4][0])
    assert isinstance(error, InvalidQuery)
    assert (error.line, error.column) == (2, 7)


def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    dead = FakeBigQuery(url="http://127.0.0.1:9")
    with warehouse(dead, budget=1.0) as opened, pytest.raises(WarehouseUnavailable):
        opened.read(ONE, JOB)


def test_every_class_has_a_name_a_remedy_and_a_place_in_the_table() -> None:
    everything: list[type[WarehouseError]] = [WarehouseError, *WarehouseError.__subclasses__()]
    assert sorted(ERROR_CLASSES) == sorted(kind.error_class for kind in everything)
    assert all(kind.remedy.endswith((".", ")")) for kind in everything)


def classified_by(refusal: Refusal) -> WarehouseError:
    from google.api_core.exceptions import from_http_status

    details = [{"reason": refusal.reason, "message": refusal.message}]
    error = from_http_status(refusal.status, refusal.message, errors=details)  # type: ignore[no-untyped-call]
    return classified(error, "SELECT\n  one FROM")
