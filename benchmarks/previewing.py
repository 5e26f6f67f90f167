"""What `convergence preview` costs beside running the days that it previews.

`python -m benchmarks.previewing [--tenants 100 --sample 10 --days 7 --rows 200]`: every tenant has published these days
by its own copy of `gcp_billing`; then the rounding of a line item's cost changes, so that every table is touched. CPU
seconds of the preview's process, beside those of one process that publishes the same days of the sampled tenants.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from rich.progress import track

from benchmarks.figures import figure
from benchmarks.many_tenants import write
from benchmarks.measuring import Cost, measured
from benchmarks.project import TENANTS, project
from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import TableRef

FIRST = date(2026, 10, 1)
PIPELINE = "gcp_billing"
LIBRARY = Path(__file__).parents[1] / "convergence_assets" / "pipelines" / "library" / PIPELINE
ROUNDED = ("CAST(e.cost AS NUMERIC) AS gross_amount", "ROUND(CAST(e.cost AS NUMERIC), 4) AS gross_amount")
AT_MOST = 1.3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tenants", type=int, default=100)
    arguments.add_argument("--sample", type=int, default=10)
    arguments.add_argument("--days", type=int, default=7)
    arguments.add_argument("--rows", type=int, default=200, help="bill rows a tenant and day")
    arguments.add_argument("--publish", nargs="*", metavar="TENANT", help="be the process that publishes these")
    chosen = arguments.parse_args()
    last = FIRST + timedelta(days=chosen.days - 1)
    if chosen.publish is not None:
        publish(Settings.from_env(), chosen.publish, last)
        return
    with tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder, project(Path(folder)) as settings:
        tenants = Path(folder)
        names = [f"tenant{number:03d}" for number in range(chosen.tenants)]
        for name in names:
            write_tenant(tenants, name)
        (tenants / "_defaults.yaml").write_text((TENANTS / "_defaults.yaml").read_text())
        registry = load_tenants(settings)
        assert not registry.problems, [problem.render() for problem in registry.problems]
        files = generate_bills(settings.home / "bills", DEMO_TENANTS[0], FIRST, last, seed=1, rows_per_day=chosen.rows)
        with open_warehouse(settings) as warehouse:
            for name in track(names, "bills"):
                source = registry.tenants[name].pipelines[0].steps[0].sources["billing_export"]
                table, schema = TableRef.parse(source.tables[0]), source_schema(source.spec)
                warehouse.load_files(table, schema, [SourceFile(str(file), "jsonl") for file in files], Job("load"))
        _publish(names, chosen.days)
        for name in names:
            sql = tenants / name / "pipelines" / PIPELINE / "gcp_cost_line_items.sql"
            text = sql.read_text()
            assert ROUNDED[0] in text
            sql.write_text(text.replace(*ROUNDED))
        staged = set((settings.home / "warehouse" / "staging").rglob("*"))
        preview = measured(
            [
                sys.executable, "-m", "convergence_assets.cli.main", "preview", "--json",
                "--days", str(chosen.days), "--sample", str(chosen.sample),
            ],
            os.environ, expected=(0, 3),
        )  # fmt: skip
        answer = json.loads(preview.output.splitlines()[-1])
        sampled = sorted({one["tenant_id"] for one in answer["previewed"]})
        assert len(sampled) == chosen.sample, sampled
        left = set((settings.home / "warehouse" / "staging").rglob("*")) - staged
        assert not left, left
        run = _publish(sampled, chosen.days)
    touched, tables = ({one[key] for one in answer["touched"]} for key in ("tenant_id", "table"))
    print(f"{len(touched)} tenants and {len(tables)} tables touched; {len(sampled)} tenants run")
    for what, cost in (("preview", preview), ("runs", run)):
        print(f"{what}: {cost.cpu_seconds:.1f} CPU-s, {cost.seconds:.0f} s, peak {cost.peak_bytes / 1e9:.2f} GB")
    figure(f"a preview of {chosen.sample} of {chosen.tenants} tenants / running their days",
           preview.cpu_seconds / run.cpu_seconds, "CPU", AT_MOST)  # fmt: skip


def write_tenant(folder: Path, name: str) -> None:
    """A tenant whose pipeline is its own copy of the library's."""
    export = f"{name}_billing.gcp_billing_export_resource_v1_0A1B2C"
    content = {
        "tenant_id": name,
        "display_name": name,
        "timezone": DEMO_TENANTS[0].timezone,
        "paused": True,  # nobody requests its days
        "owners": [f"finops@{name}.example"],
        "pipelines": [{"template": PIPELINE, "start_date": FIRST, "with": {"export_table": export}}],
    }
    write(folder / name / "tenant.yaml", content)
    shutil.copytree(LIBRARY, folder / name / "pipelines" / PIPELINE)


def _publish(names: Sequence[str], days: int) -> Cost:
    command = [sys.executable, "-m", "benchmarks.previewing", "--days", str(days), "--publish", *names]
    return measured(command, os.environ)


def publish(settings: Settings, names: Sequence[str], last: date) -> None:
    """Run the days of these tenants in this process, all days of one in one run."""
    import dagster as dg

    from convergence_assets.cli.run import Definitions

    registry = load_tenants(settings)
    definitions = Definitions(settings, registry)
    with dg.DagsterInstance.get() as instance:
        for name in names:
            tenant = registry.tenants[name]
            result = definitions.run(instance, tenant, tenant.pipelines[0], FIRST, last)
            assert result.succeeded, result


if __name__ == "__main__":
    main()
