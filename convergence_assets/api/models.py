"""What the tenant's routes answer with. Moments are UTC, partitions days of the tenant's timezone."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from convergence_assets.control.runs import IndexedRun, RunStatus

_RUN = {
    "run_id": "5d7d4b1f-5d0c-4f1c-9a39-0f6f4a9f6a10",
    "pipeline_id": "gcp_billing",
    "status": "succeeded",
    "trigger": "schedule",
    "triggered_by": "at_0_6_x_x_x_in_Europe_Berlin",
    "partition_start": "2026-10-01",
    "partition_end": "2026-10-01",
    "attempt": 1,
    "created_at": "2026-10-02T04:00:00Z",
    "started_at": "2026-10-02T04:00:01Z",
    "ended_at": "2026-10-02T04:00:09Z",
    "duration_ms": 8000,
    "rows_published": 2000,
    "bytes_billed": 10485760,
    "error": None,
    "stuck_reason": None,
}
_PIPELINE = {
    "pipeline_id": "gcp_billing",
    "description": "Daily cost by service",
    "schedule": "0 6 * * *",
    "timezone": "Europe/Berlin",
    "paused": None,
    "tables": ["daily_cost"],
    "versions": {"daily_cost": 1},
    "start_date": "2026-01-01",
    "last_published": "2026-10-01",
    "due_through": "2026-10-01",
    "behind_days": 0,
    "next_due_at": "2026-10-03T04:00:00Z",
    "last_run": _RUN,
}


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class RunError(BaseModel):
    """Why a run or step failed."""

    error_class: str = Field(description="A stable name, e.g. access_denied or quality_failed")
    message: str = Field(description="What happened, in the run's own words")
    remedy: str = Field(description="What to do about it")


class Execution(BaseModel):
    """A run of one pipeline."""

    model_config = _example(**_RUN)

    run_id: str
    pipeline_id: str
    status: RunStatus
    trigger: str = Field(description="schedule, manual, api, backfill, catch_up or retry")
    triggered_by: str | None
    partition_start: date | None = Field(description="The first day that the run is over")
    partition_end: date | None = Field(description="The last one")
    attempt: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    rows_published: int
    bytes_billed: int
    error: RunError | None
    stuck_reason: str | None = Field(description="Why the run was found stuck, where it was")

    @classmethod
    def of(cls, run: IndexedRun, error: RunError | None) -> Self:
        took = run.ended_at - run.started_at if run.ended_at and run.started_at else None
        return cls(
            run_id=run.run_id,
            pipeline_id=run.pipeline,
            status=run.status,
            trigger=run.trigger,
            triggered_by=run.triggered_by,
            partition_start=run.first,
            partition_end=run.last,
            attempt=run.attempt,
            created_at=run.created_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
            duration_ms=round(took.total_seconds() * 1000) if took else None,
            rows_published=run.rows_published,
            bytes_billed=run.bytes_billed,
            error=error,
            stuck_reason=run.stuck_reason,
        )


class Executions(BaseModel):
    """Runs, the newest first."""

    model_config = _example(executions=[_RUN], next_cursor=None)

    executions: list[Execution]
    next_cursor: str | None = Field(description="Ask with `cursor=` for what follows; null at the end")


class Step(BaseModel):
    """What a run did for one table."""

    model_config = _example(
        pipeline_id="gcp_billing", table="daily_cost", status="succeeded", attempts=1,
        started_at="2026-10-02T04:00:01Z", ended_at="2026-10-02T04:00:09Z", duration_ms=8000,
        partitions_published=["2026-10-01"], rows_published=2000, bytes_billed=10485760, error=None,
    )  # fmt: skip

    pipeline_id: str
    table: str
    status: Literal["waiting", "running", "succeeded", "failed", "skipped"]
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    partitions_published: list[str]
    rows_published: int
    bytes_billed: int
    error: RunError | None


class Check(BaseModel):
    """What one check found."""

    model_config = _example(
        pipeline_id="gcp_billing", table="daily_cost", check="cost_is_possible", severity="critical", passed=True,
        column="cost", unexpected_count=0, failed_partitions=[],
    )  # fmt: skip

    pipeline_id: str
    table: str
    check: str
    severity: str
    passed: bool
    column: str | None
    unexpected_count: int | None
    failed_partitions: list[str]


class ExecutionDetail(Execution):
    """A run with its steps and checks."""

    model_config = _example(**_RUN, steps=[], checks=[], complete=True)

    steps: list[Step]
    checks: list[Check]
    complete: bool = Field(
        description="False where Dagster does not have the run's events any more, or they are too many"
    )


class PipelineState(BaseModel):
    """A pipeline as it is now."""

    model_config = _example(**_PIPELINE)

    pipeline_id: str
    description: str
    schedule: str = Field(description="Cron, in the timezone")
    timezone: str
    paused: str | None = Field(description="Who paused it and why; null where it is not paused")
    tables: list[str]
    versions: dict[str, int] = Field(
        description="By table the number of the version that is read; not of tables without a published day"
    )
    start_date: date
    last_published: date | None = Field(description="The last day of which every table is published")
    due_through: date = Field(description="The last day that is due")
    behind_days: int = Field(description="Days from the last published to the last due one; 0: up to date")
    next_due_at: datetime
    last_run: Execution | None


class Pipelines(BaseModel):
    """A tenant's pipelines."""

    model_config = _example(pipelines=[_PIPELINE])

    pipelines: list[PipelineState]


