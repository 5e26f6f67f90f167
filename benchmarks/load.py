"""CPU seconds to load N tenants of 6 assets each, after imports: `python -m benchmarks.load [--tenants 100]`."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.project import TENANTS, project

HEAVY = ("great_expectations", "pandas", "google.cloud", "scipy", "duckdb", "pyarrow")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tenants", type=int, default=100)
    with tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder:
        _write(Path(folder), arguments.parse_args().tenants)
        with project(Path(folder)):
            _measure()


def _write(folder: Path, count: int) -> None:
    """Tenants that run the shipped template and initech's own pipeline."""
    shutil.copy(TENANTS / "_defaults.yaml", folder)
    shipped = (TENANTS / "acme" / "tenant.yaml").read_text()
    own = "  - template: total_cost\n    start_date: 2026-10-01\nalerts:"
    for number in range(count):
        name = f"tenant{number:04d}"
        text = shipped.replace("tenant_id: acme", f"tenant_id: {name}").replace("acme_billing", f"{name}_billing")
        (folder / name).mkdir()
        (folder / name / "tenant.yaml").write_text(text.replace("alerts:", own))
        shutil.copytree(TENANTS / "initech" / "pipelines" / "total_cost", folder / name / "pipelines" / "total_cost")


def _measure() -> None:
    import convergence_assets.assets.factory
    import convergence_assets.tenancy.registry  # noqa: F401
    from convergence_assets import definitions

    start = time.process_time()
    loaded = definitions.defs() if callable(definitions.defs) else definitions.defs
    graph = loaded.get_repository_def().asset_graph
    spent = time.process_time() - start
    runnable, checks = len(graph.executable_asset_keys), len(graph.asset_check_keys)
    print(f"{runnable} assets, {checks} checks: {spent:.2f} CPU-s after imports")
    print("heavy imports:", ", ".join(m for m in HEAVY if m in sys.modules) or "none")


if __name__ == "__main__":
    main()
