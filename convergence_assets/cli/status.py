"""`convergence status`: what works, what is wrong, and how every pipeline is."""

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convergence_assets.cli.instance import read_automation
from convergence_assets.cli.ledger import NOT_BEGUN
from convergence_assets.cli.lookup import tenant_of
from convergence_assets.cli.tables import RUN_COLOURS, print_table
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    from convergence_assets.control.runs import IndexedRun
    from convergence_assets.control.store import ControlStore
    from convergence_assets.dagster_internals.automation_states import Recorded
    from convergence_assets.scheduling.explain import Explained
    from convergence_assets.tenancy.tenant import TenantRegistry


def status(
    tenant: Annotated[str | None, typer.Argument(help="Tenant id; default: all, and the platform itself")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Whether the platform works, open alerts, and of each pipeline its last run and last published day.

    Exit code 1 where the daemon or the code location is dead or a critical alert is open.

    Example: convergence status acme
    """
    from convergence_assets.control import incidents, runs
    from convergence_assets.control.store import ControlStore
    from convergence_assets.scheduling.explain import explain
    from convergence_assets.scheduling.targets import targets_of

    settings = Settings.from_env()
    registry = load_tenants(settings)
    if tenant is not None:
        tenant_of(registry, tenant)
    store = ControlStore.open(settings)
    platform = read_automation(settings, partial(_platform, settings, registry, store))
    explained = list(explain(store, targets_of(registry.tenants.values()), tenant))
    with store.read() as connection:
        open_ = [i for i in incidents.open_incidents(connection) if tenant in (None, i.tenant_id)]
        last = {(e.tenant_id, e.pipeline): runs.latest_run(connection, e.tenant_id, e.pipeline) for e in explained}
    stale = _stale(store, registry, {e.tenant_id for e in explained})
    waiting = _waiting(store, registry, tenant)
    alerts = Counter(i.severity for i in open_)
    if as_json:
        pipelines = [_as_json(e, last[e.tenant_id, e.pipeline], stale) for e in explained]
        typer.echo(
            json.dumps({"platform": platform, "open_alerts": dict(alerts), "pipelines": pipelines, "upgrades": waiting})
        )
    else:
        console = Console(soft_wrap=True, highlight=False)
        for name, text in platform.items():
            console.print(Text(f"{name}: "), Text(text, "red" if text.startswith("dead") else ""))
        shown = ", ".join(f"{n} {severity}" for severity, n in sorted(alerts.items())) or "none"
        console.print(f"open alerts: {shown}" + ("; `convergence alerts list` shows them" if alerts else ""))
        print_table(_table(explained, last, stale))
        for one in waiting:
            console.print(f"{one['description']}. Next: `{one['next']}`")
    dead = any(platform[part].startswith("dead") for part in ("daemon", "code location"))
    raise typer.Exit(1 if alerts["critical"] or dead else 0)


def _platform(
    settings: Settings, registry: "TenantRegistry", store: "ControlStore", recorded: "Recorded"
) -> dict[str, str]:
    from convergence_assets.ledger.write import lag
    from convergence_assets.monitoring.automation import dead_daemons, failing, silent_locations
    from convergence_assets.monitoring.code_servers import servers

    now = store.now()
    dead = list(dead_daemons(recorded, now))
    silent = [] if dead else list(silent_locations(recorded, servers(settings), now))
    broken = [alert.table or "" for alert in failing(recorded, now)]
    with store.read() as connection:
        ledger = lag(connection, now, registry.tenants)
    idle = "not running: they are the daemon's" if dead else None
    return {
        "warehouse": f"{settings.warehouse} ({settings.warehouse_reason})",
        "control store": store.shown,
        "daemon": f"dead: {dead[0].happened}" if dead else "alive",
        "code location": f"dead: {silent[0].happened}"
        if silent
        else "not asked: the daemon is dead"
        if dead
        else "alive",
        "sensors and schedules": f"failing: {', '.join(broken)}" if broken else idle or "working",
        "ledger": f"{ledger.seconds:.0f} s behind" if ledger.begun else NOT_BEGUN,
        "rejected tenants": ", ".join(registry.rejected) or "none",
    }


def _stale(store: "ControlStore", registry: "TenantRegistry", tenant_ids: set[str]) -> dict[tuple[str, str], int]:
    """How many published days of tables an older definition made, by tenant and pipeline."""
    from convergence_assets.preview.stale import stale_counts

    tenants = (tenant for name, tenant in registry.tenants.items() if name in tenant_ids)
    return {(t.tenant_id, name): days for t in tenants for name, days in stale_counts(store, t).items()}


def _waiting(store: "ControlStore", registry: "TenantRegistry", tenant: str | None) -> list[dict[str, object]]:
    """The tables that wait for `convergence upgrade`."""
    from convergence_assets.tenant_lifecycle.waiting_upgrades import waiting_tables

    chosen = (one for name, one in registry.tenants.items() if tenant in (None, name))
    return [
        {
            "tenant": one.tenant_id, "table": one.table, "read": one.read, "declared": one.declared, "days": one.days,
            "built": one.built, "description": str(one), "next": one.next_command,
        }
        for one in waiting_tables(store, chosen)
    ]  # fmt: skip


def _table(
    explained: "list[Explained]",
    last: "dict[tuple[str, str], IndexedRun | None]",
    stale: dict[tuple[str, str], int],
) -> Table:
    table = Table("tenant", "pipeline", "published", "due through", "outstanding", "stale", "last run", "of", "run")
    for pipeline in explained:
        run = last[pipeline.tenant_id, pipeline.pipeline]
        old = stale.get((pipeline.tenant_id, pipeline.pipeline))
        outstanding = f"{len(pipeline.days)} days" if pipeline.days else ""
        table.add_row(
            pipeline.tenant_id,
            pipeline.pipeline + (" (paused)" if pipeline.paused else ""),
            str(pipeline.last_published or "never"),
            str(pipeline.due_through),
            outstanding,
            f"{old} days of tables" if old else "",
            Text(run.status, RUN_COLOURS[run.status]) if run else "",
            (run.partition or "") if run else "",
            run.run_id if run else "",
        )
    return table


def _as_json(pipeline: "Explained", run: "IndexedRun | None", stale: dict[tuple[str, str], int]) -> dict[str, object]:
    return {
        "tenant": pipeline.tenant_id,
        "pipeline": pipeline.pipeline,
        "paused": pipeline.paused,
        "last_published": str(pipeline.last_published) if pipeline.last_published else None,
        "due_through": str(pipeline.due_through),
        "outstanding_days": [str(day.day) for day in pipeline.days],
        "stale_table_days": stale.get((pipeline.tenant_id, pipeline.pipeline), 0),
        "last_run": {"run_id": run.run_id, "status": run.status, "partition": run.partition} if run else None,
    }
