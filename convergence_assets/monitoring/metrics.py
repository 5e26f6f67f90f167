"""The platform's metrics for Prometheus, from the control store alone: a scrape reads no history and no Dagster."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import psutil
import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from convergence_assets.alerting.alert import SEVERITIES
from convergence_assets.control import counters, publications, runs
from convergence_assets.control.incidents import open_by_severity
from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Workers
from convergence_assets.ledger.counting import JOB_SECONDS, RUN_SECONDS
from convergence_assets.ledger.write import lag
from convergence_assets.process import is_gone
from convergence_assets.scheduling.targets import Target
from convergence_assets.tenancy.tenant import Tenant

FRESH_FOR = timedelta(seconds=10)
"""Scrapes within this time get the same answer."""
COUNTERS = {
    "pipeline_runs": ("Runs that ended", ("tenant", "pipeline", "status")),
    "pipeline_rows_published": ("Rows published", ("tenant", "pipeline")),
    "data_quality_checks": ("Judgements of checks over partitions", ("tenant", "severity", "outcome")),
    "bigquery_jobs": ("Jobs of the warehouse", ("tenant", "outcome", "error_type")),
    "bigquery_bytes_billed": ("Bytes that BigQuery billed", ("tenant",)),
}
HISTOGRAMS = {
    "pipeline_run_duration_seconds": ("How long runs took", ("pipeline",), RUN_SECONDS),
    "bigquery_job_duration_seconds": ("How long jobs of the warehouse took", (), JOB_SECONDS),
}


@dataclass(frozen=True)
class Seen:
    """A deployment as a scrape sees it."""

    store: ControlStore
    tenants: Mapping[str, Tenant]
    targets: Sequence[Target]


class Platform(Collector):
    """Every series but those of the HTTP service itself."""

    def __init__(self, seen: Callable[[], Seen]) -> None:
        """`seen` returns the current deployment: tenants come and go."""
        self._seen = seen
        self._cached: tuple[datetime, list[Metric]] | None = None

    def collect(self) -> Iterator[Metric]:
        """Raises `ControlError` where the control store fails: the scrape then fails, too."""
        seen = self._seen()
        now = seen.store.now()
        if self._cached is None or now - self._cached[0] > FRESH_FOR:
            self._cached = now, list(_families(seen, now))
        yield from self._cached[1]


def _families(seen: Seen, now: datetime) -> Iterator[Metric]:
    with seen.store.read() as connection:
        counted = counters.read_counters(connection)
        for name, (text, labels) in COUNTERS.items():
            yield _counter(name, text, labels, counted.get(name, {}))
        for name, (text, labels, bounds) in HISTOGRAMS.items():
            yield _histogram(name, text, labels, bounds, counted)
        active = runs.active_runs(connection)
        newest = publications.newest_days(connection, {t.tenant_id: t.timezone for t in seen.targets})
        yield from _of_runs(active, now)
        yield _partition_lag(seen.targets, newest, now)
        yield _gauge("alerts_active", "Open incidents", ("severity",), _alerts(connection))
        yield _gauge(
            "ledger_lag_seconds", "Age of the oldest row or event that the ledger has not written", (),
            {(): lag(connection, now, seen.tenants).seconds},
        )  # fmt: skip
    yield from _of_workers(Workers(seen.store), active)


def _of_runs(active: Sequence[runs.IndexedRun], now: datetime) -> Iterator[Metric]:
    working: dict[counters.Labels, float] = defaultdict(float)
    waiting: dict[counters.Labels, float] = {}
    for run in active:
        if run.status == "running":
            working[run.tenant_id, run.pipeline] += 1
        else:
            age = (now - run.created_at).total_seconds()
            waiting[(run.tenant_id,)] = max(waiting.get((run.tenant_id,), 0.0), age)
    yield _gauge("pipeline_runs_in_progress", "Runs at work", ("tenant", "pipeline"), working)
    yield _gauge("pipeline_oldest_queued_seconds", "Age of the oldest run that waits", ("tenant",), waiting)


def _partition_lag(targets: Sequence[Target], newest: publications.Newest, now: datetime) -> GaugeMetricFamily:
    """Days between the last due one and the last one that is published of every table; none where paused."""
    lags: dict[counters.Labels, float] = {}
    for target in targets:
        if target.paused:
            continue
        due = target.due_through(now)
        published = [newest.get((target.tenant_id, table)) for table in target.tables.reads]
        oldest = min((day for day in published if day), default=None) if all(published) else None
        since: date = oldest or target.start_date - timedelta(days=1)
        lags[target.name] = max((due - since).days, 0)
    return _gauge(
        "pipeline_partition_lag_days", "Days that are due and not published, by the newest published one",
        ("tenant", "pipeline"), lags,
    )  # fmt: skip


def _alerts(connection: sa.Connection) -> dict[counters.Labels, float]:
    counts = open_by_severity(connection)
    return {(severity,): float(counts.get(severity, 0)) for severity in SEVERITIES}


def _of_workers(workers: Workers, active: Sequence[runs.IndexedRun]) -> Iterator[Metric]:
    """Memory and CPU of the runs' processes on this host; one that has ended has no metrics."""
    resident = cpu = 0.0
    for worker in workers.of([run.run_id for run in active if run.status == "running"]).values():
        if is_gone(worker.owner) is not False:
            continue
        try:
            process = psutil.Process(worker.owner.process)
            resident += process.memory_info().rss
            cpu += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    yield _gauge("worker_resident_memory_bytes", "Memory of the runs' processes on this host", (), {(): resident})
    yield _gauge("worker_cpu_seconds", "CPU time that the runs' processes on this host have used", (), {(): cpu})
    yield _gauge("host_cpu_percent", "CPU use of this host since the last scrape", (), {(): psutil.cpu_percent()})


def _gauge(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for label_values, value in values.items():
        family.add_metric(list(label_values), value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], values: dict[counters.Labels, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=list(labels))
    for label_values, value in values.items():
        family.add_metric(list(label_values), value)
    return family


def _histogram(
    name: str,
    text: str,
    labels: Sequence[str],
    bounds: Sequence[float],
    counted: dict[str, dict[counters.Labels, float]],
) -> HistogramMetricFamily:
    """With every bucket, even empty ones: quantiles need them."""
    filled, sums = counted.get(f"{name}_bucket", {}), counted.get(f"{name}_sum", {})
    family = HistogramMetricFamily(name, text, labels=list(labels))
    for label_values in dict.fromkeys(key[:-1] for key in filled):
        buckets = [
            (bound, filled.get((*label_values, bound), 0.0)) for bound in (*map(str, map(float, bounds)), "+Inf")
        ]
        family.add_metric(list(label_values), buckets=buckets, sum_value=sums.get(label_values, 0.0))
    return family
