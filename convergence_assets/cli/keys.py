"""`convergence keys`: create, list, extend and revoke API keys of tenants."""

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer

from convergence_assets.cli.lookup import tenant_of
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from convergence_assets.control.keys import KeyInfo, Keys

keys = typer.Typer(name="keys", help="API keys of tenants.", no_args_is_help=True)

_Days = Annotated[int, typer.Option(help="For so many days from now")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object a key")]
_By = Annotated[str | None, typer.Option(help="Who does it; default: the user of this command")]


@keys.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    scope: Annotated[
        list[str] | None, typer.Option(help="read, or run (request days, retry and cancel runs); default: both")
    ] = None,
    days: _Days = 90,
    by: _By = None,
    as_json: _Json = False,
) -> None:
    """Make a key. Its secret is shown now and never again.

    Example: convergence keys create acme --scope read --days 30
    """
    from convergence_assets.control.keys import SCOPES

    settings = Settings.from_env()
    from convergence_assets.tenancy.registry import load_tenants

    tenant_of(load_tenants(settings), tenant)
    try:
        key = _keys(settings).create(tenant, by or getpass.getuser(), scope or SCOPES, days)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        fields = {"key_id": key.key_id, "secret": key.secret, "expires_at": key.expires_at.isoformat()}
        typer.echo(json.dumps({"tenant": tenant} | fields))
        return
    typer.echo(key.secret)
    typer.echo(
        f"{key.key_id} of tenant {tenant}, valid until {key.expires_at:%Y-%m-%dT%H:%M:%SZ}. The line above is its "
        "secret and is not shown again: send it in the header x-api-key",
        err=True,
    )


@keys.command("list")
def show(
    tenant: Annotated[str | None, typer.Argument(help="Tenant id; default: all tenants")] = None,
    as_json: _Json = False,
) -> None:
    """All keys, including expired and revoked ones. Secrets are not stored.

    Example: convergence keys list acme
    """
    store = _keys(Settings.from_env())
    listed = store.all(tenant)
    for key in listed:
        typer.echo(json.dumps(_as_json(key, store)) if as_json else _line(key, store))
    if not listed and not as_json:
        typer.echo("there are no keys. Next: convergence keys create")


@keys.command()
def extend(
    key_id: Annotated[str, typer.Argument(help="As `convergence keys list` shows it")],
    days: _Days = 90,
    by: _By = None,
    as_json: _Json = False,
) -> None:
    """Let a key be valid for longer; one that has expired is valid again.

    Example: convergence keys extend key_1f0c --days 30
    """
    from convergence_assets.control.keys import KeyRevoked

    store = _keys(Settings.from_env())
    try:
        _print_key(store, key_id, store.extend(key_id, by or getpass.getuser(), days), as_json)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except KeyRevoked as error:
        typer.echo(f"{error}. Next: convergence keys create", err=True)
        raise typer.Exit(1) from None


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `convergence keys list` shows it")],
    by: _By = None,
    as_json: _Json = False,
) -> None:
    """Refuse a key from its next request on, for ever.

    Example: convergence keys revoke key_1f0c
    """
    store = _keys(Settings.from_env())
    _print_key(store, key_id, store.revoke(key_id, by or getpass.getuser()), as_json)


def _keys(settings: Settings) -> "Keys":
    from convergence_assets.control.keys import Keys
    from convergence_assets.control.store import ControlStore

    return Keys(ControlStore.open(settings))


def _print_key(store: "Keys", key_id: str, key: "KeyInfo | None", as_json: bool) -> None:
    if key is None:
        typer.echo(f"there is no key {key_id}. Next: convergence keys list", err=True)
        raise typer.Exit(1)
    state = store.state(key)
    until = f", valid until {_shown(key.expires_at)}" if state == "active" else ""
    text = json.dumps(_as_json(key, store)) if as_json else f"{key.key_id} of tenant {key.tenant_id}: {state}{until}"
    typer.echo(text)


def _line(key: "KeyInfo", store: "Keys") -> str:
    """A line: the key's id is what a reader types next, and no table may cut it."""
    used = f"last used {_shown(key.last_used_at)}" if key.last_used_at else "never used"
    return (
        f"{key.key_id}  {key.tenant_id}  {store.state(key)}  cvg_{key.prefix}_...  {'+'.join(key.scopes)}  "
        f"expires {_shown(key.expires_at)}, {used}, made by {key.created_by}"
    )


def _as_json(key: "KeyInfo", store: "Keys") -> dict[str, object]:
    moments = {name: getattr(key, name) for name in ("created_at", "expires_at", "last_used_at", "revoked_at")}
    return {
        "key_id": key.key_id,
        "tenant": key.tenant_id,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "state": store.state(key),
        "created_by": key.created_by,
        **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
    }


def _shown(moment: "datetime") -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
