"""As whom requests are sent: every statement of a tenant's step as its service account, which the platform borrows."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

from convergence_assets.assets.opening import _impersonating
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


@pytest.mark.peer
def test_every_request_of_a_tenants_step_is_sent_as_its_account(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.at(tmp_path / "home")
    settings = peer.settings(tmp_path / "home")
    project = replace(project, settings=settings)
    project.load_bills(hourly(DAY, "Europe/Berlin", 1.0))
    sent: list[tuple[str, object]] = []
    real = requests.Session.request

    def request(self: requests.Session, method: str, url: str, *rest: Any, **more: Any) -> Any:
        answer = real(self, method, url, *rest, **more)
        sent.append((url, answer.request.headers.get("Authorization")))
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    project = replace(project, tenant=replace(project.tenant, service_account=ACCOUNT))
    (report, _) = project.run(DAY)
    assert report.published
    of_bigquery = [(url, who) for url, who in sent if settings.emulator and url.startswith(settings.emulator)]
    assert of_bigquery
    assert {who for _, who in of_bigquery} == {f"Bearer {ACCOUNT}"}, [url for url, who in of_bigquery if not who]
