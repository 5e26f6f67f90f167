"""The commands by name: each module is imported when its command is called, not to list it.

Importing all of them takes a second; `--help` and most commands answer in a tenth of it.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Entry:
    """A command or a group of commands: `attribute` of `module` in this package."""

    module: str
    attribute: str
    panel: str
    help: str

    def listed(self, name: str) -> TyperCommand:
        """What `--help` shows of it."""
        return TyperCommand(name, help=self.help, rich_help_panel=self.panel)

    def loaded(self, name: str) -> Any:
        """The command itself."""
        target = getattr(import_module(f"convergence_assets.cli.{self.module}"), self.attribute)
        if isinstance(target, typer.Typer):
            group = typer.main.get_group(target)
            group.name, group.rich_help_panel = name, self.panel
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(name, rich_help_panel=self.panel)(target)
        return typer.main.get_command(alone)


COMMANDS: dict[str, Entry] = {
    "demo": Entry(
        "demo",
        "demo",
        "Start",
        "Generate a month of GCP bills, run the demo tenants' pipelines, and show what was published and why not.",
    ),
    "up": Entry(
        "up",
        "up",
        "Start",
        "Run the platform here: Dagster's UI, its daemon and code server, and the HTTP service. Ctrl-C ends all of it.",
    ),
    "validate": Entry(
        "validate",
        "validate",
        "Start",
        "Check all tenant and pipeline files; exit code 1 if anything is wrong. Nothing is written.",
    ),
    "preview": Entry(
        "preview",
        "preview",
        "Start",
        "Show what the files here would change in published tables: rows, money, checks, columns. Nothing is "
        "published.",
    ),
    "doctor": Entry(
        "doctor",
        "doctor",
        "Start",
        "Look at everything that can be wrong with this set-up, and say what to do about it. Exit code 1 if "
        "anything is.",
    ),
    "certify": Entry(
        "certify",
        "certify",
        "Start",
        "Examine the Google project that this platform runs on, and report whether it is fit. Exit code 1 if it is "
        "not.",
    ),
    "schema": Entry(
        "schema",
        "schema",
        "Tenants",
        "Print the JSON Schema of a file, generated from what the loader checks.",
    ),
    "tenants": Entry("tenants", "tenants", "Tenants", "List, onboard, migrate and remove tenants."),
    "keys": Entry("keys", "keys", "Tenants", "API keys of tenants."),
    "run": Entry(
        "run",
        "run",
        "Days",
        "Materialise a pipeline for a day or a range; exit code 1 if a partition was not published.",
    ),
    "backfill": Entry(
        "backfill",
        "backfill",
        "Days",
        "Materialise a range of days, oldest first; started again, it goes on with those that are not published.",
    ),
    "upgrade": Entry(
        "upgrade",
        "upgrade",
        "Days",
        "Upgrade tables whose step declares a higher `version` than the one that is read.",
    ),
    "schedule": Entry(
        "schedule",
        "schedule",
        "Days",
        "What is published and due of every pipeline, and why a day is not requested.",
    ),
    "pause": Entry(
        "schedule",
        "pause",
        "Days",
        "Request no day of a pipeline, or of any of a tenant's, until `resume`; what runs already goes on.",
    ),
    "resume": Entry(
        "schedule",
        "resume",
        "Days",
        "Request the days of what was paused again; those that were missed are caught up, the newest first.",
    ),
    "load": Entry(
        "load",
        "load",
        "Days",
        "Load files into a source table, replacing the days that they hold (loading a file twice changes nothing).",
    ),
    "export": Entry("export", "export", "Look", "Published tables as files."),
    "restore": Entry(
        "restore",
        "restore",
        "Days",
        "Put a published partition back to what it was at a moment, in one atomic step, after showing what that means.",
    ),
    "status": Entry(
        "status",
        "status",
        "Look",
        "Whether the platform works, open alerts, and of each pipeline its last run and last published day.",
    ),
    "day": Entry(
        "day",
        "day",
        "Look",
        "What became of one day: which tables are published, the runs that worked on it, and why it is not requested.",
    ),
    "logs": Entry("logs", "logs", "Look", "What happened in a run, step by step; needs no warehouse."),
    "diagnose": Entry(
        "diagnose",
        "diagnose",
        "Look",
        "Gather all evidence of a run: a summary here, and a zip file of JSON and SQL with secrets hidden.",
    ),
    "query": Entry(
        "query",
        "query",
        "Look",
        "Read any table, read-only; with --rows \"bills=[STRUCT('a' AS sku, NUMERIC '1.5' AS cost)]\" also rows"
        " that are written out, as table bills.",
    ),
    "costs": Entry(
        "costs",
        "costs",
        "Look",
        "What the runs of each pipeline were billed, by the time at which they were created; reads no warehouse.",
    ),
    "shares": Entry(
        "shares",
        "shares",
        "Look",
        "Count rows and cost of every shared source by tenant, and of the rows that no tenant owns; by "
        "default of the last seven days.",
    ),
    "changes": Entry(
        "changes",
        "changes",
        "Look",
        "What changed in tenants' files, pipelines' code, tables and packages, and who did what; the oldest "
        "first, in UTC.",
    ),
    "jobs": Entry(
        "jobs",
        "jobs",
        "Look",
        "The jobs of this platform on the warehouse by tenant and run: those that run now, and what the last "
        "runs sent.",
    ),
    "compile": Entry(
        "compile",
        "compile_sql",
        "Look",
        "Print the SQL of a pipeline's steps as the active warehouse is given it, with its parameters; nothing is run.",
    ),
    "alerts": Entry("alerts", "alerts", "Look", "What is wrong now, and who was told."),
    "clear-stuck": Entry(
        "clear_stuck",
        "clear_stuck",
        "Operate",
        "End runs that are stuck: cancel their warehouse jobs, end their processes, release their locks, and "
        "request their days again.",
    ),
    "watch": Entry(
        "watch",
        "watch",
        "Operate",
        "Monitor the daemon, its code location, sensors and schedules from a process of its own, and send "
        "their alerts.",
    ),
    "serve": Entry(
        "serve",
        "serve",
        "Operate",
        "Serve the HTTP API until the process is told to end; requests in flight are finished, exit code 0.",
    ),
    "workspace": Entry(
        "workspace",
        "workspace",
        "Operate",
        "Print a workspace.yaml with one code server per shard of the tenants, and the command that starts each.",
    ),
    "locks": Entry("locks", "locks", "Operate", "Which runs hold which days of which pipeline."),
    "prune": Entry(
        "prune",
        "prune",
        "Operate",
        "Remove runs, events, ticks and ledger rows that are older than they are kept. The sensor `history` does so "
        "daily.",
    ),
    "ledger": Entry("ledger", "ledger", "Operate", "The x_meta tables: how far they are behind, and a rebuild."),
}


class LazyCommands(TyperGroup):
    """A group whose commands are those of `COMMANDS`."""

    def __init__(self, **options: Any) -> None:
        listed = {name: entry.listed(name) for name, entry in COMMANDS.items()}
        super().__init__(**options | {"commands": listed})
        self._is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)  # in this order, not by name

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._is_listing or cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        return COMMANDS[cmd_name].loaded(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False
