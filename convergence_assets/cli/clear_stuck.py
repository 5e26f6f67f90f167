"""`convergence clear-stuck`: by hand what the sensor `stuck_runs` does, for one run or one pipeline."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import pipeline_named, run_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    import dagster as dg

    from convergence_assets.monitoring.monitor import Monitor
    from convergence_assets.monitoring.remediation import Case, Remediation
    from convergence_assets.monitoring.stuck import Stuck
    from convergence_assets.tenancy.tenant import StuckLimits

_LOOK_EVERY_SECONDS = 1.0


def clear_stuck(
    run_id: Annotated[str | None, typer.Option("--run-id", help="One run, by its id")] = None,
    pipeline_id: Annotated[
        str | None, typer.Option("--pipeline-id", metavar="[TENANT/]PIPELINE", help="The stuck runs of a pipeline")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also a run that is within its limits")] = False,
    request_again: Annotated[
        bool, typer.Option(help="Request the days of ended runs again, as often as the pipeline allows")
    ] = True,
    wait: Annotated[float, typer.Option(help="Seconds to see it through; the sensor goes on where it is left")] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a run")] = False,
) -> None:
    """End runs that are stuck: cancel their warehouse jobs, end their processes, release their locks, and request their
    days again.

    Exit code 1 where a run was left alone or is not over yet.

    Example: convergence clear-stuck --pipeline-id acme/gcp_billing --run-id 5f0c1a7e --dry-run
    """
    from convergence_assets.monitoring.monitor import Monitor
    from convergence_assets.monitoring.remediation import Remediation

    settings = Settings.from_env()
    with open_instance(settings) as instance:
        monitor = Monitor.of(load_tenants(settings), settings)
        if pipeline_id is not None:
            pipeline_named(monitor.registry, pipeline_id)
        stuck_runs = _stuck_runs(monitor, instance, run_id, pipeline_id)
        healthy = [stuck for stuck, _ in stuck_runs if stuck.kind == "by_hand" and not force]
        ending = [(stuck, limits) for stuck, limits in stuck_runs if stuck not in healthy]
        console = Console(soft_wrap=True, highlight=False)
        for stuck in healthy:
            _print_run(console, as_json, stuck, "left alone; --force ends it all the same")
        if dry_run or not ending:
            for stuck, _ in ending:
                _print_run(console, as_json, stuck, "would be ended")
            if not stuck_runs and not as_json:
                console.print("no run is stuck")
            raise typer.Exit(1 if healthy else 0)
        remediation = Remediation(instance, monitor.store, settings, monitor.tenants)
        cases = [remediation.begin(stuck, limits.request_again if request_again else 0) for stuck, limits in ending]
        open_ = _run_cases(console, as_json, remediation, cases, wait)
        for case in open_:
            console.print(f"run {case.run_id}: not over yet; the sensor stuck_runs goes on, or call this again")
    raise typer.Exit(1 if healthy or open_ else 0)


def _stuck_runs(
    monitor: "Monitor", instance: "dg.DagsterInstance", run_id: str | None, pipeline_id: str | None
) -> "list[tuple[Stuck, StuckLimits]]":
    if run_id is None:
        return [
            (stuck, limits)
            for stuck, limits in monitor.stuck(instance)
            if pipeline_id is None or _is_of(stuck, pipeline_id)
        ]
    full = run_of(instance, run_id)
    judged = monitor.judged(instance, full)
    if judged is None:
        run = instance.get_run_by_id(full)
        status = run.status.value if run else "unknown"
        raise typer.BadParameter(f"run {full} is over ({status}): there is nothing to end")
    if pipeline_id is not None and not _is_of(judged[0], pipeline_id):
        names = ", ".join(f"{p.tenant_id}/{p.pipeline}" for p in judged[0].activity.parts)
        raise typer.BadParameter(f"run {full} is of {names}, not of {pipeline_id}")
    return [judged]


def _is_of(stuck: "Stuck", pipeline_id: str) -> bool:
    tenant, _, pipeline = pipeline_id.rpartition("/")
    return any(p.pipeline == pipeline and tenant in ("", p.tenant_id) for p in stuck.activity.parts)


def _run_cases(
    console: Console, as_json: bool, remediation: "Remediation", cases: "list[Case]", wait: float
) -> "list[Case]":
    deadline = time.monotonic() + wait
    open_ = list(cases)
    while True:
        for case in list(open_):
            for step in remediation.run(case):
                console.print(json.dumps({"run_id": case.run_id, "done": step}) if as_json else step)
            if remediation.is_closed(case):
                open_.remove(case)
        if not open_ or time.monotonic() > deadline:
            return open_
        time.sleep(_LOOK_EVERY_SECONDS)


def _print_run(console: Console, as_json: bool, stuck: "Stuck", done: str) -> None:
    activity = stuck.activity
    names = ", ".join(f"{p.tenant_id}/{p.pipeline}" for p in activity.parts)
    days = ", ".join(p.partition or "no partition" for p in activity.parts)
    if as_json:
        fields = {"run_id": activity.run_id, "of": names, "partition": days, "kind": stuck.kind, "done": done}
        typer.echo(json.dumps(fields | {"status": activity.status, "since": stuck.since.isoformat()}))
    else:
        console.print(f"run {activity.run_id} ({names}, {days}, {activity.status}): {stuck.sentence}: {done}")
