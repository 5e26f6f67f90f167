"""The kinds of alerts: one table of what each says, how severe it is, and which section of the runbook it names."""

from dataclasses import dataclass

from convergence_assets.alerting.alert import Alert, Kind, Severity


@dataclass(frozen=True)
class AlertKind:
    """What all alerts of a kind say; `{…}` are filled in by `alert`. `severity` is that of most of them.

    `runbook` is the anchor of a section of docs/RUNBOOK.md; where it is `{anchor}`, the cause has one of its own.
    """

    kind: Kind
    severity: Severity
    runbook: str
    title: str
    done: str
    next_step: str

    def alert(
        self,
        happened: str,
        cause: str,
        *,
        severity: Severity | None = None,
        tenant_id: str | None = None,
        pipeline: str | None = None,
        partition: str | None = None,
        table: str | None = None,
        run_id: str | None = None,
        **words: str,
    ) -> Alert:
        """An alert of this kind; `words` are what its texts name besides these arguments."""
        named = {"tenant_id": tenant_id, "pipeline": pipeline, "partition": partition, "table": table, "cause": cause}
        values = named | words
        return Alert(
            kind=self.kind,
            severity=severity or self.severity,
            title=self.title.format(**values),
            happened=happened,
            done=self.done.format(**values),
            next_step=self.next_step.format(**values),
            runbook=self.runbook.format(**values),
            tenant_id=tenant_id,
            pipeline=pipeline,
            partition=partition,
            table=table,
            run_id=run_id,
            cause=cause,
        )


_KEPT = "What was published before stays; what reads it does not run; "
_READ_EXAMPLES = "Read the examples; correct the source, or the threshold in the tenant's file; run it again."
_NOTHING_RUNS = "Nothing is requested, watched or followed meanwhile; runs that were launched go on."

RUN_FAILED = AlertKind(
    "run_failed", "critical", "{anchor}",
    title="A run of {pipeline} failed ({cause})",
    done="{done}",
    next_step="{remedy}",
)  # fmt: skip
RUN_INTERRUPTED = AlertKind(
    "run_canceled", "warning", "run-canceled",
    title="Runs of {pipeline} are interrupted again and again",
    done="{done}",
    next_step="Look why its machine or pod is ended: drained nodes, preemption, memory.",
)  # fmt: skip
RUN_CANCELED = AlertKind(
    "run_canceled", "info", "run-canceled",
    title="A run of {pipeline} was canceled",
    done="Its warehouse jobs were cancelled. What was published before stays.",
    next_step="Nothing, if that was meant; else run the partition again.",
)  # fmt: skip
RUN_STUCK = AlertKind(
    "run_stuck", "critical", "{anchor}",
    title="A run of {pipeline} is stuck ({kind})",
    done="It is being ended; its log tells each step.",
    next_step="Look whether the partition arrives by its next run; if it gets stuck again, find what the run waits "
    "for.",
)  # fmt: skip
RUN_ENDED_BY_HAND = AlertKind(
    "run_stuck", "info", "{anchor}",
    title="A run of {pipeline} was ended by hand",
    done=RUN_STUCK.done,
    next_step=RUN_STUCK.next_step,
)  # fmt: skip
QUALITY_FAILED = AlertKind(
    "quality_failed", "critical", "quality-failed",
    title="{table} was not published: {checks}",
    done=_KEPT + "the staged rows are kept 7 days.",
    next_step=_READ_EXAMPLES,
)  # fmt: skip
QUALITY_DEGRADED = AlertKind(
    "quality_degraded", "warning", "quality-degraded",
    title="{table} was published with a warning: {checks}",
    done="The partition was published.",
    next_step=_READ_EXAMPLES,
)  # fmt: skip
NO_DATA = AlertKind(
    "no_data", "critical", "no-data",
    title="{table} has no rows yet for {partition}",
    done=_KEPT + "the planner requests the day again.",
    next_step="See that the source is delivered there; a table that may be empty says so by `when_empty`.",
)  # fmt: skip
PARTITION_LATE = AlertKind(
    "partition_late", "critical", "partition-late",
    title="{days_are} late",
    done="The planner goes on requesting what can be requested.",
    next_step="`convergence schedule {tenant_id}` says of each day why it is not there.",
)  # fmt: skip
LATE_DATA_UNASKED = AlertKind(
    "late_data_unasked", "warning", "late-data-not-asked",
    title="The sources of {table} cannot be asked for late data ({cause})",
    done="What is published stays; it is asked again after the schedule's next tick.",
    next_step="{remedy} Corrections that came for these days are not in them until then.",
)  # fmt: skip
CONFIG_REJECTED = AlertKind(
    "config_rejected", "critical", "config-rejected",
    title="The files of {tenant_id} are rejected",
    done="{served}",
    next_step="Correct the file (`convergence validate` lists every mistake), then reload the code location in the "
    "Dagster UI (Deployment) or restart its server.",
)  # fmt: skip
SHARES_WRONG = AlertKind(
    "shares_wrong", "critical", "shares-wrong",
    title="The parts of {table} {are_wrong}",
    done="Nothing is stopped: each tenant's runs go on with its part.",
    next_step="`convergence shares` counts it by tenant; compare `shared_sources` in tenants/_defaults.yaml.",
)  # fmt: skip
LEDGER_LAG = AlertKind(
    "ledger_lag", "warning", "ledger-lag",
    title="The run ledger is more than {span} behind",
    done="Runs go on; nothing is lost, rows wait in the control store.",
    next_step="`convergence ledger status` says what fails; look at the warehouse, and at the sensor `ledger`.",
)  # fmt: skip
WAREHOUSE_UNAVAILABLE = AlertKind(
    "warehouse_unavailable", "critical", "warehouse-unavailable",
    title="The warehouse fails several tenants ({table})",
    done="Their runs are requested again, later each time; their own alerts wait.",
    next_step="Look at the warehouse's status page, network and quotas.",
)  # fmt: skip
QUOTA_NEAR = AlertKind(
    "quota_near", "warning", "quota-near-its-limit",
    title="BigQuery refuses statements for a quota",
    done="It was sent again with growing waits; the step or its day is tried again.",
    next_step="Hold back backfills and what can wait; look at the project's quotas, ask Google for more.",
)  # fmt: skip
DAEMON_DEAD = AlertKind(
    "daemon_dead", "critical", "daemon-dead",
    title="The Dagster daemon does not work",
    done=_NOTHING_RUNS,
    next_step="Read its log's end; start it again: `dagster-daemon run -w workspace.yaml`, with its DAGSTER_HOME.",
)  # fmt: skip
LOCATION_DEAD = AlertKind(
    "location_dead", "critical", "code-location-dead",
    title="The code location does not work",
    done=_NOTHING_RUNS,
    next_step="Reload it in the Dagster UI (Deployment, Reload), or start its server again.",
)  # fmt: skip
AUTOMATION_FAILING = AlertKind(
    "automation_failing", "critical", "automation-failing",
    title="The {what} {table} does not work",
    done="Nothing: it goes on as soon as it can.",
    next_step="Read its last ticks in the Dagster UI (Automation); `convergence status` shows what works.",
)  # fmt: skip
DELIVERY_FAILING = AlertKind(
    "delivery_failing", "critical", "alerts-are-not-delivered",
    title="Alerts to {table} are not delivered",
    done="It is tried again every ten minutes, and nothing is dropped.",
    next_step="Correct the route or its secret, then convergence alerts test {owner}",
)  # fmt: skip

ALL = tuple(value for value in vars().values() if isinstance(value, AlertKind))
