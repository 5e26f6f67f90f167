"""Every job that this platform sends to BigQuery goes through here: ids, attaching, retries, waiting, cancelling."""

import functools
import hashlib
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.bigquery.classify import classified
from convergence_assets.warehouse.bigquery.job_owner import is_gone
from convergence_assets.warehouse.bigquery.labels import MANAGED, value_of
from convergence_assets.warehouse.bigquery.spending import announce, record
from convergence_assets.warehouse.errors import JobTimeout, WarehouseError
from convergence_assets.warehouse.interface import WAITS_EVERY_SECONDS, Job, RunningJob, Statement, Waits, silent

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud import bigquery

RETRY_BUDGET_SECONDS = 300.0
REQUEST_TIMEOUT_SECONDS = 60.0
CANCEL_TIMEOUT_SECONDS = 5.0
CANCEL_BUDGET_SECONDS = 10.0
ATTEMPTS = 5
_ID_PREFIX = "convergence"


@dataclass(frozen=True)
class Request:
    """One job to send: `submit(job_id, retry)` sends it once and gives the client's job.

    Requests of equal `identity` within a run and its automatic retries are one job.
    `lines_before` counts the lines that the adapter put before the author's `sql`.
    """

    kind: str
    submit: Callable[[str, "Retry"], Any]
    identity: tuple[str, ...]
    sql: str = ""
    lines_before: int = 0


@dataclass
class _Sent:
    request: Request
    job: Any
    attempt: int
    attached: bool
    recorded: bool = False

    def record(self) -> None:
        """Count once what the job was billed, when it has ended."""
        if not self.recorded:
            record(self.job)
            self.recorded = True


