"""`convergence tenants`: list tenants, show one in full, onboard, offboard and migrate."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from convergence_assets.cli.migrate import migrate
from convergence_assets.cli.offboard import offboard
from convergence_assets.cli.onboard import onboard
from convergence_assets.cli.tables import print_table, prose
from convergence_assets.pipelines.problems import nearest
from convergence_assets.settings import Settings
from convergence_assets.tenancy.grants import in_lines, in_one_line
from convergence_assets.tenancy.registry import grants_needed, load_tenants
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry

tenants = typer.Typer(name="tenants", help="List, onboard, migrate and remove tenants.", no_args_is_help=True)
tenants.command()(onboard)
tenants.command()(offboard)
tenants.command()(migrate)

_COLOURS = {"served": "green", "rejected": "red", "paused": "yellow", "disabled": "dim"}


@tenants.command("list")
def show_all(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a tenant")] = False,
) -> None:
    """Every tenant: whether it is served, its pipelines, its dataset, and its last published day.

    Example: convergence tenants list
    """
    listed = list(_all_fields(Settings.from_env()))
    if as_json:
        for fields in listed:
            typer.echo(json.dumps(fields))
        return
    table = Table("tenant", prose("name"), "status", prose("pipelines"), "dataset", "last published")
    for fields in listed:
        table.add_row(
            fields["tenant"],
            fields["display_name"] or "",
            Text(fields["status"], _COLOURS[fields["status"]]),
            ", ".join(pipeline["name"] for pipeline in fields["pipelines"]),
            fields["dataset"] or "",
            fields["last_published"] or "never",
        )
    print_table(table)
    if any(fields["status"] == "rejected" for fields in listed):
        typer.echo("`convergence tenants show TENANT` says why one is rejected", err=True)


@tenants.command()
def show(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """One tenant in full; of a rejected one also what is wrong with its files. Exit code 1 for a rejected one.

    Example: convergence tenants show acme
    """
    settings = Settings.from_env()
    by_id = {fields["tenant"]: fields for fields in _all_fields(settings)}
    if tenant not in by_id:
        near = nearest(tenant, by_id)
        hint = f"; did you mean {near!r}?" if near else "; `convergence tenants list` shows all"
        raise typer.BadParameter(f"there is no tenant {tenant!r}{hint}")
    fields = by_id[tenant]
    if as_json:
        typer.echo(json.dumps(fields))
    else:
        for text in _lines(fields):
            typer.echo(text)
    raise typer.Exit(1 if fields["status"] == "rejected" else 0)


@tenants.command()
def grants(
    as_json: Annotated[bool, typer.Option("--json", help="The same as one JSON object")] = False,
) -> None:
    """The lines that tenants/_defaults.yaml lacks for what today's tenants ask for; nothing is changed.

    Exit code 1 where there are any. Read each before you add it: it is what you allow.

    Example: convergence tenants grants
    """
    needed = grants_needed(Settings.from_env())
    if as_json:
        typer.echo(json.dumps(needed))
    elif needed:
        typer.echo(in_lines(needed), nl=False)
    else:
        typer.echo("no tenant asks for what it is not allowed", err=True)
    raise typer.Exit(1 if needed else 0)


def _all_fields(settings: Settings) -> Iterator[dict[str, Any]]:
    from convergence_assets.control.partition_states import Pauses
    from convergence_assets.control.publications import newest_days
    from convergence_assets.control.store import ControlStore

    registry, store = load_tenants(settings), ControlStore.open(settings)
    pauses = {name: pause.reason for name, pause in Pauses(store).all().items()}
    with store.read() as connection:
        timezones = {tenant_id: tenant.timezone for tenant_id, tenant in registry.tenants.items()}
        newest = {key: str(day) for key, day in newest_days(connection, timezones).items()}
    for tenant_id in sorted({*registry.tenants, *registry.rejected}):
        yield _fields(tenant_id, registry, pauses, newest)


def _fields(
    tenant_id: str,
    registry: TenantRegistry,
    pauses: Mapping[tuple[str, str], str],
    newest: Mapping[tuple[str, str], str],
) -> dict[str, Any]:
    rejection, tenant = registry.rejected.get(tenant_id), registry.tenants.get(tenant_id)
    fields: dict[str, Any] = {
        "tenant": tenant_id,
        "status": _status(tenant, pauses),
        "served_on_last_accepted": bool(rejection and tenant),
        "problems": [problem.render() for problem in rejection.problems] if rejection else [],
        "display_name": None, "timezone": None, "dataset": None, "project": None, "location": None, "owners": [],
        "service_account": None, "given": {}, "config_version": None, "pipelines": [], "last_published": None,
    }  # fmt: skip
    if rejection:
        fields["status"] = "rejected"
    if tenant is None:
        return fields
    pipelines = [
        {
            "name": pipeline.name,
            "start_date": str(pipeline.start_date),
            "schedule": pipeline.schedule,
            "paused": tenant.paused or pipeline.paused or pauses.get((tenant_id, pipeline.name)) is not None,
            "tables": {step.table: newest.get((tenant_id, step.table)) for step in pipeline.steps},
        }
        for pipeline in tenant.pipelines
    ]
    days = [day for pipeline in pipelines for day in pipeline["tables"].values() if day]  # type: ignore[attr-defined]
    return fields | {
        "display_name": tenant.display_name,
        "timezone": tenant.timezone,
        "dataset": tenant.dataset,
        "project": tenant.project,
        "location": tenant.location,
        "owners": list(tenant.owners),
        "service_account": tenant.service_account,
        "given": dict(tenant.grants),
        "config_version": tenant.config_version,
        "pipelines": pipelines,
        "last_published": max(days, default=None),
    }


def _status(tenant: Tenant | None, pauses: Mapping[tuple[str, str], str]) -> str:
    if tenant is None:
        return "rejected"
    if not tenant.enabled:
        return "disabled"
    return "paused" if tenant.paused or (tenant.tenant_id, "") in pauses else "served"


def _lines(fields: Mapping[str, Any]) -> Iterator[str]:
    yield f"{fields['tenant']}: {fields['status']}" + (
        ", served on its last accepted version" if fields["served_on_last_accepted"] else ""
    )
    for problem in fields["problems"]:
        yield f"  problem: {problem}"
    if fields["dataset"] is None:
        return
    place = ".".join(part for part in (fields["project"], fields["dataset"]) if part)
    yield f"  name: {fields['display_name']}"
    yield f"  timezone: {fields['timezone']}"
    yield f"  dataset: {place}" + (f" in {fields['location']}" if fields["location"] else "")
    yield f"  owners: {', '.join(fields['owners']) or 'none'}"
    if fields["service_account"]:
        yield f"  service account: {fields['service_account']}"
    for key, grant in fields["given"].items():
        yield f"  given: {in_one_line({key: {fields['tenant']: grant}})}"
    yield f"  config version: {fields['config_version'][:12]}"
    for pipeline in fields["pipelines"]:
        paused = ", paused" if pipeline["paused"] else ""
        yield f"  {pipeline['name']}: {pipeline['schedule']}, from {pipeline['start_date']}{paused}"
        for table, day in pipeline["tables"].items():
            yield f"    {table}: last published {day or 'never'}"
