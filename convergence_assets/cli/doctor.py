"""`convergence doctor`: check a set-up for everything that can be wrong."""

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convergence_assets.cli.tables import print_table, prose
from convergence_assets.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convergence_assets.diagnostics.doctor.examine import Finding
    from convergence_assets.recovery.state_files import StateFile

_COLOURS = {"ok": "green", "warning": "yellow", "broken": "red"}


def doctor(
    repair: Annotated[
        bool, typer.Option("--repair", help="Make damaged state files anew, as far as that can be; asks first")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: do not ask")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding")] = False,
) -> None:
    """Look at everything that can be wrong with this set-up, and say what to do about it. Exit code 1 if anything is.

    Example: convergence doctor
    """
    if repair:
        _repair_files(yes=yes)
        return
    console = Console(soft_wrap=True, highlight=False)
    with Console(stderr=True).status("looking"):
        findings = list(_examined())
    if as_json:
        for finding in findings:
            typer.echo(json.dumps(asdict(finding)))
    else:
        print_findings(findings, console)
    raise typer.Exit(1 if any(finding.state == "broken" for finding in findings) else 0)


def _repair_files(*, yes: bool) -> None:
    """Each damaged file by itself: name what is lost with it before asking."""
    from convergence_assets.cli.instance import dagster_home, open_instance
    from convergence_assets.diagnostics.processes import processes_of
    from convergence_assets.recovery.repairing import repair_control_store, was_not_ended
    from convergence_assets.recovery.state_files import CONTROL_STORE, state_files

    settings = Settings.from_env()
    home = dagster_home(settings)
    # Dagster's storage comes first: the control store is made from it.
    files = sorted(state_files(settings, home), key=lambda file: file.what == CONTROL_STORE)
    damaged = [(file, why) for file in files if (why := file.damage())]
    if not damaged and not was_not_ended(settings):
        typer.echo("no file of the control store or of Dagster's storage is damaged")
        return
    if running := processes_of(settings, home):
        typer.echo("the platform runs here, and would go on writing to what is moved aside:", err=True)
        for process, words in running:
            typer.echo(f"  process {process}: {words}", err=True)
        typer.echo("Next: end it, then the same command", err=True)
        raise typer.Exit(1)
    control_store: StateFile | None = None
    for file, why in damaged:
        typer.echo(f"{file.path} ({file.what}) is damaged: {why}")
        typer.echo(f"It is moved aside and made anew. Lost, where no copy has it: {file.lost}.")
        typer.echo("Nothing of this platform may run meanwhile, and no published row is touched.")
        if not yes and not typer.confirm("Do it?", default=False):
            raise typer.Exit(1)
        if file.what == CONTROL_STORE:
            control_store = file
        else:
            typer.echo(f"moved to {file.put_aside()}")
    if control_store is not None or was_not_ended(settings):
        with open_instance(settings) as instance:
            for step in repair_control_store(settings, instance, control_store):
                typer.echo(step)


def _examined() -> "Sequence[Finding]":
    from convergence_assets.cli.instance import dagster_home, open_instance
    from convergence_assets.diagnostics.doctor.checks import AFTER, CHECKS
    from convergence_assets.diagnostics.doctor.examine import Setup, broken, examine

    try:
        settings = Settings.from_env()
    except SettingsError as error:
        return [broken("settings", error)]
    try:
        home = dagster_home(settings)
    except SettingsError:  # the checks of the home and of Dagster say it
        home = settings.dagster_home
    return list(examine(CHECKS, Setup(settings, partial(open_instance, settings), home), AFTER))


def print_findings(findings: "Sequence[Finding]", console: Console) -> None:
    """A table, and below it what to do: a remedy is what a reader types next, and no column may fold it."""
    table = Table("check", "state", prose("seen"))
    for finding in findings:
        table.add_row(finding.check, Text(finding.state, _COLOURS[finding.state]), Text(finding.seen))
    print_table(table)
    wrong = [finding for finding in findings if finding.next_step]
    for finding in wrong:
        colour = _COLOURS[finding.state]
        console.print(Text.assemble((f"{finding.check}: ", colour), f"next: {finding.next_step}"))
    if not wrong:
        console.print(Text("all is well", "green"))