class WantedRun(BaseModel):
    """Which days to make: one partition, or a range."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [
        {"partition": "2026-10-01"}, {"first": "2026-10-01", "last": "2026-10-07"}
    ]})  # fmt: skip

    partition: date | None = Field(None, description="One day")
    first: date | None = Field(None, description="The first day of a range")
    last: date | None = Field(None, description="Its last day")

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        one, both = self.partition is not None, self.first is not None and self.last is not None
        neither = self.first is None and self.last is None
        if not (one and neither) and not (both and not one):
            raise ValueError("say `partition`, or `first` and `last`")
        if self.first and self.last and self.last < self.first:
            raise ValueError("`last` is before `first`")
        return self

    @property
    def days(self) -> tuple[date, date]:
        if self.partition is not None:
            return self.partition, self.partition
        assert self.first
        assert self.last
        return self.first, self.last


class RunOfRequest(BaseModel):
    """A run that was made for a request."""

    run_id: str
    status: RunStatus
    partition: str | None


class WaitingDay(BaseModel):
    """A requested day that is not published yet."""

    partition: date
    state: str = Field(description="waiting (for what it reads), due, requested or gave_up")
    reason: str


class RunRequest(BaseModel):
    """Requested days. Runs are made by the platform's planner, within half a minute while there is room in
    the plan."""

    model_config = _example(
        request_id="req_1f0c8d2b9e3a4c5d", pipeline_id="gcp_billing", partition_start="2026-10-01",
        partition_end="2026-10-01", asked_at="2026-10-02T09:00:00Z", retry_of=None, state="running",
        run_id="5d7d4b1f-5d0c-4f1c-9a39-0f6f4a9f6a10",
        runs=[{"run_id": "5d7d4b1f-5d0c-4f1c-9a39-0f6f4a9f6a10", "status": "running", "partition": "2026-10-01"}],
        waiting=[],
    )  # fmt: skip

    request_id: str
    pipeline_id: str
    partition_start: date
    partition_end: date
    asked_at: datetime
    retry_of: str | None = Field(description="The run that is repeated")
    state: Literal["waiting", "running", "done"]
    run_id: str | None = Field(description="The newest run that was made for it; null until there is one")
    runs: list[RunOfRequest]
    waiting: list[WaitingDay]


class Cancelled(BaseModel):
    """What was done to end a run."""

    model_config = _example(
        run_id="5d7d4b1f-5d0c-4f1c-9a39-0f6f4a9f6a10", status="canceling", done="its process was asked to end"
    )

    run_id: str
    status: str = Field(description="canceling, or how the run has ended")
    done: str


ExecutionCursor = Annotated[str | None, Field(max_length=200)]
