"""As whom requests are sent: every statement of a tenant's step as its service account, which the platform borrows."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

from convergence_assets.assets.warehouse_factory import _impersonating
from convergence_assets.settings import Settings
from convergence_assets.tenant_lifecycle.onboarding import plan
from convergence_assets.tenant_lifecycle.onboarding_request import TenantSettings
from tests.assets.project import Project, hourly
from tests.peer.peer_server import Peer

ACCOUNT = "convergence-acme@our-project.iam.gserviceaccount.com"
DAY = date(2026, 3, 10)


class Iam:
    """Google's IAM Credentials API as far as it gives tokens; `asked` are the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, Any]] = []
        iam = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                iam.asked.append((self.path, self.headers["Authorization"], body))
                token = json.dumps({"accessToken": "as-acme", "expireTime": "2099-01-01T00:00:00Z"}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(token)))
                self.end_headers()
                self.wfile.write(token)

            def log_message(self, *line: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def iam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Iam]:
    found = Iam()
    endpoint = found.url + "/v1/projects/-/serviceAccounts/{}:generateAccessToken"
    monkeypatch.setattr("google.auth.iam._IAM_ENDPOINT", endpoint)
    yield found
    found.stop()


def test_the_platforms_account_asks_for_a_token_of_the_tenants(iam: Iam) -> None:
    from google.auth.transport.requests import Request

    platform = bigquery.Client("our-project", Credentials("as-the-platform"), location="EU")  # type: ignore[no-untyped-call]
    client = _impersonating(platform, ACCOUNT)
    assert (client.project, client.location) == ("our-project", "EU")
    client._credentials.refresh(Request())
    assert client._credentials.token == "as-acme"
    ((path, who, body),) = iam.asked
    assert path == f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
    assert who == "Bearer as-the-platform"
    assert body["scope"] == list(platform.SCOPE)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Where requests went, and as whom."""
    found: list[tuple[str, str | None]] = []
    real = requests.Session.request

    def request(self: requests.Session, method: str, url: str, *rest: Any, **more: Any) -> Any:
        answer = real(self, method, url, *rest, **more)
        found.append((url, answer.request.headers.get("Authorization")))  # type: ignore[arg-type]
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    return found


def as_whom(sent: list[tuple[str, str | None]], settings: Settings) -> set[str | None]:
    return {who for url, who in sent if settings.emulator and url.startswith(settings.emulator)}


@pytest.mark.peer
def test_every_request_of_a_tenants_step_is_sent_as_its_account(
    tmp_path: Path, peer: Peer, sent: list[tuple[str, str | None]]
) -> None:
    project = Project.at(tmp_path / "home")
    settings = peer.settings(tmp_path / "home")
    project = replace(project, settings=settings)
    project.load_bills(hourly(DAY, "Europe/Berlin", 1.0))
    sent.clear()
    project = replace(project, tenant=replace(project.tenant, service_account=ACCOUNT))
    (report, _) = project.run(DAY)
    assert report.published
    assert as_whom(sent, settings) == {f"Bearer {ACCOUNT}"}, [url for url, who in sent if not who]


@pytest.mark.peer
def test_the_queries_of_a_tenant_to_come_are_tried_as_whoever_onboards_it(
    tmp_path: Path, peer: Peer, sent: list[tuple[str, str | None]]
) -> None:
    root = tmp_path / "tenants"
    root.mkdir()
    defaults = (Path(__file__).parents[3] / "tenants" / "_defaults.yaml").read_text()
    (root / "_defaults.yaml").write_text(defaults + f"service_account: '{ACCOUNT.replace('acme', '{tenant}')}'\n")
    settings = replace(peer.settings(tmp_path / "home"), tenants=str(root))
    export = {"gcp_billing": {"export_table": "hooli_export.gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"}}
    to_come = TenantSettings("hooli", "Hooli", "UTC", ("gcp_billing",), export, date(2026, 10, 1))
    found = plan(to_come, settings, datetime.now(UTC))
    assert found.tenant.service_account == ACCOUNT.replace("acme", "hooli")
    assert as_whom(sent, settings) == {None}, "its account may not be there yet"
