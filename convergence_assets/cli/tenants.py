"""`convergence tenants`: who is served and how, one tenant in full, and its beginning and end."""

import getpass
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convergence_assets.cli.choosing import tenant_of
from convergence_assets.cli.onboard import onboard
from convergence_assets.pipelines.problems import nearest
from convergence_assets.settings import Settings
from convergence_assets.tenancy import onboarding
from convergence_assets.tenancy.model import Tenant, TenantRegistry
from convergence_assets.tenancy.onboarding_files import ReadOnlyPlace, TenantFile
from convergence_assets.tenancy.registry import load_tenants

tenants = typer.Typer(name="tenants", help="Who is served, onboarding, and its end.", no_args_is_help=True)
tenants.command()(onboard)

_COLOURS = {"served": "green", "rejected": "red", "paused": "yellow", "disabled": "dim"}
_HANDED_OUT = 3


@tenants.command("list")
def show_all(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a tenant")] = False,
) -> None:
    """Every tenant: whether it is served, its pipelines, its dataset, and its last published day.

    Example: convergence tenants list
    """
    found = list(_all(Settings.from_env()))
    if as_json:
        for said in found:
            typer.echo(json.dumps(said))
        return
    table = Table("tenant", "name", "status", "pipelines", "dataset", "last published")
    for said in found:
        table.add_row(
            said["tenant"],
            said["display_name"] or "",
            Text(said["status"], _COLOURS[said["status"]]),
            ", ".join(pipeline["name"] for pipeline in said["pipelines"]),
            said["dataset"] or "",
            said["last_published"] or "never",
        )
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    if any(said["status"] == "rejected" for said in found):
        console.print("`convergence tenants show TENANT` says why one is rejected")


