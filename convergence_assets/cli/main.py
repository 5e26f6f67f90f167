"""The `convergence` command: its subcommands, and how their failures reach a person."""

import logging
import signal
import sys
from typing import NoReturn

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
    help="Multi-tenant cloud-cost pipelines on Dagster and BigQuery.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    demo,
    up,
    validate,
    schema,
    run,
    backfill,
    schedule,
    pause,
    resume,
    query,
    load,
    jobs,
    status,
    doctor,
    clear_stuck,
    watch,
    logs,
    serve,
    workspace,
    costs,
    changes,
    diagnose,
    restore,
):
    app.command()(command)
app.command("compile")(compile_sql)
app.add_typer(locks)
app.add_typer(ledger)
app.add_typer(alerts)
app.add_typer(tenants)
app.add_typer(keys)


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
    sys.exit(2)


if __name__ == "__main__":
    main()
