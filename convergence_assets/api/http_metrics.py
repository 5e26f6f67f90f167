"""The API's own counters; `REGISTRY` is what a scrape reads. Labels never hold what a client chose."""

from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "http_requests_total", "Requests by route and answer", ("method", "path", "status_code"), registry=REGISTRY
)
SECONDS = Histogram(
    "http_request_duration_seconds", "Time to the end of the answer", ("method", "path"), registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)  # fmt: skip
AUTH_FAILURES = Counter("auth_failures_total", "Requests without a valid key", ("reason",), registry=REGISTRY)
RATE_LIMIT_HITS = Counter("rate_limit_hits_total", "Requests over a limit", ("tenant",), registry=REGISTRY)
CONNECTIONS_CLOSED = Counter(
    "connections_closed_total", "Connections closed before their request had arrived", ("reason",), registry=REGISTRY
)
UNMATCHED = "unmatched"
"""The path of requests that no route takes."""
METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"})
