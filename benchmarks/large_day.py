"""A tenant-day of a million bills beside a bare script of the same SQL and suites: `python -m benchmarks.large_day`.

`[--rows 1000000]`. The ways are those of `against_bare.py`, once each.
"""

import argparse

from benchmarks.against_bare import FIRST, one_day, same_rows, show, ways
from benchmarks.figures import figure
from benchmarks.measuring import stdout_dropped


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    chosen = arguments.parse_args()
    with stdout_dropped(), ways(FIRST, chosen.rows) as opened:
        costs = one_day(opened, FIRST)
        compared = same_rows(opened, [FIRST])
    cpu = {way: cost.cpu_seconds for way, cost in costs.items()}
    show(chosen.rows, [costs], cpu, compared)
    figure(f"a day of {chosen.rows:,} rows / the bare script", cpu["warm"] / cpu["bare"], "CPU", 1.5)
    figure(f"a day of {chosen.rows:,} rows, peak", costs["warm"].peak_bytes / 1e9, "GB", 1.5)


if __name__ == "__main__":
    main()
