"""Peak memory and time of one tenant-day with a million bills: `python -m benchmarks.large_day [--rows N --seed N]`."""

import argparse
import json
import resource
import subprocess
import sys
import time
from datetime import date

from benchmarks.figures import figure
from benchmarks.project import load_bills, project

DAY = date(2026, 10, 1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    chosen = arguments.parse_args()
    with project() as settings:
        start = time.monotonic()
        loaded = load_bills(settings, "acme", DAY, DAY, rows_per_day=chosen.rows, seed=chosen.seed)
        print(f"seed {chosen.seed}: {loaded:,} rows made and loaded in {time.monotonic() - start:.1f} s")
        start = time.monotonic()
        command = [sys.executable, "-m", "convergence_assets.cli.main", "run", "acme", "gcp_billing"]
        ran = subprocess.run([*command, "--partition", str(DAY), "--json"], stdout=subprocess.PIPE, text=True)
        result = json.loads(ran.stdout)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        failed = [c["name"] for c in result["checks"] if not c["passed"]]
        print(f"published {result['published']}, failed checks {failed}, {result['failure'] or 'succeeded'}")
        figure(f"a day of {chosen.rows:,} rows", used.ru_utime + used.ru_stime, "CPU-s")
        figure(f"a day of {chosen.rows:,} rows, peak", used.ru_maxrss * 1024 / 1e9, "GB", 1.5)


if __name__ == "__main__":
    main()
