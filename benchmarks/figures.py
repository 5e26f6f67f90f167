"""A measured figure: said where it is measured, and kept for the table of `make bench`."""

import json
import os
from pathlib import Path

RESULTS = "CONVERGENCE_BENCH_RESULTS"
"""The variable that names the file in which figures are kept, one JSON object a line."""


def figure(what: str, value: float, unit: str, at_most: float | None = None) -> None:
    """Say it, with what it may be at most where that is promised."""
    promised = "" if at_most is None else f" (at most {at_most:g})"
    print(f"{what}: {value:.3g} {unit}{promised}", flush=True)
    if file := os.environ.get(RESULTS):
        row = {"what": what, "value": value, "unit": unit, "at_most": at_most}
        with Path(file).open("a") as results:
            results.write(json.dumps(row) + "\n")
