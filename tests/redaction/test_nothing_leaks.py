"""Secrets are planted wherever the platform meets some, the real flows run, and every byte that was written is searched."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query
from tests import commands
from tests.alerting.receivers import Receiver
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.ports import free_port
from tests.postgres.postgres_server import Postgres
from tests.redaction.leaking_days import BY_EXCEPTION, BY_SQL

ROOT = Path(__file__).parents[2]
CONVERGENCE, BERLIN = Path(sys.executable).with_name("convergence"), "Europe/Berlin"
HOOK, ROUTING, SMTP = "T0kenOfTheHook99", "0123456789abcdef0123456789abcdef", "smtp-Passw0rd"
DATABASE, SOURCE, ADMIN = 'db"p@ss\\w0rd ä', "s0urce/p@ss", "admin-key-0123456789abcdef"
REDIS, CONTROL, LITERAL = "redis-Passw0rd", "c0ntrol-Passw0rd", "l1teral-of-Sql"


def forms(secret: str) -> set[bytes]:
    """As the secret may stand in a file."""
    found = {secret, json.dumps(secret)[1:-1], json.dumps(json.dumps(secret)[1:-1])[1:-1], repr(secret)[1:-1]}
    found |= {urllib.parse.quote(secret), urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
    for before in ("", "x", "xx"):
        whole = base64.b64encode((before + secret).encode()).decode()
        found.add(whole[4 if before else 0 : len(whole) - 4])
    return {form.encode() for form in found}


@dataclass
class Written:
    """Everything that was written, by where it stands."""

    places: dict[str, bytes] = field(default_factory=dict)

    def add(self, where: str, content: bytes | str) -> None:
        self.places[where] = self.places.get(where, b"") + (content.encode() if isinstance(content, str) else content)

    def add_folder(self, folder: Path) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                self.add(str(file), file.read_bytes())
            if file.suffix == ".zip":
                with zipfile.ZipFile(file) as bundle:
                    for name in bundle.namelist():
                        self.add(f"{file}:{name}", bundle.read(name))

    def add_database(self, url: str) -> int:
        """Every row of every table as text, what is compressed in it unpacked; how many rows."""
        rows, engine = 0, sa.create_engine(url)
        with engine.connect() as connection:
            for table in sa.inspect(connection).get_table_names():
                for (row,) in connection.execute(sa.text(f'SELECT row_to_json(t)::text FROM "{table}" t')):
                    rows += 1
                    self.add(f"table {table}", row)
                    for value in json.loads(row).values():
                        if isinstance(value, str) and value.startswith("\\x"):
                            self.add(f"table {table}", _unpacked(bytes.fromhex(value[2:])))
        engine.dispose()
        return rows

    def holding(self, secret: str) -> list[str]:
        return [
            f"{where}: …{content[max(0, at - 80) : at + 80]!r}"
            for where, content in self.places.items()
            for form in forms(secret)
            if (at := content.find(form)) >= 0
        ]


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompress(packed)
    except zlib.error:
        return packed


@pytest.mark.parametrize("secret", [DATABASE, SOURCE, HOOK])
def test_the_search_finds_what_it_looks_for(secret: str, tmp_path: Path) -> None:
    basic = base64.b64encode(f"user:{secret}".encode())
    for n, content in enumerate((secret, json.dumps([secret]), urllib.parse.quote(secret, safe=""), basic.decode())):
        (tmp_path / f"{n}").write_text(f"before {content} after")
    found = Written()
    found.add_folder(tmp_path)
    assert {place.partition(":")[0] for place in found.holding(secret)} == {str(tmp_path / str(n)) for n in range(4)}


@contextmanager
def mailbox_that_refuses_logins() -> Iterator[tuple[int, list[str]]]:
    """An SMTP server; its port, and the passwords that it was given."""
    given: list[str] = []

    def refuse(server: object, session: object, envelope: object, mechanism: str, data: Any) -> AuthResult:
        given.append(data.password.decode())
        return AuthResult(success=False, handled=False)

    controller = Controller(
        object(),
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=refuse,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield controller.port, given
    finally:
        controller.stop()


@contextmanager
def up(folder: Path, environ: Mapping[str, str], port: int, api_port: int) -> Iterator[Path]:
    """`convergence up`; the file with all that it prints."""
    log = folder / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [CONVERGENCE, "up", "--port", str(port), "--api-port", str(api_port)],
            env=dict(environ), cwd=folder, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield log
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        for one in psutil.process_iter():
            try:
                if one.environ().get("CONVERGENCE_HOME") == environ["CONVERGENCE_HOME"] and one.pid != os.getpid():
                    one.kill()
            except psutil.Error:
                continue
        process.wait()


def wait_for(what: Callable[[], Any], log: Path, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := _tried(what)):
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.5)
    return found


def _tried(what: Callable[[], Any]) -> Any:
    try:
        return what()
    except (httpx.HTTPError, sa.exc.SQLAlchemyError):
        return None


def launch(port: int, day: object) -> str:
    query = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
        ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
    params = {
        "selector": {
            "repositoryLocationName": "leaking_definitions", "repositoryName": "__repository__", "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["acme", "demo_costs", t]} for t in ("lines", "totals")],
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(day)}]},
    }  # fmt: skip
    request = {"query": query, "variables": {"p": params}}
    body = httpx.post(f"http://127.0.0.1:{port}/graphql", json=request, timeout=60).json()
    return str(body["data"]["launchRun"]["run"]["runId"])


@pytest.mark.live
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.timeout(500)
@pytest.mark.xdist_group("postgres")
def test_no_secret_is_in_anything_that_is_written_shown_or_sent(tmp_path: Path, postgres: Postgres) -> None:
    project = Project.at(tmp_path / "home")
    project.load_bills(hourly(BY_EXCEPTION, BERLIN, 1.0))
    database, receiver = postgres.database(), Receiver()
    tenants = tmp_path / "tenants"
    shutil.copytree(TENANTS, tenants)
    shutil.copy(ROOT / "deploy" / "dagster.postgres.yaml", tmp_path / "dagster.yaml")
    (tmp_path / "workspace.yaml").write_text("load_from:\n  - python_module: leaking_definitions\n")
    with mailbox_that_refuses_logins() as (smtp_port, logins):
        routes = (
            "${env:ACME__HOOK}",
            f"mailto://alerts:${{env:ACME__SMTP}}@127.0.0.1:{smtp_port}?mode=insecure&from=a@b.example&to=c@d.example",
            f"pagerduty+http://${{env:ACME__ROUTING}}@{receiver.place}",
        )
        every = "severities: [critical, warning, info]"
        with (tenants / "acme" / "tenant.yaml").open("a") as file:
            file.write(f"alerts: {{routes: [{', '.join(f'{{{every}, to: {json.dumps(to)}}}' for to in routes)}]}}\n")
        with (tenants / "_defaults.yaml").open("a") as file:
            file.write("access: {acme: {hosts: [127.0.0.1]}}\n")
        port, api_port = free_port(), free_port()
        source = f"postgresql://svc:{urllib.parse.quote(SOURCE, safe='')}@db.example:5432/costs"
        environ = clean_environment() | {
            "CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(tenants),
            "CONVERGENCE_WAREHOUSE": "embedded", "CONVERGENCE_ADMIN_KEY": ADMIN,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "redaction"), os.environ["PYTHONPATH"]]),
            "DAGSTER_HOME": str(tmp_path), "DAGSTER_PG_HOST": "127.0.0.1", "DAGSTER_PG_PORT": str(postgres.port),
            "DAGSTER_PG_USERNAME": "postgres", "DAGSTER_PG_PASSWORD": postgres.password, "DAGSTER_PG_DB": database,
            "ACME__HOOK": f"json://{receiver.place}/hook/{HOOK}", "ACME__SMTP": SMTP, "ACME__ROUTING": ROUTING,
            "ACME_DB_PASSWORD": DATABASE, "ACME_SOURCE": source, "ACME_API_KEY": LITERAL,
        }  # fmt: skip
        written = Written()
        with up(tmp_path, environ, port, api_port) as log:
            key, runs = flows(written, environ, port, api_port, log, logins, receiver)
    for _, body in receiver.got:
        # The routing key is what lets an event in.
        written.add("alerts that were received", json.dumps(body | {"routing_key": None}))
    receiver.stop()
    written.add_folder(tmp_path)
    assert written.add_database(postgres.url(database).replace("postgresql:", "postgresql+psycopg2:")) > 100
    with open_warehouse(project.settings) as warehouse:
        for table in ("runs", "logs"):
            rows = warehouse.read(Query(f"SELECT * FROM acme.x_meta_pipeline_{table}"), Job("read")).to_pylist()
            assert any(run in str(rows) for run in runs)
            written.add(f"x_meta_pipeline_{table}", json.dumps(rows, default=str, ensure_ascii=False))

    planted = {HOOK, ROUTING, SMTP, DATABASE, SOURCE, ADMIN, REDIS, CONTROL, LITERAL, postgres.password, key}
    found = {secret: places for secret in planted if (places := written.holding(secret))}
    assert not found, "\n".join(f"{secret}\n  " + "\n  ".join(places) for secret, places in found.items())
    lines = [json.loads(line) for line in (tmp_path / "up.log").read_text().splitlines()]
    assert {"dagster.run", "convergence.access", "convergence_assets.leaking"} <= {line["logger"] for line in lines}
    # They were there: what was hidden left its mark wherever a run's error is told.
    assert b"text of INT64: ***" in written.places["the API's answers"]
    for where in ("up.log", "table event_logs", "table convergence_runs", "x_meta_pipeline_logs", "alerts", "diagnose"):
        assert any(b"***" in content for place, content in written.places.items() if where in place), where


def flows(
    written: Written,
    environ: Mapping[str, str],
    port: int,
    api_port: int,
    log: Path,
    logins: list[str],
    receiver: Receiver,
) -> tuple[str, list[str]]:
    """What people and programs do with a platform; the API key that was made, and the runs that failed."""
    api = httpx.Client(base_url=f"http://127.0.0.1:{api_port}", timeout=60)
    wait_for(lambda: api.get("/health/ready").status_code == 200, log)
    wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/server_info").status_code == 200, log)
    response = api.post("/admin/tenants/acme/api-keys", json={}, headers={"x-admin-key": ADMIN})
    assert response.status_code == 201, response.text
    key = next(value for value in response.json().values() if str(value).startswith("cvg_"))
    runs = [launch(port, BY_EXCEPTION), launch(port, BY_SQL)]

    def shown(run_id: str) -> Any:
        answer = api.get(f"/api/v1/executions/{run_id}", headers={"x-api-key": key})
        return answer if answer.status_code == 200 and answer.json()["status"] == "failed" else None

    for run_id in runs:
        written.add("the API's answers", wait_for(partial(shown, run_id), log).text)
    wait_for(lambda: len(receiver.got) >= 2, log)
    wait_for(lambda: logins, log)
    assert SMTP in logins

    def ask(method: str, path: str, **more: Any) -> None:
        answer = api.request(method, path, **more)
        written.add("the API's answers", f"{method} {answer.status_code} {answer.headers} {answer.text}\n")

    tenant, admin = {"x-api-key": key}, {"x-admin-key": ADMIN}
    for path in ("/api/v1/pipelines", "/api/v1/pipelines/executions", "/metrics", "/health/ready", "/openapi.json"):
        ask("GET", path, headers=tenant)
    ask("GET", "/api/v1/pipelines", params={"x-api-key": key})
    ask("GET", f"/api/v1/executions/{key}", headers={"x-api-key": ADMIN})
    ask("POST", "/api/v1/pipelines/demo_costs/runs", headers=tenant, json={"partition": DATABASE})
    ask("POST", "/api/v1/pipelines/demo_costs/runs", headers=tenant, content=f'{{"partition": "{HOOK}')
    for path in ("/admin/alerts", "/admin/tenants/acme", "/admin/tenants/acme/api-keys", "/metrics"):
        ask("GET", path, headers=admin)

    def type_(*words: str, **more: str) -> None:
        done = commands.convergence(*words, environ=dict(environ) | more, folder=log.parent)
        written.add(f"convergence {' '.join(words)}", (done.stdout + done.stderr).encode())

    type_("diagnose", runs[0])
    type_("diagnose", runs[1], "--json", "--output", "second.zip")
    for words in (
        "status --json",
        "alerts list --json",
        "alerts test acme",
        "doctor",
        "validate",
        "keys list",
        "tenants show acme",
    ):
        type_(*words.split())
    type_("logs", runs[0])
    type_("logs", runs[1], "--json")
    type_("run", "acme", "demo_costs", "--partition", str(BY_EXCEPTION))
    type_("query", f"SELECT CAST('{LITERAL}' AS INT64)")
    type_("status", CONVERGENCE_CONTROL_URL=f"mysql://svc:{CONTROL}@db.example/x")
    type_("status", CONVERGENCE_CONTROL_URL=f"postgresql://svc:{CONTROL}@127.0.0.1:1/x")
    type_("serve", "--port", str(free_port()), REDIS_URL=f"redsi://:{REDIS}@cache.example:6379/0")
    return key, runs
