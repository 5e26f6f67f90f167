"""What a warm worker spends on a day of `gcp_billing`: `python -m benchmarks.tenant_day [--rows 10000 --days 9]`.

Workers are launched as the daemon launches them, one day after another; CPU seconds are the whole worker's, from its
fork to its end, as the kernel counted them.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher.base import LaunchRunContext

from benchmarks.project import load_bills, project
from convergence_assets.assets.tags import partition_key, run_tags

FIRST = date(2026, 10, 1)


@dataclass(frozen=True)
class Day:
    """One run: CPU seconds and peak bytes of its worker, seconds from the launch to its start and to its end."""

    cpu_seconds: float
    peak_bytes: int
    to_start_seconds: float
    seconds: float


@dataclass(frozen=True)
class Launching:
    """An instance and the job of one tenant's assets, and where the forkserver says what workers cost."""

    instance: dg.DagsterInstance
    job: Any
    origin: Any
    log: Path

    def make(
        self,
        tenant: str,
        pipeline: str,
        first: date,
        last: date,
        instance: dg.DagsterInstance | None = None,
        remote_origin: Any = None,
    ) -> dg.DagsterRun:
        """A run as the planner asks for it, a day or a range in one run.

        `instance` is another one than the own; a run that waits in the queue has a `remote_origin`.
        """
        keys = {key for key in self.job.asset_layer.executable_asset_keys if key.path[:2] == [tenant, pipeline]}
        partition = partition_key(first, last)
        return (instance or self.instance).create_run_for_job(
            self.job.get_subset(asset_selection=keys),
            tags=run_tags(tenant, pipeline, first, last, "manual")
            | ({"dagster/partition": partition} if partition else {}),
            asset_selection=frozenset(keys),
            job_code_origin=self.origin,
            remote_job_origin=remote_origin,
        )

    def launch(self, run: dg.DagsterRun) -> None:
        """As the daemon does."""
        self.instance.run_launcher.launch_run(LaunchRunContext(run, None))

    def run(self, tenant: str, pipeline: str, day: date) -> Day:
        """Launch a run for a day and wait for its worker's end."""
        run = self.make(tenant, pipeline, day, day)
        before = len(self.ended())
        launched, clock = time.time(), time.monotonic()
        self.launch(run)
        while len(self.ended()) == before:
            time.sleep(0.02)
        seconds = time.monotonic() - clock
        record = self.instance.get_run_record_by_id(run.run_id)
        assert record is not None
        assert record.dagster_run.is_success, f"run {run.run_id} failed"
        used = self.ended()[-1]
        return Day(used["cpu_seconds"], used["peak_bytes"], (record.start_time or 0) - launched, seconds)

    def ended(self) -> list[Any]:
        """What the forkserver said of workers that ended."""
        return ended_workers(self.log)


def ended_workers(log: Path) -> list[Any]:
    """What a forkserver's log says of workers that ended: status, CPU seconds, peak bytes."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines if line.startswith('{"worker"')]


@contextmanager
def launching(home: Path) -> Iterator[Launching]:
    """The instance of a project's home, with the run launcher that its dagster.yaml names."""
    repository = ReconstructableRepository.for_module("convergence_assets.definitions", "defs")
    origin = repository.get_reconstructable_job("__ASSET_JOB").get_python_origin()
    job = repository.get_definition().get_job("__ASSET_JOB")
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        yield Launching(instance, job, origin, home / "workers" / "forkserver.log")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=10_000)
    arguments.add_argument("--days", type=int, default=9)
    chosen = arguments.parse_args()
    with project() as settings:
        last = FIRST + timedelta(days=chosen.days)
        load_bills(settings, "acme", FIRST, last, rows_per_day=chosen.rows, seed=7)
        with launching(settings.home) as platform:
            days = [platform.run("acme", "gcp_billing", FIRST + timedelta(days=n)) for n in range(chosen.days + 1)]
    for number, day in enumerate(days):
        print(f"{'cold' if number == 0 else 'warm'} {day}")
    print("median CPU-s", statistics.median(day.cpu_seconds for day in days[1:]))


if __name__ == "__main__":
    main()
