"""Every series that a rule or dashboard may name, counted once, and cheap to scrape."""

from dataclasses import replace
from datetime import date, timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from convergence_assets.control import counters
from convergence_assets.ledger.counting import increments
from convergence_assets.monitoring.metrics import Platform, Seen
from convergence_assets.scheduling.targets import targets_of
from tests.monitoring.watched import Watched, checks_failed

Sample = dict[frozenset[str], float]


def scrape(watched: Watched) -> dict[str, Sample]:
    targets = [replace(t, paused=False) for t in targets_of(watched.tenants.values())]
    own = CollectorRegistry()
    own.register(Platform(lambda: Seen(watched.store, watched.tenants, targets)))
    found: dict[str, Sample] = {}
    for family in text_string_to_metric_families(generate_latest(own).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.values())] = sample.value
    return found


def of(*labels: str) -> frozenset[str]:
    return frozenset(labels)


def test_runs_checks_jobs_and_bytes_are_counted_as_their_events_are_read(watched: Watched) -> None:
    run = replace(watched.run("run1"), rows_published=24)
    run_events = [watched.ended(replace(run, started_at=watched.now - timedelta(seconds=40)), "succeeded")]
    failed = [watched.ended(watched.run(f"run{n}"), "failed", "timeout") for n in (2, 3)]
    with watched.store.write() as connection:
        counters.add_counts(connection, increments((), run_events))
        counters.add_counts(connection, increments((), failed))
    found = scrape(watched)
    assert found["pipeline_runs_total"] == {
        of("acme", "demo_costs", "succeeded"): 1, of("acme", "demo_costs", "failed"): 2,
    }  # fmt: skip
    assert found["pipeline_rows_published_total"] == {of("acme", "demo_costs"): 24}
    buckets = found["pipeline_run_duration_seconds_bucket"]
    assert buckets[of("demo_costs", "60.0")] == 3
    assert buckets[of("demo_costs", "30.0")] == 0
    assert found["pipeline_run_duration_seconds_count"] == {of("demo_costs"): 3}
    assert buckets[of("demo_costs", "+Inf")] == 3


def test_a_scrape_tells_of_runs_at_work_and_waiting_of_days_behind_and_of_alerts(watched: Watched) -> None:
    watched.run("run1")
    queued = watched.run("run2", date(2026, 3, 9), status="queued", dagster_status="QUEUED")
    watched.later(10)
    watched.observe(checks_failed(watched.run("run3", date(2026, 3, 8)), "critical", date(2026, 3, 8)))
    found = scrape(watched)
    assert found["pipeline_runs_in_progress"] == {of("acme", "demo_costs"): 2}
    assert found["pipeline_oldest_queued_seconds"][of("acme")] == (watched.now - queued.created_at).total_seconds()
    assert found["alerts_active"] == {of("critical"): 1, of("warning"): 0, of("info"): 0}
    assert found["pipeline_partition_lag_days"] == {of("acme", "demo_costs"): 10}
    watched.publish(watched.run("run4", date(2026, 3, 10)), date(2026, 3, 10))
    assert scrape(watched)["pipeline_partition_lag_days"] == {of("acme", "demo_costs"): 0}
    assert found["ledger_lag_seconds"][of()] >= 0
    assert found["worker_resident_memory_bytes"] == {of(): 0}
