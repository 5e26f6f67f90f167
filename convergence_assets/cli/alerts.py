"""`convergence alerts`: what is wrong now and who was told, acknowledging it, and testing the routes."""

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer

from convergence_assets.cli.lookup import tenant_of
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convergence_assets.alerting.dispatch import Placed
    from convergence_assets.control.outbox import DestinationQueue

alerts = typer.Typer(name="alerts", help="What is wrong now, and who was told.", no_args_is_help=True)
_PLATFORM = "platform"
_NO_ROUTE = "no route"


@alerts.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an incident")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also incidents that are over, as far as kept")] = False,
) -> None:
    """Every open incident: what it is, how often it was seen, who was told, and why nobody was.

    Example: convergence alerts list
    """
    from convergence_assets.alerting.dispatch import placed
    from convergence_assets.alerting.routes import Routes
    from convergence_assets.control import incidents, notifications, outbox
    from convergence_assets.control.store import ControlStore

    settings = Settings.from_env()
    with ControlStore.open(settings).read() as connection:
        listed = incidents.all_incidents(connection) if everything else incidents.open_incidents(connection)
        recipients_by_incident, queues = (
            notifications.destinations_told(connection),
            outbox.destination_queues(connection),
        )
    late = {waiting.destination: waiting for waiting in queues if waiting.last_error}
    routes = Routes({}, ())
    if listed:
        from convergence_assets.monitoring.routing import routes_of
        from convergence_assets.tenancy.registry import load_tenants

        routes = routes_of(load_tenants(settings))
    for placement in placed(listed, routes):
        recipients = recipients_by_incident.get(placement.incident.incident_id, ())
        state = _state(placement, recipients, late)
        typer.echo(
            json.dumps(_as_json(placement, recipients, state)) if as_json else _lines(placement, recipients, state)
        )
    if not as_json:
        if not listed:
            typer.echo("nothing is wrong")
        for waiting in late.values():
            typer.echo(_queue_line(waiting), err=True)


