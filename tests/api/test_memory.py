"""The service's memory after many requests of every kind: what a request leaves behind is found by their number."""

import itertools
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from tests.api.service import ADMIN_KEY, OTHER
from tests.api.test_cancellation import served, settings_at

AT_ONCE = 4
REQUESTS = 50_000
GROWTH = 1.10
"""Of the resident memory after a fifth of the requests."""


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_requests_leave_its_memory_as_it_was(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    keys = Keys(ControlStore.open(settings, {}))
    secrets = [keys.create(tenant_id, "test").secret for tenant_id in ("acme", OTHER)]
    answers: Counter[int] = Counter()

    def ask(connection: HTTPConnection, stranger: HTTPConnection, number: int) -> None:
        own, admin = {"x-api-key": secrets[number % 2]}, {"x-admin-key": ADMIN_KEY}
        content = json.dumps({"partition": str(date(2026, 4, 1) + timedelta(days=number % 200))})
        guess = {"x-api-key": f"cvg_{number:010d}_guess"}
        sent: tuple[HTTPConnection, str, str, dict[str, str], str | None] = (
            (connection, "GET", "/api/v1/pipelines", own, None),
            (connection, "GET", "/api/v1/pipelines/executions?limit=5", own, None),
            (connection, "GET", f"/api/v1/executions/no-such-run-{number}", own, None),
            (connection, "POST", "/api/v1/pipelines/demo_costs/runs", own, content),
            (connection, "GET", f"/nowhere/{number}", {}, None),
            (stranger, "GET", "/api/v1/pipelines", guess, None),
            (connection, "GET", "/admin/tenants/acme", admin, None),
            (connection, "POST", "/admin/tenants", admin, json.dumps({"tenant_id": f"tenant_{number}"})),
            (connection, "GET", "/metrics" if number % 10 == 8 else "/health/live", {}, None),
        )[number % 9]
        to, method, path, headers, body = sent
        to.request(method, path, body, headers | {"content-type": "application/json"})
        answer = to.getresponse()
        answer.read()
        answers[answer.status] += 1

    def ask_all(port: int, numbers: range) -> None:
        with (
            closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection,
            # Of an address of its own: who guesses keys is soon refused whatever it sends.
            closing(HTTPConnection("127.0.0.1", port, timeout=60, source_address=("127.0.0.2", 0))) as stranger,
        ):
            for number in numbers:
                ask(connection, stranger, number)

    with (
        served(settings, CONVERGENCE_ADMIN_KEY=ADMIN_KEY) as (serving, url, log),
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        process, port = psutil.Process(serving.pid), int(url.rpartition(":")[2])
        seen = [0]
        for first, last in itertools.pairwise((0, REQUESTS // 5, REQUESTS)):
            share = (last - first) // AT_ONCE
            parts = [range(first + n * share, first + (n + 1) * share) for n in range(AT_ONCE)]
            list(threads.map(lambda part: ask_all(port, part), parts))
            seen.append(process.memory_info().rss)
        _, before, after = seen
    assert {200, 202, 401, 404, 422} <= set(answers), answers
    assert not [status for status in answers if status >= 500], (answers, log.read_text()[-3000:])
    assert answers.total() == REQUESTS
    print(f"{REQUESTS} requests: {before / 1e6:.0f} MB after a fifth of them, {after / 1e6:.0f} MB after all")
    assert after < before * GROWTH, f"{before} bytes before, {after} after"
