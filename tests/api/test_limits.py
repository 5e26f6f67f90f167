"""How often a tenant may ask, and how often an address may be wrong."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from convergence_assets.api.http_metrics import AUTH_FAILURES, RATE_LIMIT_HITS, REQUESTS
from convergence_assets.api.rate_limits import TENANT, Limits, network_of, rules
from convergence_assets.control import audit
from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from tests.api.redis_server import Redis
from tests.api.service import ADMIN_KEY, GENEROUS, serving
from tests.api.test_cancellation import served, settings_at
from tests.ports import free_port
from tests.tools import program

PATH = "/api/v1/pipelines"


@pytest.fixture(autouse=True)
def one_minute() -> None:
    """What was counted in a minute of the clock fades from that minute's end on; a test lies within one."""
    within_one_minute(15)


def within_one_minute(seconds: float) -> None:
    left = 60 - time.time() % 60
    if left < seconds:
        time.sleep(left)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path, program("redis-server", "redis-server"))
    server.start()
    yield server
    server.kill()


def test_a_tenant_over_its_limit_waits_and_another_does_not(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(None, tenant=rules(5, 1000))) as service:
        before = RATE_LIMIT_HITS.labels("acme")._value.get()
        answers = [service.get(PATH) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0", "0"]
        first, last = answers[0].headers, answers[-1].headers
        assert (first["RateLimit-Limit"], first["RateLimit-Policy"]) == ("5", "5;w=60, 1000;w=3600")
        assert 1 <= int(first["RateLimit-Reset"]) <= 60
        assert 1 <= int(last["Retry-After"]) <= 60
        assert answers[-1].json()["error"] == "rate_limited"
        assert RATE_LIMIT_HITS.labels("acme")._value.get() == before + 2
        assert service.get(PATH, tenant_id="globex_zzsecret").status_code == 200
        assert service.client.get("/health/live").status_code == 200


def test_the_default_is_a_hundred_a_minute_and_a_thousand_an_hour() -> None:
    limits = Limits()
    standings = [limits.hit(TENANT, "acme") for _ in range(101)]
    assert [standing.allowed for standing in standings] == [True] * 100 + [False]
    assert standings[0].policy == "100;w=60, 1000;w=3600"
    hourly = rules(5000, 1000)
    assert sum(limits.hit(hourly, "globex").allowed for _ in range(1010)) == 1000


def test_who_guesses_keys_is_slowed_down_noted_and_counted(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(None, tenant=GENEROUS, admin=GENEROUS, failures=rules(5, 1000))) as service:
        counted = AUTH_FAILURES.labels("unknown")._value.get()
        wrong = {"x-api-key": "cvg_0123456789_guess"}
        answers = [service.client.get(PATH, headers=wrong) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
        assert answers[-1].json()["error"] == "too_many_failures"
        assert int(answers[-1].headers["Retry-After"]) >= 1
        # Also the right one: its answer would say that it is right.
        assert service.get(PATH).status_code == 429
        assert service.client.get("/admin/tenants", headers={"x-admin-key": ADMIN_KEY}).status_code == 429
        assert AUTH_FAILURES.labels("unknown")._value.get() == counted + 5
        service.deployment.background.close()
        with service.deployment.store.read() as connection:
            entries = [noted.entry for noted in audit.recorded_entries(connection) if noted.entry.actor == "unknown"]
        assert [(entry.outcome, entry.address) for entry in entries] == [("refused: unknown", "127.0.0.1")] * 5


def test_who_sends_no_key_guesses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(None, failures=rules(2, 1000))) as service:
        assert [service.client.get(PATH).status_code for _ in range(5)] == [401] * 5
        assert service.get(PATH).status_code == 200


def test_an_address_is_one_client_s() -> None:
    assert network_of("10.1.2.3") == "10.1.2.3"
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::"
    assert network_of(None) == network_of("a socket") == "unknown"


def test_without_its_redis_each_process_counts_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(f"redis://127.0.0.1:{free_port()}", tenant=rules(3, 1000), failures=rules(2, 1000))
    with serving(tmp_path, limits) as service, caplog.at_level(logging.ERROR):
        assert [service.get(PATH).status_code for _ in range(5)] == [200] * 3 + [429] * 2
        wrong = {"x-api-key": "cvg_0123456789_guess"}
        assert [service.client.get(PATH, headers=wrong).status_code for _ in range(3)] == [401, 401, 429]
    assert caplog.text.count("Redis does not answer") == 1


def remaining(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.headers["RateLimit-Remaining"])


@pytest.mark.live
def test_two_processes_share_one_limit_through_redis_and_have_one_each_while_it_is_dead(
    tmp_path: Path, redis: Redis
) -> None:
    settings = settings_at(tmp_path)
    headers = {"x-api-key": Keys(ControlStore.open(settings, {})).create("acme", "test").secret}
    shared = {"REDIS_URL": redis.url, "CONVERGENCE_API_PER_MINUTE": "8"}

    def answers_of(*urls: str) -> list[httpx.Response]:
        return [httpx.get(f"{url}{PATH}", headers=headers, timeout=30) for url in urls]

    with served(settings, None, **shared) as (_, one, _), served(settings, None, **shared) as (_, two, log):
        within_one_minute(45)
        assert [remaining(answer) for answer in answers_of(one, two, one, two)] == [7, 6, 5, 4]
        assert [answer.status_code for answer in answers_of(*[one] * 4, one, two)] == [200] * 4 + [429] * 2
        redis.kill()
        assert [remaining(answer) for answer in answers_of(*[one] * 3)] == [7, 6, 5], "a limit of its own"
        answers = [answer.status_code for answer in answers_of(*[two] * 10)]
        assert answers == [200] * 8 + [429] * 2, "nobody is refused for it, and nobody is without a limit"
        redis.start()
        deadline = time.monotonic() + 30
        while remaining(answers_of(one)[0]) != 7:  # an empty Redis, asked again after a few seconds
            assert time.monotonic() < deadline
            time.sleep(2)
        while "Redis answers again" not in log.read_text():  # it found Redis dead later, and asks again later
            assert time.monotonic() < deadline
            answers_of(two)
            time.sleep(0.5)
        assert remaining(answers_of(two)[0]) <= 6, "shared again"
        assert log.read_text().count("Redis does not answer") == 1
        assert log.read_text().count("Redis answers again") == 1


@pytest.mark.slow
def test_a_redis_that_hangs_holds_up_no_request_for_long(tmp_path: Path, redis: Redis) -> None:
    limits = Limits(redis.url, tenant=rules(1000, 10000))
    with serving(tmp_path, limits) as service:
        assert remaining(service.get(PATH)) == 999
        redis.hang()
        began = time.monotonic()
        assert [service.get(PATH).status_code for _ in range(20)] == [200] * 20
        assert time.monotonic() - began < 5


def test_an_address_that_is_none_of_redis_is_refused() -> None:
    with pytest.raises(ValueError, match="REDIS_URL"):
        Limits("http://127.0.0.1:6379")


def test_requests_are_counted_by_route_and_never_by_what_a_client_chose(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        labels = ("GET", "/api/v1/executions/{run_id}", "404")
        before = REQUESTS.labels(*labels)._value.get()
        for name in ("a", "b", "c"):
            assert service.get(f"/api/v1/executions/{name}").status_code == 404
            assert service.get(f"/no/such/{name}").status_code == 404
        assert REQUESTS.labels(*labels)._value.get() == before + 3
        seen = {sample.labels["path"] for metric in REQUESTS.collect() for sample in metric.samples}
        assert "unmatched" in seen
        assert not any("/no/such" in path for path in seen)
