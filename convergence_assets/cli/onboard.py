"""`convergence tenants onboard`: a tenant's settings from options or prompts, then the plan, then its steps."""

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
from convergence_assets.tenancy.grants import in_one_line
from convergence_assets.tenant_lifecycle import onboarding_request
from convergence_assets.tenant_lifecycle.onboarding_request import TenantSettings

if TYPE_CHECKING:
    from convergence_assets.tenancy.folder import Files
    from convergence_assets.tenant_lifecycle.onboarding import Onboarded, Onboarding

HANDED_OUT = 3
"""Exit code where the file has to be committed by other means."""
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
    schedule: Annotated[str | None, typer.Option(help="Cron in its timezone; default: the shared one")] = None,
    plan_name: Annotated[str | None, typer.Option(help="How much it may run; default: the shared plan")] = None,
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
        typer.Option(help="In a shared table: a project whose rows belong to this tenant; * stands for any characters"),
    ] = None,
    share_label: Annotated[
        list[str] | None, typer.Option(help="The same by a label, key=value; a row has to fit all of them")
    ] = None,
    apply_grants: Annotated[
        bool, typer.Option("--apply-grants", help="On BigQuery: allow its service account what it needs, as you")
    ] = False,
    platform_account: Annotated[
        str | None, typer.Option(help="Service account of the workers, which act as the tenant's; default: yours")
    ] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be made, and change nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Make it without asking")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with the plan and what was done")] = False,
) -> None:
    """Make a new tenant: its file, dataset, tables and API key. What exists is left unchanged.

    Asks for what no option says, on a terminal. Exit code 1 where it is refused or a step failed (what was made is then
    taken back), 3 where the tenants folder cannot be written: the file is then shown, to be committed.

    Example: convergence tenants onboard hooli --display-name Hooli --timezone America/Los_Angeles
    --template gcp_billing --with export_table=hooli_export.gcp_billing_export_resource_v1_0A --start-date 2026-10-01
    --yes
    """
    from convergence_assets.tenant_lifecycle.granting import own_account, why_not_applicable
    from convergence_assets.tenant_lifecycle.onboarding import OnboardingFailed, OnboardingRefused, files_of, plan
    from convergence_assets.tenant_lifecycle.onboarding_apply import apply
    from convergence_assets.tenant_lifecycle.onboarding_files import ReadOnlyPlace

    settings = Settings.from_env()
    if apply_grants and (why := why_not_applicable(settings)):
        raise typer.BadParameter(f"--apply-grants: {why}")
    platform_account = platform_account or (own_account(settings) if settings.warehouse == "bigquery" else None)
    files = files_of(settings, tenant)
    templates = tuple(dict.fromkeys(template or ()))
    requested = TenantSettings(
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
    new = onboarding_request.TENANT_FILE not in files
    asking = new and not yes and not as_json and sys.stdin.isatty()
    if asking:
        if wrong := onboarding_request.wrong_id(tenant):
            raise typer.BadParameter(wrong[0].message)
        requested = _ask_settings(requested, settings, files)
    try:
        template_names = requested.templates or (() if new else _existing_templates(files))
        requested = replace(requested, parameters=onboarding_request.parameters(with_ or [], template_names))
    except ValueError as error:
        raise typer.BadParameter(f"--with {error}") from None
    if asking:
        requested = _with_share(_with_parameters(requested, files), settings)
    if new and (absent := onboarding_request.missing(requested, files)):
        raise typer.BadParameter(_missing_message(absent, requested, files))
    output = _Output(as_json)
    try:
        planned = plan(requested, settings, datetime.now(UTC), platform_account)
        output.plan(planned)
        if only_plan:
            output.end("planned")
            return
        if not yes and (apply_grants or not planned.exists):
            _confirm(asking)
        onboarded = apply(planned, settings, getpass.getuser(), output.step, grants=apply_grants)
        output.onboarded(planned, onboarded)
    except OnboardingRefused as error:
        output.refused(error.reasons, error.next_step)
        raise typer.Exit(1) from None
    except ReadOnlyPlace as error:
        output.handed_out(planned, str(error.strerror))
        raise typer.Exit(HANDED_OUT) from None
    except OnboardingFailed as error:
        output.failed(str(error), error.undone, error.left)
        raise typer.Exit(1) from None


def _routes(texts: Sequence[str]) -> tuple[onboarding_request.Route, ...]:
    try:
        return tuple(onboarding_request.route(text) for text in texts)
    except ValueError as error:
        raise typer.BadParameter(f"--alert-route: {error}") from None


def _labels(pairs: Sequence[str]) -> dict[str, str]:
    try:
        return onboarding_request.labels(pairs)
    except ValueError as error:
        raise typer.BadParameter(f"--share-label: {error}") from None


def _day(text: str | None) -> date | None:
    return day_of(text, "--start-date") if text else None


def _ask_settings(requested: TenantSettings, settings: Settings, files: "Files") -> TenantSettings:
    """Prompt for what no option gives; an empty answer takes the default in brackets."""
    usual_name = requested.tenant_id.replace("_", " ").title()
    name = requested.display_name or typer.prompt("Display name", default=usual_name)
    zone = requested.timezone or typer.prompt("Timezone (a partition is a day there)", default="UTC", value_proc=_zone)
    templates = requested.templates
    if not templates:
        templates_known = onboarding_request.templates_of(files)
        answer = typer.prompt(
            f"Pipelines, with spaces between ({', '.join(templates_known)})", default=templates_known[0]
        )
        templates = tuple(dict.fromkeys(answer.split()))
    first = datetime.now(ZoneInfo(zone)).date().replace(day=1) if _is_zone(zone) else datetime.now(UTC).date()
    start = requested.start_date or _day(
        typer.prompt("First day to make", default=first.isoformat(), value_proc=_a_day)
    )
    owners, location = requested.owners, requested.location
    if not owners:
        answer = typer.prompt("Owner (e-mail address or team:name, may be left out)", default="", show_default=False)
        owners = (answer,) if answer else ()
    if location is None and settings.warehouse == "bigquery":
        answer = typer.prompt("BigQuery location (EU, US, europe-west3, ...; empty: the project's)", default="")
        location = answer or None
    return replace(
        requested, display_name=name, timezone=zone, templates=templates, start_date=start, owners=owners,
        location=location,
    )  # fmt: skip


def _with_parameters(requested: TenantSettings, files: "Files") -> TenantSettings:
    parameters = {name: dict(values) for name, values in requested.parameters.items()}
    for template in requested.templates:
        for name, meaning in onboarding_request.required(template, files).items():
            if name not in parameters.get(template, {}):
                answer = typer.prompt(f"{template}, {name} ({meaning})")
                parameters |= onboarding_request.parameters([f"{template}.{name}={answer}"], requested.templates)
    return replace(requested, parameters=parameters)


def _with_share(requested: TenantSettings, settings: Settings) -> TenantSettings:
    """Prompt for which rows are its, where a table that it names is other tenants' too."""
    from convergence_assets.tenancy.registry import load_tenants

    if requested.shared_projects or requested.shared_labels:
        return requested
    registry = load_tenants(settings)
    others = [t for t in registry.tenants.values() if t.tenant_id != requested.tenant_id]
    read = {name for t in others for p in t.pipelines for s in p.steps for o in s.sources.values() for name in o.tables}
    for table in onboarding_request.tables_named(requested):
        if table in read or any(shared.is_among([table]) for shared in registry.shared_sources):
            typer.echo(f"{table} is read by other tenants too: which of its rows are {requested.tenant_id}'s?")
            projects = typer.prompt("Projects, with spaces between (empty: by labels)", default="", show_default=False)
            pairs = "" if projects else typer.prompt("Labels, key=value with spaces between")
            return replace(requested, shared_projects=tuple(projects.split()), shared_labels=_labels(pairs.split()))
    return requested


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


def _existing_templates(files: "Files") -> Sequence[str]:
    existing, _ = onboarding_request.parse_tenant_file(
        onboarding_request.TENANT_FILE, files[onboarding_request.TENANT_FILE]
    )
    return [pipeline.template for pipeline in existing.pipelines] if existing else []


def _missing_message(absent: Sequence[str], requested: TenantSettings, files: "Files") -> str:
    options = []
    for name in absent:
        if name.startswith("with "):
            template, _, parameter = name.removeprefix("with ").partition(".")
            meaning = onboarding_request.required(template, files)[parameter]
            key = parameter if len(requested.templates) == 1 else f"{template}.{parameter}"
            options.append(f"--with {key}=... ({meaning})")
        elif name == "templates":
            options.append(f"--template (one or more of {', '.join(onboarding_request.templates_of(files))})")
        else:
            options.append(_FLAGS[name])
    return f"missing: {', '.join(options)}"


def _confirm(asking: bool) -> None:
    if not asking:
        raise typer.BadParameter("nothing is made unless --yes says so; --plan shows what would be")
    if not typer.confirm("Make it?", default=True):
        raise typer.Exit(1)


class _Output:
    """Text step by step, or one JSON object at the end."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(soft_wrap=True, highlight=False)
        self._fields: dict[str, Any] = {}

    def plan(self, planned: "Onboarding") -> None:
        self._fields["plan"] = planned.described()
        if self._as_json:
            return
        if planned.exists:
            self._print_line("file", f"{planned.file.shown} is there and says the same")
            self._print_grants(planned)
            return
        tenant = planned.tenant
        self._print_line("file", planned.file.shown)
        for text in planned.content.decode().splitlines():
            self._print_line("", text)
        if planned.lines:
            self._print_line("allows", f"{in_one_line(planned.lines.grant)}, in {planned.lines.file.shown}")
        self._print_grants(planned)
        dataset = tenant.dataset if tenant.project is None else f"{tenant.project}.{tenant.dataset}"
        self._print_line("dataset", dataset + (f" in {tenant.location}" if tenant.location else ""))
        self._print_line("tables", ", ".join(ref.table for ref, _ in planned.tables))
        self._print_line("assets", ", ".join(planned.assets))
        for schedule in planned.schedules:
            days = "none is due yet" if not schedule.due else f"{schedule.due} due already, requested in turn"
            first_due = (
                f"the first day, {schedule.first_day}, is due {schedule.first_due_at:%Y-%m-%d %H:%M} UTC ({days})"
            )
            self._print_line(
                "schedule", f"{schedule.pipeline}: {schedule.schedule} in {schedule.timezone}; {first_due}"
            )
        bytes_read = planned.bytes_a_day
        self._print_line(
            "a day",
            "not counted: the warehouse does not count, or what is read is not there yet"
            if bytes_read is None
            else f"reads {bytes_read:,} bytes",
        )

    def _print_grants(self, planned: "Onboarding") -> None:
        for grant in planned.account_grants:
            self._print_line("allow", grant.command)

    def step(self, text: str) -> None:
        if not self._as_json:
            self._console.print(Text.assemble(("done", "green"), f"  {text}"))

    def onboarded(self, planned: "Onboarding", result: "Onboarded") -> None:
        self._fields |= {"done": list(result.done), "api_key": result.secret, "next": list(result.next_steps)}
        tenant_id = planned.tenant.tenant_id
        if not self._as_json:
            if result.done:
                self._console.print(Text(f"tenant {tenant_id} is onboarded"))
            else:
                self._console.print(Text(f"tenant {tenant_id} is already as requested: nothing was changed"))
            if result.secret:
                self._console.print(Text(f"API key, shown this once: {result.secret}", "bold"))
            for step in result.next_steps if result.done else ():
                self._print_line("next", step)
        self.end("onboarded" if result.done else "unchanged")

    def refused(self, reasons: Sequence[str], next_step: str) -> None:
        self._fields |= {"reasons": list(reasons), "next": [next_step]}
        for reason in reasons:
            self._print_error(reason)
        self._print_error(f"Next: {next_step}")
        self.end("refused")

    def handed_out(self, planned: "Onboarding", why: str) -> None:
        file, again = planned.file.shown, "commit the file there, then the same command again makes the tables"
        if planned.lines:
            again = f"{planned.lines.by_hand}, {again}"
        self._fields |= {"file": file, "content": planned.content.decode(), "next": [again]}
        self._print_error(f"{file}: {why}. Nothing was changed. Next: {again}.")
        if not self._as_json:
            typer.echo(planned.content.decode(), nl=False)
        self.end("handed_out")

    def failed(self, failure: str, undone: Sequence[str], left: Sequence[str]) -> None:
        self._fields |= {"failure": failure, "undone": list(undone), "left": list(left)}
        self._print_error(failure)
        for item in undone:
            self._print_error(f"taken back: {item}")
        for item in left:
            self._print_error(f"left: {item}")
        if not left:
            self._print_error("nothing is left of it")
        self.end("failed")

    def end(self, outcome: str) -> None:
        if self._as_json:
            typer.echo(json.dumps({"outcome": outcome, **self._fields}))

    def _print_line(self, name: str, text: str) -> None:
        self._console.print(Text.assemble((f"{name:<9}", "bold"), text))

    def _print_error(self, text: str) -> None:
        if not self._as_json:
            typer.echo(text, err=True)
