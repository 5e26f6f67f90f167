"""`convergence tenants onboard`: what a tenant is to be, by flags or by answers, then the plan, then its steps."""

import getpass
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.text import Text

from convergence_assets.cli.datetimes import day_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy import onboarding
from convergence_assets.tenancy.grants import in_one_line
from convergence_assets.tenancy.onboarding import Wanted

if TYPE_CHECKING:
    from convergence_assets.operations.onboarding import Onboarded, Onboarding
    from convergence_assets.tenancy.folder import Files

HANDED_OUT = 3
"""Exit code where the file has to be committed by somebody else."""
_FLAGS = {"display_name": "--display-name", "timezone": "--timezone", "templates": "--template",
          "start_date": "--start-date"}  # fmt: skip


def onboard(
    tenant: Annotated[str, typer.Argument(help="Tenant id: a small letter, then 2 to 49 small letters, digits or _")],
    display_name: Annotated[str | None, typer.Option(help="As people call it")] = None,
    timezone: Annotated[str | None, typer.Option(help="An IANA name; a partition is a day there")] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="A pipeline it runs, e.g. gcp_billing; may be given several times")
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="A parameter, key=value, or template.key=value; may be given several times"),
    ] = None,
    start_date: Annotated[str | None, typer.Option(help="The first day that is made, e.g. 2026-10-01")] = None,
    schedule: Annotated[str | None, typer.Option(help="Cron in its timezone; absent: the shared one")] = None,
    plan_name: Annotated[str | None, typer.Option(help="How much it may run; absent: the shared plan")] = None,
    location: Annotated[str | None, typer.Option(help="BigQuery location of its dataset, e.g. EU")] = None,
    project: Annotated[str | None, typer.Option(help="Google Cloud project of its dataset")] = None,
    dataset: Annotated[str | None, typer.Option(help="Absent: the tenant id")] = None,
    owner: Annotated[list[str] | None, typer.Option(help="E-mail address or team:name; may be several")] = None,
    alert_route: Annotated[
        list[str] | None,
        typer.Option(help="Severities and the variable with the URL: critical,warning='${env:NAME}'; may be several"),
    ] = None,
    share_project: Annotated[
        list[str] | None,
        typer.Option(help="Of a table that other tenants read too: a project whose rows are its, * for any characters"),
    ] = None,
    share_label: Annotated[
        list[str] | None, typer.Option(help="The same by a label, key=value; a row has to fit all that are said")
    ] = None,
    apply_grants: Annotated[
        bool, typer.Option("--apply-grants", help="On BigQuery: allow its service account what it needs, as you")
    ] = False,
    platform_account: Annotated[
        str | None, typer.Option(help="Service account of the workers, which act as the tenant's; absent: yours")
    ] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be made, and change nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Make it without asking")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with the plan and what was done")] = False,
) -> None:
    """Make a new tenant: its file, dataset, tables and API key. What stands already is left as it is.

    Asks for what no option says, on a terminal. Exit code 1 where it is refused or a step failed (what was made is then
    taken back), 3 where the tenants folder cannot be written: the file is then shown, to be committed.

    Example: convergence tenants onboard hooli --display-name Hooli --timezone America/Los_Angeles
    --template gcp_billing --with export_table=hooli_export.gcp_billing_export_resource_v1_0A --start-date 2026-10-01
    --yes
    """
    from convergence_assets.operations.granting import own_account, why_not_applicable
    from convergence_assets.operations.onboarding import OnboardingFailed, OnboardingRefused, files_of, plan
    from convergence_assets.operations.onboarding_apply import apply
    from convergence_assets.tenancy.onboarding_files import ReadOnlyPlace

    settings = Settings.from_env()
    if apply_grants and (why := why_not_applicable(settings)):
        raise typer.BadParameter(f"--apply-grants: {why}")
    platform_account = platform_account or (own_account(settings) if settings.warehouse == "bigquery" else None)
    files = files_of(settings, tenant)
    templates = tuple(dict.fromkeys(template or ()))
    wanted = Wanted(
        tenant,
        display_name,
        timezone,
        templates,
        {},
        _day(start_date),
        schedule,
        plan_name,
        location,
        project,
        dataset,
        tuple(owner or ()),
        _routes(alert_route or ()),
        tuple(share_project or ()),
        _labels(share_label or ()),
    )
    new = onboarding.TENANT_FILE not in files
    asking = new and not yes and not as_json and sys.stdin.isatty()
    if asking:
        if wrong := onboarding.wrong_id(tenant):
            raise typer.BadParameter(wrong[0].message)
        wanted = _answered(wanted, settings, files)
    try:
        of = wanted.templates or (() if new else _templates_that_stand(files))
        wanted = replace(wanted, parameters=onboarding.parameters(with_ or [], of))
    except ValueError as error:
        raise typer.BadParameter(f"--with {error}") from None
    if asking:
        wanted = _with_share(_with_parameters(wanted, files), settings)
    if new and (absent := onboarding.missing(wanted, files)):
        raise typer.BadParameter(_said_missing(absent, wanted, files))
    shows = _Showing(as_json)
    try:
        planned = plan(wanted, settings, datetime.now(UTC), platform_account)
        shows.plan(planned)
        if only_plan:
            shows.end("planned")
            return
        if not yes and (apply_grants or not planned.stands):
            _agreed(asking)
        made = apply(planned, settings, getpass.getuser(), shows.step, grants=apply_grants)
        shows.onboarded(planned, made)
    except OnboardingRefused as error:
        shows.refused(error.reasons, error.next_step)
        raise typer.Exit(1) from None
    except ReadOnlyPlace as error:
        shows.handed_out(planned, str(error.strerror))
        raise typer.Exit(HANDED_OUT) from None
    except OnboardingFailed as error:
        shows.failed(str(error), error.undone, error.left)
        raise typer.Exit(1) from None


