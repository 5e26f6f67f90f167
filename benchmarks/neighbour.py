"""A tenant's day and query beside another tenant's long query: `python -m benchmarks.neighbour [--pairs 3]`."""

import argparse
import statistics
import subprocess
import sys
import time
from datetime import date, timedelta

from benchmarks.figures import figure
from benchmarks.project import load_bills, project

FIRST = date(2026, 10, 1)
CONVERGENCE = [sys.executable, "-m", "convergence_assets.cli.main"]
# Minutes of work; the benchmark ends it when B is through.
LONG = (
    "SELECT COUNT(*) FROM acme.gcp_cost_line_items a CROSS JOIN acme.gcp_cost_line_items b "
    "WHERE MOD(LENGTH(CONCAT(a.sku_id, b.sku_description)), 7) = 6"
)
QUERY = "SELECT usage_date, SUM(net_cost) AS net FROM globex.gcp_cost_daily GROUP BY 1"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pairs", type=int, default=3)
    pairs = arguments.parse_args().pairs
    with project() as settings:
        load_bills(settings, "acme", FIRST, FIRST, rows_per_day=200_000, seed=1)
        load_bills(settings, "globex", FIRST, FIRST + timedelta(days=pairs), rows_per_day=5_000, seed=2)
        _seconds("run", "acme", "gcp_billing", "--partition", str(FIRST))
        _seconds("run", "globex", "gcp_billing", "--partition", str(FIRST))
        ratios: dict[str, list[float]] = {"tenant-day": [], "query": []}
        for number in range(1, pairs + 1):
            day = ("run", "globex", "gcp_billing", "--partition", str(FIRST + timedelta(days=number)))
            idle = {"tenant-day": _seconds(*day), "query": _seconds("query", QUERY)}
            with subprocess.Popen([*CONVERGENCE, "query", LONG], stdout=subprocess.DEVNULL) as long:
                time.sleep(3)
                beside = {"tenant-day": _seconds(*day), "query": _seconds("query", QUERY)}
                assert long.poll() is None, "the long query ended before the other tenant was through"
                long.terminate()
            for what, ratio in ratios.items():
                ratio.append(beside[what] / idle[what])
                print(f"{what}: idle {idle[what]:.2f} s, beside the long query {beside[what]:.2f} s")
    for what, measured in ratios.items():
        figure(f"{what}, beside a long query of another tenant / alone", statistics.median(measured), "seconds")


def _seconds(*command: str) -> float:
    start = time.monotonic()
    subprocess.run([*CONVERGENCE, *command], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