@alerts.command()
def ack(
    fingerprint: Annotated[str, typer.Argument(help="As `convergence alerts list` and the message show it")],
    by: Annotated[str | None, typer.Option(help="Who sees to it; default: the user of this command")] = None,
    group: Annotated[bool, typer.Option("--group", help="Also the others of the same message")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an incident")] = False,
) -> None:
    """Acknowledge an incident: no reminders until it is resolved.

    Example: convergence alerts ack 3f9a0c1d2e4b5a67 --by anna
    """
    from convergence_assets.control import incidents, notifications
    from convergence_assets.control.store import ControlStore

    store, who = ControlStore.open(Settings.from_env()), by or getpass.getuser()
    with store.write() as connection:
        by_id = {incident.incident_id: incident for incident in incidents.open_incidents(connection)}
        ids = {incident.incident_id for incident in by_id.values() if incident.fingerprint == fingerprint}
        acknowledged_ids = notifications.sharing_a_notification(connection, ids) if group else ids
        acknowledged = [incident for incident in by_id.values() if incident.incident_id in acknowledged_ids]
        incidents.acknowledge_incidents(
            connection, [incident.fingerprint for incident in acknowledged], who, store.now()
        )
    for incident in acknowledged:
        fields = {"fingerprint": incident.fingerprint, "title": incident.title, "acknowledged_by": who}
        typer.echo(json.dumps(fields) if as_json else f"acknowledged by {who}: {incident.title}")
    if not acknowledged:
        typer.echo(f"no open incident has the fingerprint {fingerprint}. Next: convergence alerts list", err=True)
        raise typer.Exit(1)


@alerts.command("resolve")
def resolve(
    fingerprint: Annotated[str, typer.Argument(help="As `convergence alerts list` shows it")],
    reason: Annotated[str, typer.Option(help="Why it is over")] = "no reason given",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Resolve by hand an incident that does not resolve itself, such as a failed day that is no longer needed. It comes
    back if its condition does.

    Example: convergence alerts resolve 3f9a0c1d2e4b5a67 --reason "that day is not needed"
    """
    from convergence_assets.control import incidents
    from convergence_assets.control.store import ControlStore

    store = ControlStore.open(Settings.from_env())
    with store.write() as connection:
        done = incidents.resolve_incident(connection, fingerprint, f"by {getpass.getuser()}: {reason}", store.now())
    if not done:
        typer.echo(f"no open incident has the fingerprint {fingerprint}. Next: convergence alerts list", err=True)
        raise typer.Exit(1)
    fields = {"fingerprint": fingerprint, "resolved": True, "reason": reason}
    typer.echo(json.dumps(fields) if as_json else f"resolved: {fingerprint}")


@alerts.command("test")
def attempt(
    tenant: Annotated[
        str | None, typer.Argument(help="Tenant id, or `platform` for the shared routes; default: every route")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a route")] = False,
) -> None:
    """Send a test message through each route now, and say what became of it. Exit code 1 if one failed.

    Example: convergence alerts test acme
    """
    from convergence_assets.alerting.testing import try_routes
    from convergence_assets.monitoring.routing import routes_of
    from convergence_assets.tenancy.registry import load_tenants

    registry = load_tenants(Settings.from_env())
    routes, chosen = routes_of(registry), tenant
    if tenant not in (None, _PLATFORM):
        tenant_of(registry, str(tenant))
        if not routes.by_tenant.get(str(tenant)):
            typer.echo(f"tenant {tenant} has no route of its own: its alerts go to the platform's", err=as_json)
            chosen = _PLATFORM
    tried = list(try_routes(routes, chosen))
    for result in tried:
        if as_json:
            fields = {"route": result.key, "severities": list(result.severities), "failure": result.failure}
            typer.echo(json.dumps(fields))
            continue
        typer.echo(
            f"{result.key} ({', '.join(result.severities)}): {result.failure or 'delivered'}", err=bool(result.failure)
        )
    if not tried:
        typer.echo("no route is configured. Next: name one under `alerts.routes` in tenants/_defaults.yaml", err=True)
    raise typer.Exit(0 if tried and not any(result.failure for result in tried) else 1)


def _state(placement: "Placed", recipients: "Sequence[str]", late: "Mapping[str, DestinationQueue]") -> str:
    incident = placement.incident
    if incident.resolved_at is not None:
        return f"resolved {incident.resolved_at:%Y-%m-%dT%H:%M:%SZ}: {incident.resolution}"
    if incident.acknowledged_at is not None:
        return f"acknowledged by {incident.acknowledged_by}"
    if placement.muted_by is not None:
        return f"muted by {placement.muted_by.fingerprint}"
    if not placement.destinations:
        return _NO_ROUTE
    missing = [
        destination.key
        for destination in placement.destinations
        if destination.key in late and destination.key not in recipients
    ]
    if missing:
        return f"not delivered to {', '.join(missing)}"
    return "told" if recipients else "waiting"


def _lines(placement: "Placed", recipients: "Sequence[str]", state: str) -> str:
    """A paragraph: the fingerprint is what a reader types next, and no table may cut it."""
    incident = placement.incident
    seen = "once" if incident.count == 1 else f"{incident.count} times"
    why = f" for {incident.severity} that can be used: `convergence alerts test` says why"
    delivery = state + why if state == _NO_ROUTE else state
    lines = [
        f"{incident.fingerprint}  {incident.severity}  {incident.title}",
        f"  {delivery}; seen {seen} since {incident.opened_at:%Y-%m-%dT%H:%M:%SZ}",
    ]
    subject = "/".join(part for part in (incident.tenant_id, incident.pipeline, incident.table) if part)
    about = [subject, incident.partition, f"run {incident.run_id}" if incident.run_id else None]
    if any(about):
        lines.insert(1, f"  {', '.join(part for part in about if part)}")
    if recipients:
        lines.append(f"  told: {', '.join(recipients)}")
    if incident.resolved_at is None:
        lines.append(f"  next: {incident.next_step} (docs/RUNBOOK.md#{incident.runbook})")
    return "\n".join(lines)


def _queue_line(queue: "DestinationQueue") -> str:
    return (
        f"{queue.messages} message(s) for {queue.destination} wait since {queue.oldest:%Y-%m-%dT%H:%M:%SZ}: "
        f"{queue.last_error}. Next: convergence alerts test {queue.destination.split('/', 1)[0]}"
    )


def _as_json(placement: "Placed", recipients: "Sequence[str]", state: str) -> dict[str, object]:
    incident = placement.incident
    moments = ("opened_at", "last_seen_at", "acknowledged_at", "resolved_at")
    fields = {name: value for name, value in vars(incident).items() if name not in (*moments, "incident_id")}
    return fields | {
        **{name: (at := getattr(incident, name)) and at.isoformat() for name in moments},
        "state": state,
        "told": list(recipients),
        "muted_by": placement.muted_by.fingerprint if placement.muted_by else None,
        "routes": [destination.key for destination in placement.destinations],
    }