def _routes(said: Sequence[str]) -> tuple[onboarding.Route, ...]:
    try:
        return tuple(onboarding.route(one) for one in said)
    except ValueError as error:
        raise typer.BadParameter(f"--alert-route: {error}") from None


def _labels(pairs: Sequence[str]) -> dict[str, str]:
    try:
        return onboarding.labels(pairs)
    except ValueError as error:
        raise typer.BadParameter(f"--share-label: {error}") from None


def _day(text: str | None) -> date | None:
    return day_of(text, "--start-date") if text else None


def _answered(wanted: Wanted, settings: Settings, files: "Files") -> Wanted:
    """What no option said, asked for; an empty answer takes the default in brackets."""
    usual_name = wanted.tenant_id.replace("_", " ").title()
    name = wanted.display_name or typer.prompt("Display name", default=usual_name)
    zone = wanted.timezone or typer.prompt("Timezone (a partition is a day there)", default="UTC", value_proc=_zone)
    templates = wanted.templates
    if not templates:
        known = onboarding.templates_of(files)
        said = typer.prompt(f"Pipelines, with spaces between ({', '.join(known)})", default=known[0])
        templates = tuple(dict.fromkeys(said.split()))
    first = datetime.now(ZoneInfo(zone)).date().replace(day=1) if _is_zone(zone) else datetime.now(UTC).date()
    start = wanted.start_date or _day(typer.prompt("First day to make", default=first.isoformat(), value_proc=_a_day))
    owners, location = wanted.owners, wanted.location
    if not owners:
        said = typer.prompt("Owner (e-mail address or team:name, may be left out)", default="", show_default=False)
        owners = (said,) if said else ()
    if location is None and settings.warehouse == "bigquery":
        said = typer.prompt("BigQuery location (EU, US, europe-west3, ...; empty: the project's)", default="")
        location = said or None
    return replace(
        wanted, display_name=name, timezone=zone, templates=templates, start_date=start, owners=owners,
        location=location,
    )  # fmt: skip


def _with_parameters(wanted: Wanted, files: "Files") -> Wanted:
    found = {name: dict(values) for name, values in wanted.parameters.items()}
    for template in wanted.templates:
        for name, meaning in onboarding.required(template, files).items():
            if name not in found.get(template, {}):
                said = typer.prompt(f"{template}, {name} ({meaning})")
                found |= onboarding.parameters([f"{template}.{name}={said}"], wanted.templates)
    return replace(wanted, parameters=found)


def _with_share(wanted: Wanted, settings: Settings) -> Wanted:
    """Which rows are its, asked for where a table that it names is other tenants' too."""
    from convergence_assets.tenancy.registry import load_tenants

    if wanted.shared_projects or wanted.shared_labels:
        return wanted
    registry = load_tenants(settings)
    others = [t for t in registry.tenants.values() if t.tenant_id != wanted.tenant_id]
    read = {name for t in others for p in t.pipelines for s in p.steps for o in s.sources.values() for name in o.tables}
    for table in onboarding.tables_named(wanted):
        if table in read or any(shared.is_among([table]) for shared in registry.shared_sources):
            typer.echo(f"{table} is read by other tenants too: which of its rows are {wanted.tenant_id}'s?")
            projects = typer.prompt("Projects, with spaces between (empty: by labels)", default="", show_default=False)
            pairs = "" if projects else typer.prompt("Labels, key=value with spaces between")
            return replace(wanted, shared_projects=tuple(projects.split()), shared_labels=_labels(pairs.split()))
    return wanted


def _is_zone(text: str) -> bool:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _zone(text: str) -> str:
    if not _is_zone(text):
        raise typer.BadParameter(f"{text!r} is no IANA timezone; expected a name like Europe/Berlin")
    return text


def _a_day(text: str) -> str:
    _day(text)
    return text


def _templates_that_stand(files: "Files") -> Sequence[str]:
    stands, _ = onboarding.standing(onboarding.TENANT_FILE, files[onboarding.TENANT_FILE])
    return [pipeline.template for pipeline in stands.pipelines] if stands else []


