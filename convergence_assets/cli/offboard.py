"""`convergence tenants offboard`: disable a tenant, and if confirmed twice, delete its data."""

import getpass
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convergence_assets.cli.lookup import tenant_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.tenant_lifecycle import onboarding_request
from convergence_assets.tenant_lifecycle.onboarding_files import ReadOnlyPlace, TenantsFile

if TYPE_CHECKING:
    from convergence_assets.tenant_lifecycle.offboarding import Deleted

_HANDED_OUT = 3


def offboard(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete its tables too; needs --yes-delete-data-of as well")
    ] = False,
    yes_delete_data_of: Annotated[str | None, typer.Option(help="The tenant id once more")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Disable a tenant: `enabled: false` in its file. Nothing is run or requested any more; no data is deleted.

    With --delete-data and its id once more its published tables, its ledger and what is staged for it are deleted; exit
    code 1 where a run is at work or the code location may still request its days. Exit code 3 where the tenants folder
    cannot be written: the file is then shown, to be committed.

    Example: convergence tenants offboard hooli
    """
    from convergence_assets.tenant_lifecycle.code_location import reloaded

    settings = Settings.from_env()
    chosen = tenant_of(load_tenants(settings), tenant)
    if (delete_data or yes_delete_data_of is not None) and not (delete_data and yes_delete_data_of == tenant):
        raise typer.BadParameter(
            f"to delete data, say both --delete-data and --yes-delete-data-of {tenant}; nothing was changed"
        )
    if delete_data:
        _refuse_while_at_work(settings, tenant)
    file = TenantsFile(settings.tenants, f"{tenant}/{onboarding_request.TENANT_FILE}")
    raw = file.read() or b""
    edited = onboarding_request.disabled(file.shown, raw, f"offboarded {datetime.now(UTC):%Y-%m-%d}")
    if edited is None:
        raise typer.BadParameter(f"{file.shown} cannot be edited line by line; write `enabled: false` into it")
    changed, done, next_step = chosen.enabled, None, None
    if changed:
        try:
            file.replace(raw, edited)
        except ReadOnlyPlace as error:
            _print_file_to_commit(file, edited, str(error.strerror), as_json=as_json)
            raise typer.Exit(_HANDED_OUT) from None
        _write_audit_entry(settings, tenant)
    if changed or (delete_data and settings.dagster_url):
        done, next_step = reloaded(settings, replace(chosen, enabled=False))
    deleted = _delete_data(settings, chosen) if delete_data and next_step is None else None
    if delete_data and deleted is None:
        next_step = f"its data is not deleted yet: {next_step}; then the same command"
    _print_outcome(settings, chosen, file, deleted, done, next_step, changed=changed, as_json=as_json)
    raise typer.Exit(1 if delete_data and deleted is None else 0)


def _print_outcome(
    settings: Settings, tenant: Tenant, file: TenantsFile, deleted: "Deleted | None", done: str | None,
    next_step: str | None, *, changed: bool, as_json: bool,
) -> None:  # fmt: skip
    stays = list(_remaining(settings, tenant, deleted))
    if as_json:
        outcome = "deleted" if deleted else "offboarded" if changed else "unchanged"
        fields: dict[str, Any] = {"outcome": outcome, "tenant": tenant.tenant_id, "file": file.shown, "stays": stays}
        if deleted:
            fields |= {"tables": [str(table) for table in deleted.tables], "staged": deleted.staged}
        typer.echo(json.dumps(fields | {"done": done, "next": next_step}))
        return
    name = tenant.tenant_id
    typer.echo(f"tenant {name} is disabled: `enabled: false` in {file.shown}" if changed
               else f"tenant {name} is disabled already{'' if deleted else ': nothing was changed'}")  # fmt: skip
    if deleted:
        for table in deleted.tables:
            typer.echo(f"deleted: table {table}")
        if deleted.staged:
            typer.echo(f"deleted: {deleted.staged} staged")
        if deleted.dataset:
            typer.echo(f"deleted: dataset {_place(settings, tenant)}")
        if not deleted.tables:
            typer.echo("no table of it was there")
    for what in stays:
        typer.echo(f"stays: {what}")
    if done or next_step:
        typer.echo(done if next_step is None else f"next: {next_step}")


def _refuse_while_at_work(settings: Settings, tenant_id: str) -> None:
    from convergence_assets.cli.instance import open_instance
    from convergence_assets.control.store import ControlStore
    from convergence_assets.tenant_lifecycle.offboarding import RunsAtWork, runs_at_work

    with open_instance(settings) as instance:
        runs = runs_at_work(instance, ControlStore.open(settings), tenant_id)
    if runs:
        typer.echo(str(RunsAtWork(tenant_id, runs)), err=True)
        raise typer.Exit(1)


def _delete_data(settings: Settings, tenant: Tenant) -> "Deleted":
    from convergence_assets.cli.instance import open_instance
    from convergence_assets.tenant_lifecycle.offboarding import RunsAtWork, delete_data

    try:
        with open_instance(settings) as instance:
            return delete_data(settings, instance, tenant)
    except RunsAtWork as error:
        typer.echo(f"tenant {tenant.tenant_id} is disabled; {error}", err=True)
        raise typer.Exit(1) from None


def _remaining(settings: Settings, tenant: Tenant, deleted: "Deleted | None") -> Iterator[str]:
    if deleted is None:
        yield f"dataset {_place(settings, tenant)} with all its tables, the ledger's among them"
    elif not deleted.dataset and deleted.tables:
        yield f"dataset {_place(settings, tenant)}, which holds what others made"
    if active := _active_keys(settings, tenant.tenant_id):
        yield f"{active} API key(s), which still open what the API shows of it (`convergence keys revoke KEY_ID`)"
    yield "its file, its runs in Dagster, and what the control store knows of " + ("them" if deleted else "it")
    if deleted is None:
        yield "a run that works now goes on to its end"


def _place(settings: Settings, tenant: Tenant) -> str:
    return ".".join(part for part in (tenant.project or settings.project, tenant.dataset) if part)


def _write_audit_entry(settings: Settings, tenant_id: str) -> None:
    from convergence_assets.control import audit
    from convergence_assets.control.store import ControlStore

    store = ControlStore.open(settings)
    with store.write() as connection:
        entry = audit.AuditEntry(getpass.getuser(), "tenant.offboard", "done", tenant_id)
        audit.record_entry(connection, entry, store.now())


def _active_keys(settings: Settings, tenant_id: str) -> int:
    from convergence_assets.control.keys import Keys
    from convergence_assets.control.store import ControlStore

    return Keys(ControlStore.open(settings)).active_counts().get(tenant_id, 0)


def _print_file_to_commit(file: TenantsFile, edited: bytes, why: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"outcome": "handed_out", "file": file.shown, "content": edited.decode()}))
        return
    typer.echo(f"{file.shown}: {why}. Nothing was changed. Next: commit this file there.", err=True)
    typer.echo(edited.decode(), nl=False)
