"""`convergence schedule`, `pause` and `resume`: what is due, published, and why a day is not requested."""

import getpass
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from convergence_assets.cli.instance import read_automation
from convergence_assets.cli.lookup import pipeline_of, tenant_of
from convergence_assets.cli.tables import print_table, prose
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    from collections.abc import Callable

    from convergence_assets.alerting.alert import Alert
    from convergence_assets.scheduling.explain import Explained
    from convergence_assets.scheduling.targets import Target

_SHOWN_DAYS = 5


def schedule(
    tenant: Annotated[str | None, typer.Argument(help="Tenant id; default: all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a pipeline")] = False,
) -> None:
    """What is published and due of every pipeline, and why a day is not requested.

    Example: convergence schedule acme
    """
    from convergence_assets.control.store import ControlStore
    from convergence_assets.scheduling.explain import explain
    from convergence_assets.scheduling.targets import targets_of

    settings = Settings.from_env()
    registry = load_tenants(settings)
    if tenant is not None:
        tenant_of(registry, tenant)
    table = Table("tenant", "pipeline", "last published", "next due", "missed", prose("outstanding"))
    is_off, dead = schedules_and_daemons(settings)
    for explained in explain(ControlStore.open(settings), targets_of(registry.tenants.values()), tenant, is_off):
        if as_json:
            typer.echo(json.dumps(_as_json(explained)))
            continue
        table.add_row(
            explained.tenant_id,
            explained.pipeline,
            str(explained.last_published or "never"),
            f"{explained.next_due} (at {explained.next_due_at:%m-%dT%H:%MZ})",
            str(explained.missed or ""),
            _reasons(explained),
        )
    if not as_json:
        print_table(table)
        print_dead_daemons(dead)


def schedules_and_daemons(settings: Settings) -> "tuple[Callable[[Target], bool], list[Alert]]":
    """Whether a pipeline's schedule is switched off, and the daemons that are dead."""
    from convergence_assets.monitoring.automation import dead_daemons
    from convergence_assets.scheduling.switched_off import switched_off

    return read_automation(
        settings, lambda recorded: (switched_off(recorded), [*dead_daemons(recorded, datetime.now(UTC))])
    )


def print_dead_daemons(dead: "list[Alert]") -> None:
    """On stderr, why nothing is requested."""
    for alert in dead:
        typer.echo(f"the Dagster daemon does not run, so nothing is requested: {alert.happened}", err=True)


def pause(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str | None, typer.Argument(help="Pipeline name; default: all of the tenant's")] = None,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it next")] = "no reason given",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Request no day of a pipeline, or of any of a tenant's, until `resume`; what runs already goes on.

    Example: convergence pause acme gcp_billing --reason "export is being moved"
    """
    from convergence_assets.control.partition_states import Pauses
    from convergence_assets.control.store import ControlStore

    settings = _checked(tenant, pipeline)
    Pauses(ControlStore.open(settings)).pause(tenant, pipeline, getpass.getuser(), reason)
    if as_json:
        typer.echo(json.dumps({"tenant": tenant, "pipeline": pipeline, "paused": True, "reason": reason}))
        return
    typer.echo(f"paused: {_named(tenant, pipeline)}. Next: convergence resume {tenant}" + _word(pipeline))


def resume(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str | None, typer.Argument(help="Pipeline name, as it was paused")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Request the days of what was paused again; those that were missed are caught up, the newest first.

    Example: convergence resume acme gcp_billing
    """
    from convergence_assets.control.partition_states import Pauses
    from convergence_assets.control.store import ControlStore

    pauses = Pauses(ControlStore.open(_checked(tenant, pipeline)))
    resumed = pauses.resume(tenant, pipeline)
    others = [pause for (paused, _), pause in pauses.all().items() if paused == tenant]
    if as_json:
        still = [other.pipeline for other in others]
        typer.echo(json.dumps({"tenant": tenant, "pipeline": pipeline, "resumed": resumed, "still_paused": still}))
        raise typer.Exit(1 if others and not resumed else 0)
    if resumed:
        typer.echo(f"resumed: {_named(tenant, pipeline)}")
        return
    for other in others:
        typer.echo(f"still paused: {_named(tenant, other.pipeline)}: {other.reason}. Next: convergence resume {tenant}"
                   + _word(other.pipeline), err=True)  # fmt: skip
    if not others:
        typer.echo(f"{_named(tenant, pipeline)} was not paused by the command (a tenant's file may say `paused: true`)")
    raise typer.Exit(1 if others else 0)


def _checked(tenant: str, pipeline: str | None) -> Settings:
    settings = Settings.from_env()
    loaded_tenant = tenant_of(load_tenants(settings), tenant)
    if pipeline is not None:
        pipeline_of(loaded_tenant, pipeline)
    return settings


def _named(tenant: str, pipeline: str | None) -> str:
    return f"tenant {tenant}, " + (f"pipeline {pipeline}" if pipeline else "all pipelines")


def _word(pipeline: str | None) -> str:
    return f" {pipeline}" if pipeline else ""


def _reasons(explained: "Explained") -> str:
    lines = [explained.paused] if explained.paused else []
    if explained.missed and not explained.paused:
        lines.append(f"{explained.missed} missed: {explained.missed_because}")
    for row in explained.days[-_SHOWN_DAYS:]:
        again = f", again at {row.wake_at:%Y-%m-%dT%H:%MZ}" if row.wake_at and row.attempts else ""
        lines.append(f"{row.day} {row.state}: {row.reason}{again}")
    if any(row.state == "gave_up" for row in explained.days):
        days = [row.day for row in explained.days if row.state == "gave_up"]
        lines.append(
            f"Next: correct the cause, then convergence backfill {explained.tenant_id} {explained.pipeline} "
            f"--from {min(days)} --to {max(days)}"
        )
    if len(explained.days) > _SHOWN_DAYS:
        lines.append(f"and {len(explained.days) - _SHOWN_DAYS} older")
    return "\n".join(lines)


def _as_json(explained: "Explained") -> dict[str, object]:
    return {
        "tenant": explained.tenant_id,
        "pipeline": explained.pipeline,
        "last_published": explained.last_published and explained.last_published.isoformat(),
        "due_through": explained.due_through.isoformat(),
        "next_due": explained.next_due.isoformat(),
        "next_due_at": explained.next_due_at.isoformat(),
        "paused": explained.paused,
        "missed": explained.missed,
        "missed_because": explained.missed_because,
        "outstanding": [
            {
                "day": row.day.isoformat(), "state": row.state, "reason": row.reason, "attempts": row.attempts,
                "again_at": row.wake_at and row.wake_at.isoformat(),
            }
            for row in explained.days
        ],
    }  # fmt: skip
