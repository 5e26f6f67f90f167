"""`convergence logs`: what happened in a run, from Dagster's own storage."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import run_of
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.ledger.log_lines import Line

_STYLES = {"error": "red", "warning": "yellow", "debug": "dim"}


class Level(StrEnum):
    """The least that is shown."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def logs(
    run: Annotated[str, typer.Argument(help="Run id, or a beginning of it that no other run has")],
    level: Annotated[Level, typer.Option(help="The least that is shown")] = Level.info,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an event")] = False,
) -> None:
    """What happened in a run, step by step; needs no warehouse.

    Example: convergence logs 3f2a91c0 --level warning
    """
    with open_instance(Settings.from_env()) as instance:
        run_id = run_of(instance, run)
        from convergence_assets.ledger.log_lines import LEVELS, lines

        shown = [line for line in lines(instance, run_id) if LEVELS[line.level] >= LEVELS[level.value]]
        dagster_run = instance.get_run_by_id(run_id)
    if as_json:
        for line in shown:
            sys.stdout.write(json.dumps(asdict(line) | {"run_id": run_id}, default=str) + "\n")
        return
    console = Console(soft_wrap=True, highlight=False)
    for line in shown:
        console.print(_text(line))
    console.print(f"run {run_id}: {dagster_run.status.value if dagster_run else 'deleted'}", style="dim")


def _text(line: "Line") -> Text:
    """One line, whatever the message holds: what happened, and in brackets its day, class and rows."""
    about = (line.partition, line.error_class, f"{line.rows:,} rows" if line.rows is not None else None)
    named = ", ".join(word for word in about if word)
    end = f" [{named}]" if named else ""
    step = f"{line.step.rsplit('__', 1)[-1]} " if line.step else ""
    message = " ".join(line.message.split())
    begin = f"{line.moment:%m-%d %H:%M:%S} {line.level:<7} {step}{line.event.replace('pipeline_', 'run_')}"
    return Text(f"{begin}: {message}{end}", _STYLES.get(line.level, ""))