@dataclass
class Jobs:
    """The jobs of one client.

    A request that the network or a rate limit refused is sent again with growing, jittered waits for
    `budget_seconds`; its id makes a double harmless. A job that itself failed for a passing reason is followed by a
    next attempt under a new id. Any `BaseException` while a job runs (SIGTERM through Dagster among them) cancels it.
    """

    client: "bigquery.Client"
    location: str | None = None
    principal: str | None = None
    budget_seconds: float = RETRY_BUDGET_SECONDS
    waits: Waits = silent
    finished: list[Statement] = field(default_factory=list)

    def run(self, request: Request, job: Job) -> Any:
        """Send one job, wait for it, and give it finished; raises `WarehouseError`."""
        return self.run_all([request], job)[0]

    def run_all(self, requests: Sequence[Request], job: Job) -> list[Any]:
        """Send jobs side by side and wait for all; when one fails those still running are cancelled."""
        deadline = time.monotonic() + job.timeout_seconds
        sent: list[_Sent] = []
        try:
            for request in requests:
                sent.append(self._send(request, job, 1))
                announce()
            return [self._wait(one, job, deadline) for one in sent]
        except BaseException:
            for one in sent:
                if one.job.state == "DONE":
                    one.record()
            self._cancel_all([one.job.job_id for one in sent if one.job.state != "DONE"])
            raise

    def call(self, what: Callable[["Retry"], Any], sql: str = "") -> Any:
        """Any call that is not a job, with the same retries and errors."""
        try:
            return what(self._retry())
        except Exception as error:
            raise classified(error, sql, principal=self.principal) from error

    def running(self, project: str | None, *, all_users: bool = True) -> tuple[RunningJob, ...]:
        """Jobs of this platform in a project that are pending or running now, of every account or of this one."""
        jobs = []
        for state in ("running", "pending"):
            listed = functools.partial(self.client.list_jobs, project, state_filter=state, all_users=all_users)
            jobs += [
                RunningJob(job.job_id, dict(job.labels), job.started, job.location, is_gone(job.labels))
                for job in self.call(lambda retry, listed=listed: list(listed(retry=retry)))  # type: ignore[misc]
                if job.labels.get("managed_by") == MANAGED["managed_by"]
            ]
        return tuple(jobs)

    def cancel(self, jobs: Sequence[RunningJob], project: str | None) -> None:
        """Ask for the end of each."""
        for job in jobs:
            cancel = functools.partial(self.client.cancel_job, job.job_id, project, location=job.location)
            self.call(lambda retry, cancel=cancel: cancel(retry=retry, timeout=REQUEST_TIMEOUT_SECONDS))  # type: ignore[misc]

    def _send(self, request: Request, job: Job, attempt: int) -> _Sent:
        from google.api_core.exceptions import Conflict

        while True:
            job_id = _job_id(request, job, attempt)
            try:
                return _Sent(request, request.submit(job_id, self._retry()), attempt, attached=False)
            except Conflict:
                fetch = functools.partial(self.client.get_job, job_id, location=self.location)
                there = self.call(lambda retry, fetch=fetch: fetch(retry=retry, timeout=REQUEST_TIMEOUT_SECONDS))  # type: ignore[misc]
                if not there.error_result:
                    return _Sent(request, there, attempt, attached=True)
                attempt += 1
            except Exception as error:
                raise self._classified(error, request) from error
            except BaseException:
                # The request may have reached the server before its answer reached us.
                self._cancel_all([job_id])
                raise

    def _wait(self, sent: _Sent, job: Job, deadline: float) -> Any:
        tries = 1
        while True:
            without_own_retry = {"job_retry": None} if sent.job.job_type == "query" else {}
            left = max(0.1, deadline - time.monotonic())
            try:
                sent.job.result(retry=self._retry(), timeout=min(left, WAITS_EVERY_SECONDS), **without_own_retry)
            except Exception as error:
                done = self._done(sent.job) if isinstance(error, TimeoutError) and left > WAITS_EVERY_SECONDS else None
                if done is not None:
                    if not done:
                        self.waits(sent.job.job_id)
                    continue
                if isinstance(error, TimeoutError) and time.monotonic() >= deadline:
                    raise JobTimeout(
                        f"the statement ran longer than {job.timeout_seconds:.0f} s and was cancelled "
                        f"(job {sent.job.job_id})"
                    ) from None
                failure = self._classified(error, sent.request)
                ended = sent.job.state == "DONE" and sent.job.error_result
                if ended:
                    sent.record()
                # Only a job that has ended is followed by another: one that cannot be reached may still write.
                if not (ended and failure.retryable and not isinstance(failure, JobTimeout) and tries < ATTEMPTS):
                    raise failure from error
                time.sleep(min(30.0, 2.0**tries) * random.uniform(0.5, 1.0))
                again = self._send(sent.request, job, sent.attempt + 1)
                sent.job, sent.attempt, sent.attached, sent.recorded = again.job, again.attempt, again.attached, False
                tries += 1
                continue
            sent.record()
            self.finished.append(_statement(sent))
            return sent.job

    def _done(self, job: Any) -> bool | None:
        """The warehouse's own status of a job; None where it does not answer."""
        try:
            return bool(job.done(retry=self._retry(), timeout=REQUEST_TIMEOUT_SECONDS))
        except Exception:
            return None

    def _retry(self) -> "Retry":
        from google.api_core.retry import Retry

        def passing(error: BaseException) -> bool:
            return isinstance(error, Exception) and _worth_sending_again(error)

        return Retry(predicate=passing, initial=0.5, maximum=20.0, multiplier=2.0, timeout=self.budget_seconds)

    def _classified(self, error: BaseException, request: Request) -> WarehouseError:
        return classified(error, request.sql, lines_before=request.lines_before, principal=self.principal)

    def _cancel_all(self, job_ids: Sequence[str]) -> None:
        """Ask until each has ended: a request that meets a job just being made may be lost."""
        end = time.monotonic() + CANCEL_BUDGET_SECONDS
        left = list(job_ids)
        while left and time.monotonic() < end:
            left = [job_id for job_id in left if not self._has_ended(job_id)]
            if left:
                time.sleep(0.3)

    def _has_ended(self, job_id: str) -> bool:
        from google.api_core.exceptions import NotFound

        options: dict[str, Any] = {"location": self.location, "retry": None, "timeout": CANCEL_TIMEOUT_SECONDS}
        try:
            self.client.cancel_job(job_id, **options)
            job = self.client.get_job(job_id, **options)
        except NotFound:
            return True
        except Exception:
            return False
        if job.state == "DONE":
            record(job)
        return bool(job.state == "DONE")


def _worth_sending_again(error: Exception) -> bool:
    from google.api_core.exceptions import Conflict

    failure = classified(error)
    return failure.retryable and not isinstance(error, Conflict) and not isinstance(failure, JobTimeout)


def _job_id(request: Request, job: Job, attempt: int) -> str:
    """Readable in the console, equal for equal work of one run, and legal: letters, digits, `_` and `-`."""
    digest = hashlib.sha256("\0".join((job.run_id, request.kind, *request.identity)).encode()).hexdigest()[:32]
    named = (value_of(job.labels[key]) for key in ("tenant", "asset", "partition") if job.labels.get(key))
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join((_ID_PREFIX, *named, request.kind)))
    return f"{readable}_{digest}_{attempt}"


def _statement(sent: _Sent) -> Statement:
    job = sent.job
    started, ended = job.started or job.created, job.ended
    return Statement(
        job_id=job.job_id,
        kind=sent.request.kind,
        seconds=(ended - started).total_seconds() if started and ended else 0.0,
        sql=sent.request.sql,
        link=(
            f"https://console.cloud.google.com/bigquery?project={job.project}"
            f"&j=bq:{job.location}:{job.job_id}&page=queryresults"
        ),
        bytes_processed=getattr(job, "total_bytes_processed", None),
        bytes_billed=getattr(job, "total_bytes_billed", None),
        slot_ms=getattr(job, "slot_millis", None),
        cache_hit=bool(getattr(job, "cache_hit", None)),
        attached=sent.attached,
    )
