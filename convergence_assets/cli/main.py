"""The `convergence` command: its subcommands, and how their failures reach a person."""

import gc
import logging
import signal
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from convergence_assets.cli.commands import LazyCommands
from convergence_assets.cli.faults import of_the_machine
from convergence_assets.control.errors import ControlError
from convergence_assets.logs.process import set_up
from convergence_assets.redaction import redacted
from convergence_assets.settings import SettingsError
from convergence_assets.tenancy.folder import UnreadableFolder
from convergence_assets.warehouse.errors import WarehouseError

_OBJECTS_BETWEEN_COLLECTIONS = 100_000

app = typer.Typer(
    name="convergence",
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_given: bool) -> None:
    if is_given:
        from importlib.metadata import version

        typer.echo(f"convergence {version('convergence-assets')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Multi-tenant cloud-cost pipelines on Dagster and BigQuery."""


def main() -> NoReturn:
    """Run the command; a user's mistake is one line on stderr and exit code 2, never a stack trace."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    # A terminated command ends as an interrupted one does: it cancels its jobs and closes its run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Start-up makes objects by the hundred thousand and no garbage: looking for it takes an eighth of a short command.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
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
