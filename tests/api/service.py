"""The API over a real control store and a real Dagster with runs of two tenants, answered by uvicorn on loopback."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import sqlalchemy as sa

from convergence_assets.alerting.alert import Alert
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.rate_limits import Limits, rules
from convergence_assets.api.server import Server, config_of, listen
from convergence_assets.control import runs
from convergence_assets.control.incidents import raise_alert
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.tables import api_keys
from convergence_assets.ledger.follow import Follower
from convergence_assets.settings import Settings
from tests.assets.project import TENANTS, Project
from tests.dagster_homes import dagster_at
from tests.ledger.following import good, run_assets, table

ADMIN_KEY = "an-admin-key-for-tests-alone"
MARKER = "zzsecret"
"""In everything of the other tenant: its id, its pipelines, errors, runs and requests."""
OTHER, OTHER_PIPELINE = "globex_zzsecret", "zzsecret_costs"
OTHER_RUN = "run-zzsecret-1"
DAY = date(2026, 3, 10)
GENEROUS = rules(1_000_000, 10_000_000)


@dataclass
class Service:
    """`client` sends no key; `get` and `post` send the key of `acme` unless told another."""

    deployment: Deployment
    settings: Settings
    url: str
    client: httpx.Client
    secrets: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def key(self, tenant_id: str = "acme", **fields: Any) -> str:
        """A tenant's key, made once."""
        name = f"{tenant_id} {sorted(fields.items())}"
        if name not in self.secrets:
            self.secrets[name] = self.deployment.keys.create(tenant_id, "test", **fields).secret
        return self.secrets[name]

    def get(self, path: str, tenant_id: str = "acme", **params: Any) -> httpx.Response:
        return self.client.get(path, params=params, headers={"x-api-key": self.key(tenant_id)})

    def post(self, path: str, content: object = None, tenant_id: str = "acme") -> httpx.Response:
        return self.client.post(path, json=content, headers={"x-api-key": self.key(tenant_id)})

    def admin(self, method: str, path: str, content: object = None) -> httpx.Response:
        headers = {"x-admin-key": ADMIN_KEY}
        return self.client.request(method, path, headers=headers, json=content)

    def follow(self) -> None:
        """What the daemon's sensor does: bring the index up to Dagster."""
        Follower(self.deployment.store, self.deployment.instance, {}, lambda connection, run_events: None).follow(30)

    def index(self, *found: IndexedRun) -> None:
        with self.deployment.store.write() as connection:
            runs.write_runs(connection, found)


def indexed(run_id: str, **more: Any) -> IndexedRun:
    """A run that ended well a minute ago."""
    began = datetime.now(UTC) - timedelta(minutes=1)
    values: dict[str, Any] = {
        "run_id": run_id, "tenant_id": "acme", "pipeline": "demo_costs", "status": "succeeded",
        "dagster_status": "SUCCESS", "trigger": "schedule", "triggered_by": None, "first": DAY, "last": DAY,
        "config_version": None, "attempt": 1, "created_at": began, "started_at": began,
        "ended_at": began + timedelta(seconds=5), "rows_published": 3, "bytes_billed": 7, "error_class": None,
        "error_message": None, "stuck_reason": None, "updated_at": began,
    }  # fmt: skip
    return IndexedRun(**values | more)


def tenants_at(folder: Path) -> Path:
    """Acme as the other tests have it, awake, and beside it a tenant whose every name has the marker in it."""
    shutil.copytree(TENANTS, folder)
    acme = folder / "acme" / "tenant.yaml"
    acme.write_text(acme.read_text().replace("paused: true", "paused: false"))
    other = folder / OTHER
    shutil.copytree(folder / "acme", other)
    (other / "pipelines" / "demo_costs").rename(other / "pipelines" / OTHER_PIPELINE)
    for file in (other / "tenant.yaml", other / "pipelines" / OTHER_PIPELINE / "pipeline.yaml"):
        text = file.read_text().replace("demo_costs", OTHER_PIPELINE).replace("tenant_id: acme", f"tenant_id: {OTHER}")
        file.write_text(text.replace("Acme", f"Globex {MARKER}").replace("acme_export", f"{OTHER}_export"))
    return folder


@contextmanager
def serving(home: Path, limits: Limits | None = None, config: str = "", **more: Any) -> Iterator[Service]:
    """The API of an empty deployment in a folder."""
    tenants = tenants_at(home / "tenants")
    settings = replace(Project.at(home / "home").settings, tenants=str(tenants), admin_key=ADMIN_KEY, **more)
    generous = Limits(None, tenant=GENEROUS, admin=GENEROUS, failures=GENEROUS)
    with (
        dagster_at(home / "dagster", config) as instance,
        Deployment.opened(settings, instance, limits or generous) as deployment,
        running(deployment) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield Service(deployment, settings, url, client)


@contextmanager
def running(deployment: Deployment) -> Iterator[str]:
    """Uvicorn in a thread; its address."""
    listening = listen("127.0.0.1", 0)
    server = Server(config_of(deployment), deployment)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def furnish(service: Service) -> dict[str, str]:
    """Runs of both tenants that Dagster knows, one that is both's, requests, alerts; the run ids by what they are."""
    instance = service.deployment.instance

    def breaks(text: str) -> Any:
        def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
            raise ValueError(text)
            yield

        return body

    def checked(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from good(4)(context)

    ids = {
        "good": run_assets(instance, table("lines", checked), table("totals", good(1))),
        "failed": run_assets(instance, table("lines", breaks("the bill is not there"))),
        "shared": run_assets(
            instance,
            table(f"{MARKER}_lines", breaks(f"{MARKER} broke"), OTHER_PIPELINE, OTHER),
            table("lines", good(2)),
        ),
        "other": run_assets(
            instance,
            table(f"{MARKER}_lines", breaks(f"{MARKER} is in this error"), OTHER_PIPELINE, OTHER),
        ),
    }
    service.follow()
    service.index(
        indexed(OTHER_RUN, tenant_id=OTHER, pipeline=OTHER_PIPELINE, error_class=f"{MARKER}_class",
                error_message=f"{MARKER} message", triggered_by=f"{MARKER}_person", stuck_reason=f"{MARKER}_stuck"),
        *(indexed(f"old-{n}", created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n)) for n in range(25)),
        *(indexed(f"{MARKER}-{n}", tenant_id=OTHER, pipeline=OTHER_PIPELINE) for n in range(5)),
    )  # fmt: skip
    response = service.post(f"/api/v1/pipelines/{OTHER_PIPELINE}/runs", {"partition": "2026-04-02"}, OTHER)
    assert response.status_code == 202, response.text
    ids["other request"] = response.json()["request_id"]
    response = service.post("/api/v1/pipelines/demo_costs/runs", {"partition": "2026-04-02"})
    ids["request"] = response.json()["request_id"]
    with service.deployment.store.write() as connection:
        alert = Alert(
            kind="run_failed", severity="critical", title=f"{MARKER} failed", happened="It failed.", done="Nothing.",
            next_step="Look.", runbook="run-failed", tenant_id=OTHER, pipeline=OTHER_PIPELINE, run_id=OTHER_RUN, cause="x",
        )  # fmt: skip
        raise_alert(connection, alert, service.deployment.store.now())
    return ids


def expire(service: Service, secret: str) -> None:
    """Let a key's days be over."""
    prefix = secret.split("_")[1]
    with service.deployment.store.write() as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(sa.update(api_keys).where(api_keys.c.key_prefix == prefix).values(expires_at=past))