@tenants.command()
def show(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """One tenant in full; of a rejected one also what is wrong with its files. Exit code 1 for a rejected one.

    Example: convergence tenants show acme
    """
    settings = Settings.from_env()
    found = {said["tenant"]: said for said in _all(settings)}
    if tenant not in found:
        near = nearest(tenant, found)
        hint = f"; did you mean {near!r}?" if near else "; `convergence tenants list` shows all"
        raise typer.BadParameter(f"there is no tenant {tenant!r}{hint}")
    said = found[tenant]
    if as_json:
        typer.echo(json.dumps(said))
    else:
        for text in _lines(said):
            typer.echo(text)
    raise typer.Exit(1 if said["status"] == "rejected" else 0)


@tenants.command()
def offboard(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Ask for its data's end; needs --yes-delete-data-of as well")
    ] = False,
    yes_delete_data_of: Annotated[str | None, typer.Option(help="The tenant id once more")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Disable a tenant: `enabled: false` in its file. Nothing is run or asked for any more; no data is deleted.

    Exit code 3 where the tenants folder cannot be written: the file is then shown, to be committed.

    Example: convergence tenants offboard hooli
    """
    from convergence_assets.operations.code_location import reloaded

    settings = Settings.from_env()
    chosen = tenant_of(load_tenants(settings), tenant)
    if delete_data or yes_delete_data_of is not None:
        raise typer.BadParameter(_refused_deletion(settings, chosen, delete_data, yes_delete_data_of))
    file = TenantFile(settings.tenants, tenant)
    raw = file.read() or b""
    edited = onboarding.disabled(file.shown, raw, f"offboarded {datetime.now(UTC):%Y-%m-%d}")
    if edited is None:
        raise typer.BadParameter(f"{file.shown} cannot be edited line by line; write `enabled: false` into it")
    changed, done, next_step = chosen.enabled, None, None
    if changed:
        try:
            file.replace(raw, edited)
        except ReadOnlyPlace as error:
            _hand_out(file, edited, str(error.strerror), as_json=as_json)
            raise typer.Exit(_HANDED_OUT) from None
        _note(settings, tenant)
        done, next_step = reloaded(settings, replace(chosen, enabled=False))
    stays = list(_stays(settings, chosen))
    if as_json:
        outcome = "offboarded" if changed else "unchanged"
        said = {"outcome": outcome, "tenant": tenant, "file": file.shown, "stays": stays}
        typer.echo(json.dumps(said | {"done": done, "next": next_step}))
        return
    typer.echo(f"tenant {tenant} is disabled: `enabled: false` in {file.shown}" if changed
               else f"tenant {tenant} is disabled already: nothing was changed")  # fmt: skip
    for what in stays:
        typer.echo(f"stays: {what}")
    if done or next_step:
        typer.echo(done or f"next: {next_step}")


def _all(settings: Settings) -> Iterator[dict[str, Any]]:
    from convergence_assets.control.planning import Pauses
    from convergence_assets.control.publications import newest_days
    from convergence_assets.control.store import ControlStore

    registry, store = load_tenants(settings), ControlStore.open(settings)
    pauses = {name: pause.reason for name, pause in Pauses(store).all().items()}
    with store.read() as connection:
        newest = {key: str(day) for key, day in newest_days(connection).items()}
    for tenant_id in sorted({*registry.tenants, *registry.rejected}):
        yield _said(tenant_id, registry, pauses, newest)


def _said(
    tenant_id: str,
    registry: TenantRegistry,
    pauses: Mapping[tuple[str, str], str],
    newest: Mapping[tuple[str, str], str],
) -> dict[str, Any]:
    rejection, tenant = registry.rejected.get(tenant_id), registry.tenants.get(tenant_id)
    said: dict[str, Any] = {
        "tenant": tenant_id,
        "status": _status(tenant, pauses),
        "served_on_last_accepted": bool(rejection and tenant),
        "problems": [problem.render() for problem in rejection.problems] if rejection else [],
        "display_name": None, "timezone": None, "dataset": None, "project": None, "location": None, "owners": [],
        "config_version": None, "pipelines": [], "last_published": None,
    }  # fmt: skip
    if rejection:
        said["status"] = "rejected"
    if tenant is None:
        return said
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
    return said | {
        "display_name": tenant.display_name,
        "timezone": tenant.timezone,
        "dataset": tenant.dataset,
        "project": tenant.project,
        "location": tenant.location,
        "owners": list(tenant.owners),
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


def _lines(said: Mapping[str, Any]) -> Iterator[str]:
    yield f"{said['tenant']}: {said['status']}" + (
        ", served on its last accepted version" if said["served_on_last_accepted"] else ""
    )
    for problem in said["problems"]:
        yield f"  problem: {problem}"
    if said["dataset"] is None:
        return
    place = ".".join(part for part in (said["project"], said["dataset"]) if part)
    yield f"  name: {said['display_name']}"
    yield f"  timezone: {said['timezone']}"
    yield f"  dataset: {place}" + (f" in {said['location']}" if said["location"] else "")
    yield f"  owners: {', '.join(said['owners']) or 'none'}"
    yield f"  config version: {said['config_version'][:12]}"
    for pipeline in said["pipelines"]:
        paused = ", paused" if pipeline["paused"] else ""
        yield f"  {pipeline['name']}: {pipeline['schedule']}, from {pipeline['start_date']}{paused}"
        for table, day in pipeline["tables"].items():
            yield f"    {table}: last published {day or 'never'}"


def _stays(settings: Settings, tenant: Tenant) -> Iterator[str]:
    place = ".".join(part for part in (tenant.project or settings.project, tenant.dataset) if part)
    yield f"dataset {place} with all its tables, the ledger's among them"
    if active := _active_keys(settings, tenant.tenant_id):
        yield f"{active} API key(s), which still open what the API shows of it (`convergence keys revoke KEY_ID`)"
    yield "its file, its runs in Dagster, and what the control store knows of it"
    yield "a run that works now goes on to its end"


def _note(settings: Settings, tenant_id: str) -> None:
    from convergence_assets.control import audit
    from convergence_assets.control.store import ControlStore

    store = ControlStore.open(settings)
    with store.write() as connection:
        deed = audit.Deed(getpass.getuser(), "tenant.offboard", "done", tenant_id)
        audit.note(connection, deed, store.now())


def _active_keys(settings: Settings, tenant_id: str) -> int:
    from convergence_assets.control.keys import Keys
    from convergence_assets.control.store import ControlStore

    return Keys(ControlStore.open(settings)).active().get(tenant_id, 0)


def _refused_deletion(settings: Settings, tenant: Tenant, delete_data: bool, typed: str | None) -> str:
    name = tenant.tenant_id
    if not delete_data or typed != name:
        return f"to delete data, say both --delete-data and --yes-delete-data-of {name}; nothing was changed"
    if settings.warehouse == "bigquery":
        place = f"{tenant.project or settings.project}.{tenant.dataset}"
        how = f"run in BigQuery: DROP SCHEMA `{place}` CASCADE;"
    else:
        from convergence_assets.operations.onboarding import dataset_file
        from convergence_assets.warehouse.schema import TableRef

        how = f"with nothing else running: rm {dataset_file(settings, TableRef(tenant.dataset, '_', tenant.project))}"
    return (
        f"convergence drops no dataset; nothing was changed. Next: `convergence tenants offboard {name}`, reload the "
        f"code location, then {how}"
    )


def _hand_out(file: TenantFile, edited: bytes, why: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"outcome": "handed_out", "file": file.shown, "content": edited.decode()}))
        return
    typer.echo(f"{file.shown}: {why}. Nothing was changed. Next: commit this file there.", err=True)
    typer.echo(edited.decode(), nl=False)
