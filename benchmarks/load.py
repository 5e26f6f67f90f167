"""What loading N tenants of 6 assets and 24 checks costs, after imports: `python -m benchmarks.load [--json]`.

Each size in a process of its own: CPU seconds of the load, of its snapshot for the webserver and daemon, bytes of the
snapshot, peak memory of a process that did both. Files are read a second time, as a code server does on a reload; the
first time a tenant's version is seen it is kept as well.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import figure
from benchmarks.many_tenants import write_tenants
from benchmarks.project import project

SIZES = (10, 100, 1000)
HEAVY = ("great_expectations", "pandas", "google.cloud", "scipy", "duckdb", "pyarrow")


def measured(tenants: int) -> dict[str, float]:
    """Load that many tenants in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", "--tenants", str(tenants), "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def _measure(tenants: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder:
        write_tenants(Path(folder), tenants)
        with project(Path(folder)) as settings:
            from convergence_assets import definitions
            from convergence_assets.pipelines import catalog
            from convergence_assets.pipelines import compile as compiling
            from convergence_assets.tenancy.registry import load_tenants

            start = time.process_time()
            load_tenants(settings)
            first = time.process_time() - start
            for cached in (catalog._load_files, compiling.compile_sql, compiling._read_text, compiling._read_query):
                cached.cache_clear()
            start = time.process_time()
            loaded = definitions.defs() if callable(definitions.defs) else definitions.defs
            repository = loaded.get_repository_def()
            graph = repository.asset_graph
            load = time.process_time() - start
            heavy = [module for module in HEAVY if module in sys.modules]
            assert not heavy, f"definitions load imports {heavy}"

            from dagster._core.remote_representation.external_data import RepositorySnap
            from dagster._serdes import serialize_value

            start = time.process_time()
            snapshot = serialize_value(RepositorySnap.from_def(repository))
            return {
                "tenants": tenants,
                "assets": len(graph.executable_asset_keys),
                "checks": len(graph.asset_check_keys),
                "first_read_cpu_seconds": first,
                "load_cpu_seconds": load,
                "snapshot_cpu_seconds": time.process_time() - start,
                "snapshot_bytes": len(snapshot),
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tenants", type=int, help="this many alone, in this process")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    if chosen.tenants:
        print(json.dumps(_measure(chosen.tenants)))
        return
    found = [measured(size) for size in SIZES]
    if chosen.json:
        print(json.dumps(found))
        return
    table = Table("tenants", "assets", "checks", "load CPU-s", "snapshot CPU-s", "snapshot MB", "peak MB")
    for one in found:
        table.add_row(
            *(f"{one[name]:.0f}" for name in ("tenants", "assets", "checks")),
            f"{one['load_cpu_seconds']:.2f}", f"{one['snapshot_cpu_seconds']:.2f}",
            f"{one['snapshot_bytes'] / 1e6:.1f}", f"{one['peak_bytes'] / 1e6:.0f}",
        )  # fmt: skip
    Console().print(table)
    ratio = found[-1]["load_cpu_seconds"] / found[-2]["load_cpu_seconds"]
    figure(f"load of {SIZES[-1]} tenants", found[-1]["load_cpu_seconds"], "CPU-s", 12)
    figure(f"load of {SIZES[-1]} tenants / {SIZES[-2]}", ratio, "CPU", 11)
    figure(f"snapshot of {SIZES[-1]} tenants", found[-1]["snapshot_bytes"] / 1e6, "MB")


if __name__ == "__main__":
    main()
