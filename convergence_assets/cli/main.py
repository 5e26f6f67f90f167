"""The `convergence` command: its subcommands, and how their failures reach a person."""

import logging
import signal
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from convergence_assets.cli.alerts import alerts
from convergence_assets.cli.backfill import backfill
from convergence_assets.cli.changes import changes
from convergence_assets.cli.clear_stuck import clear_stuck
from convergence_assets.cli.compile import compile_sql
from convergence_assets.cli.costs import costs
from convergence_assets.cli.demo import demo
from convergence_assets.cli.diagnose import diagnose
from convergence_assets.cli.doctor import doctor
from convergence_assets.cli.faults import of_the_machine
from convergence_assets.cli.jobs import jobs
from convergence_assets.cli.keys import keys
from convergence_assets.cli.ledger import ledger
from convergence_assets.cli.load import load
from convergence_assets.cli.locks import locks
from convergence_assets.cli.logs import logs
from convergence_assets.cli.query import query
from convergence_assets.cli.restore import restore
from convergence_assets.cli.run import run
from convergence_assets.cli.schedule import pause, resume, schedule
from convergence_assets.cli.schema import schema
from convergence_assets.cli.serve import serve
from convergence_assets.cli.shares import shares
from convergence_assets.cli.status import status
from convergence_assets.cli.tenants import tenants
from convergence_assets.cli.up import up
from convergence_assets.cli.validate import validate
from convergence_assets.cli.watch import watch
from convergence_assets.cli.workspace import workspace
from convergence_assets.control.errors import ControlError
from convergence_assets.logs.process import set_up
from convergence_assets.redaction import redacted
from convergence_assets.settings import SettingsError
from convergence_assets.tenancy.folder import UnreadableFolder
from convergence_assets.warehouse.errors import WarehouseError

app = typer.Typer(
    name="convergence",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_START, _TENANTS, _DAYS, _LOOK, _OPERATE = "Start", "Tenants", "Days", "Look", "Operate"
for panel, commands in {
    _START: (demo, up, validate, doctor),
    _TENANTS: (schema,),
    _DAYS: (run, backfill, schedule, pause, resume, load, restore),
    _LOOK: (status, logs, diagnose, query, costs, shares, changes, jobs),
    _OPERATE: (clear_stuck, watch, serve, workspace),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.command("compile", rich_help_panel=_LOOK)(compile_sql)
app.add_typer(tenants, rich_help_panel=_TENANTS)
app.add_typer(keys, rich_help_panel=_TENANTS)
app.add_typer(alerts, rich_help_panel=_LOOK)
app.add_typer(locks, rich_help_panel=_OPERATE)
app.add_typer(ledger, rich_help_panel=_OPERATE)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"convergence {version('convergence-assets')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Say it, and exit", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Multi-tenant cloud-cost pipelines on Dagster and BigQuery."""


def main() -> NoReturn:
    """Run the command; a user's mistake is one line on stderr and exit code 2, never a stack trace."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    # A terminated command ends as an interrupted one does: it cancels its jobs and closes its run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        set_up(sys.stderr, logging.WARNING, readable=True)
        app()
    except (SettingsError, UnreadableFolder, ControlError) as error:
        console.print(Text("error:", "red"), Text(redacted(str(error))))
    except WarehouseError as error:
        console.print(Text("error:", "red"), Text(redacted(f"{error.error_class}: {error}. Next: {error.remedy}")))
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        sentence = of_the_machine(error)
        if sentence is None:
            raise
        console.print(Text("error:", "red"), Text(redacted(sentence)))
    sys.exit(2)


if __name__ == "__main__":
    main()