def _said_missing(absent: Sequence[str], wanted: Wanted, files: "Files") -> str:
    said = []
    for name in absent:
        if name.startswith("with "):
            template, _, parameter = name.removeprefix("with ").partition(".")
            meaning = onboarding.required(template, files)[parameter]
            key = parameter if len(wanted.templates) == 1 else f"{template}.{parameter}"
            said.append(f"--with {key}=... ({meaning})")
        elif name == "templates":
            said.append(f"--template (one or more of {', '.join(onboarding.templates_of(files))})")
        else:
            said.append(_FLAGS[name])
    return f"missing: {', '.join(said)}"


def _agreed(asking: bool) -> None:
    if not asking:
        raise typer.BadParameter("nothing is made unless --yes says so; --plan shows what would be")
    if not typer.confirm("Make it?", default=True):
        raise typer.Exit(1)


class _Showing:
    """To a person step by step; to a machine one JSON object at the end."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(soft_wrap=True, highlight=False)
        self._said: dict[str, Any] = {}

    def plan(self, planned: "Onboarding") -> None:
        self._said["plan"] = planned.described()
        if self._as_json:
            return
        if planned.stands:
            self._line("file", f"{planned.file.shown} is there and says the same")
            self._grants(planned)
            return
        tenant = planned.tenant
        self._line("file", planned.file.shown)
        for text in planned.content.decode().splitlines():
            self._line("", text)
        if planned.lines:
            self._line("allows", f"{in_one_line(planned.lines.grant)}, in {planned.lines.file.shown}")
        self._grants(planned)
        place = tenant.dataset if tenant.project is None else f"{tenant.project}.{tenant.dataset}"
        self._line("dataset", place + (f" in {tenant.location}" if tenant.location else ""))
        self._line("tables", ", ".join(ref.table for ref, _ in planned.tables))
        self._line("assets", ", ".join(planned.assets))
        for asked in planned.asked:
            days = "none is due yet" if not asked.due else f"{asked.due} due already, asked for by and by"
            self._line("schedule", f"{asked.pipeline}: {asked.schedule} in {asked.timezone}; the first day, "
                       f"{asked.first_day}, is due {asked.first_due_at:%Y-%m-%d %H:%M} UTC ({days})")  # fmt: skip
        read = planned.bytes_a_day
        self._line(
            "a day",
            "not counted: the warehouse does not count, or what is read is not there yet"
            if read is None
            else f"reads {read:,} bytes",
        )

    def _grants(self, planned: "Onboarding") -> None:
        for grant in planned.account_grants:
            self._line("allow", grant.command)

    def step(self, what: str) -> None:
        if not self._as_json:
            self._console.print(Text.assemble(("done", "green"), f"  {what}"))

    def onboarded(self, planned: "Onboarding", made: "Onboarded") -> None:
        self._said |= {"done": list(made.done), "api_key": made.secret, "next": list(made.next_steps)}
        tenant_id = planned.tenant.tenant_id
        if not self._as_json:
            if made.done:
                self._console.print(Text(f"tenant {tenant_id} is onboarded"))
            else:
                self._console.print(Text(f"tenant {tenant_id} stands as asked for: nothing was changed"))
            if made.secret:
                self._console.print(Text(f"API key, shown this once: {made.secret}", "bold"))
            for step in made.next_steps if made.done else ():
                self._line("next", step)
        self.end("onboarded" if made.done else "unchanged")

    def refused(self, reasons: Sequence[str], next_step: str) -> None:
        self._said |= {"reasons": list(reasons), "next": [next_step]}
        for reason in reasons:
            self._complain(reason)
        self._complain(f"Next: {next_step}")
        self.end("refused")

    def handed_out(self, planned: "Onboarding", why: str) -> None:
        file, again = planned.file.shown, "commit the file there, then the same command again makes the tables"
        if planned.lines:
            again = f"{planned.lines.by_hand}, {again}"
        self._said |= {"file": file, "content": planned.content.decode(), "next": [again]}
        self._complain(f"{file}: {why}. Nothing was changed. Next: {again}.")
        if not self._as_json:
            typer.echo(planned.content.decode(), nl=False)
        self.end("handed_out")

    def failed(self, what: str, undone: Sequence[str], left: Sequence[str]) -> None:
        self._said |= {"failure": what, "undone": list(undone), "left": list(left)}
        self._complain(what)
        for said in undone:
            self._complain(f"taken back: {said}")
        for said in left:
            self._complain(f"left: {said}")
        if not left:
            self._complain("nothing is left of it")
        self.end("failed")

    def end(self, outcome: str) -> None:
        if self._as_json:
            typer.echo(json.dumps({"outcome": outcome, **self._said}))

    def _line(self, name: str, said: str) -> None:
        self._console.print(Text.assemble((f"{name:<9}", "bold"), said))

    def _complain(self, said: str) -> None:
        if not self._as_json:
            typer.echo(said, err=True)
