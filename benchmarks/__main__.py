"""Every benchmark, one table, raw results as JSON: `python -m benchmarks [--json FILE] [NAME...]`.

A benchmark that fails is named in the table; the others are measured all the same, and the exit code is 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import RESULTS
from benchmarks.measuring import machine

ALL = (
    "against_bare", "against_peers", "load", "starting", "backfill", "large_day", "neighbour", "reading",
    "planning", "ledger", "watching", "api", "storage", "focus_rules", "previewing",
)  # fmt: skip
PACKAGES = ["dagster", "great_expectations", "duckdb", "pandas", "sqlglot", "SQLAlchemy"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", choices=[*ALL, []], metavar="NAME", help=f"of {', '.join(ALL)}")
    arguments.add_argument("--json", type=Path, default=Path("benchmarks-results.json"))
    chosen = arguments.parse_args()
    console = Console()
    described = machine(PACKAGES)
    measured: dict[str, list[dict[str, object]]] = {}
    failed: list[str] = []
    for name in chosen.names or ALL:
        began = time.monotonic()
        console.print(f"[bold]{name}[/bold]")
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder, "results.jsonl")
            ended = subprocess.run(
                [sys.executable, "-m", f"benchmarks.{name}"], env=os.environ | {RESULTS: str(results)}
            )
            lines = results.read_text().splitlines() if results.exists() else []
        measured[name] = [json.loads(line) for line in lines]
        if ended.returncode:
            failed.append(name)
        console.print(f"{time.monotonic() - began:.0f} s")
    chosen.json.write_text(json.dumps({"machine": described, "figures": measured, "failed": failed}, indent=1) + "\n")
    console.print(_table(measured, failed))
    console.print(", ".join(f"{key} {value}" for key, value in described.items()))
    sys.exit(1 if failed else 0)


def _table(measured: dict[str, list[dict[str, object]]], failed: list[str]) -> Table:
    table = Table("", "figure", "measured", "", "at most", title="benchmarks")
    for name, figures in measured.items():
        for row in figures:
            value, at_most = row["value"], row["at_most"]
            over = isinstance(value, float | int) and isinstance(at_most, float | int) and value > at_most
            shown = f"[red]{value:.3g}[/red]" if over else f"{value:.3g}"
            table.add_row(name, str(row["what"]), shown, str(row["unit"]), "" if at_most is None else f"{at_most:g}")
        if name in failed:
            table.add_row(name, "[red]failed[/red]", "", "", "")
    return table


if __name__ == "__main__":
    main()
