"""`convergence certify`: whether a Google project is fit for the platform, with a report."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from convergence_assets.cli.doctor import print_findings
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.diagnostics.certify.project import ProjectSetup
    from convergence_assets.diagnostics.certify.report import Report
    from convergence_assets.diagnostics.doctor.examine import Finding
    from convergence_assets.warehouse.bigquery.spending import Spending

_CHECK_SECONDS = 300.0
_CANARY_SECONDS = 3600.0
_AFTER_TRIALS = {"drain": ("warehouse contract",), "canary": ("warehouse contract",)}


def certify(
    canary: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="TENANT DAY", help="Also try the warehouse in a dataset of its own, and run this day"),
    ] = None,
    max_gigabytes: Annotated[
        int,
        typer.Option(
            min=1,
            help="With --canary: what all its statements together may be billed for",
        ),
    ] = 10,
    output: Annotated[Path | None, typer.Option(help="Write the report as JSON into this file", dir_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object")] = False,
) -> None:
    """Examine the Google project that this platform runs on, and report whether it is fit. Exit code 1 if it is not.

    Permissions, impersonation, locations, expiry, columns, quotas, labels and every tenant's queries are looked at
    without writing anything, and nothing is billed. --canary makes and removes a dataset, interrupts a day's run as a
    node that is drained does, and publishes the day.

    Example: convergence certify --output certified.json
    """
    settings = Settings.from_env()
    if settings.warehouse != "bigquery":
        raise typer.BadParameter(f"it examines a Google project, and the warehouse is {settings.warehouse} "
                                 f"({settings.warehouse_reason}); set GCP_PROJECT_ID. `convergence doctor` examines "
                                 "any set-up")  # fmt: skip
    with Console(stderr=True).status("looking"):
        report = _report(settings, canary, max_gigabytes)
    content = json.dumps(report.as_json(), indent=2)
    if output:
        try:
            output.write_text(content + "\n")
        except OSError as error:
            raise typer.BadParameter(f"{output} cannot be written: {error.strerror or error}") from None
    if as_json:
        typer.echo(content)
    else:
        console = Console(soft_wrap=True, highlight=False)
        print_findings(report.findings, console)
        console.print(_summary(report))
    raise typer.Exit(0 if report.passed else 1)


def _report(settings: Settings, canary: tuple[str, str] | None, max_gigabytes: int) -> "Report":
    from importlib.metadata import version

    from convergence_assets.cli.instance import dagster_home, open_instance
    from convergence_assets.diagnostics.certify.checks import AFTER, CHECKS
    from convergence_assets.diagnostics.certify.project import ProjectSetup
    from convergence_assets.diagnostics.certify.report import Report
    from convergence_assets.diagnostics.doctor.examine import examine
    from convergence_assets.warehouse.bigquery.spending import Spending, limited
    from convergence_assets.warehouse.interface import GIGABYTE

    spending = Spending(max_gigabytes * GIGABYTE)
    setup = ProjectSetup(settings, partial(open_instance, settings), dagster_home(settings))
    trials = _trials(setup, *canary, spending) if canary else {}  # a mistake in its words is told first
    began = setup.now()
    findings = list(examine(CHECKS, setup, AFTER, _CHECK_SECONDS))
    # A day is run on a project that has passed.
    if trials and not any(finding.state == "broken" for finding in findings):
        with limited(spending):
            findings += examine(trials, setup, _AFTER_TRIALS, _CANARY_SECONDS)
    else:
        findings += [_not_tried(name) for name in trials]
    project = settings.project or ""
    release = version("convergence-assets")
    return Report(project, release, began, setup.now(), canary, spending.billed, findings)


def _not_tried(name: str) -> "Finding":
    from convergence_assets.diagnostics.doctor.examine import Finding

    return Finding(name, "warning", "not tried: the project has not passed", "first what is said above")


def _summary(report: "Report") -> str:
    state = "fit" if report.passed else "not fit"
    written = f"the day {report.canary[1]} of {report.canary[0]} was run" if report.canary else "nothing was written"
    return f"project {report.project} is {state}: {written}, {report.bytes_billed / 2**20:.0f} MiB were billed"


def _trials(
    setup: "ProjectSetup", tenant_id: str, day: str, spending: "Spending"
) -> "dict[str, Callable[[ProjectSetup], Iterator[Finding]]]":
    from convergence_assets.cli import canary, drain
    from convergence_assets.diagnostics.certify import contract

    trial = canary.Canary(setup, tenant_id, day, spending)
    return {
        contract.NAME: lambda setup: contract.contract(setup, trial.tenant),
        drain.NAME: lambda setup: drain.drained(setup, trial),
        canary.NAME: trial.run,
    }
