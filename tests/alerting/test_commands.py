"""`convergence alerts`, as a person runs it."""

import json
import subprocess
from pathlib import Path

import pytest

from convergence_assets.alerting.routes import Routes
from convergence_assets.control.incidents import open_incidents
from convergence_assets.monitoring.routing import routes_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from tests import commands
from tests.alerting.desk import Desk, failed, platform, to
from tests.alerting.receivers import Mailbox, Receiver
from tests.clean_environment import clean_environment

ROUTES = "alerts: {{routes: [{{severities: [critical, warning], to: '{to}'}}]}}\n"


class House:
    """Two tenants: acme has a route of its own, globex has none."""

    def __init__(self, folder: Path, own: str, shared: str) -> None:
        self.url = f"sqlite:///{folder / 'control.db'}"
        root = Path(__file__).parents[2] / "tenants"
        defaults = (root / "_defaults.yaml").read_text()
        tenants = folder / "tenants"
        for tenant_id in ("acme", "globex"):
            (tenants / tenant_id).mkdir(parents=True)
        source = (root / "globex" / "tenant.yaml").read_text().split("alerts:")[0]
        (tenants / "globex" / "tenant.yaml").write_text(source)
        (tenants / "acme" / "tenant.yaml").write_text(source.replace("globex", "acme") + ROUTES.format(to=own))
        (tenants / "_defaults.yaml").write_text(defaults + ROUTES.format(to=shared) + "access: {hosts: [127.0.0.1]}\n")
        self.environ = {
            "CONVERGENCE_HOME": str(folder), "CONVERGENCE_TENANTS": str(tenants),
            "CONVERGENCE_CONTROL_URL": self.url, "CONVERGENCE_WAREHOUSE": "embedded",
        }  # fmt: skip

    @property
    def routes(self) -> Routes:
        return routes_of(load_tenants(Settings.from_env(self.environ)))

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        done = commands.convergence("alerts", *words, environ=clean_environment() | self.environ | environ)
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture
def house(tmp_path: Path, receiver: Receiver) -> House:
    return House(tmp_path, "${env:ACME__URL}", f"pagerduty+http://KEY@{receiver.place}")


def test_a_tenant_without_routes_has_the_platforms_and_one_cause_is_one_message_there(house: House) -> None:
    routes = house.routes
    assert list(routes.by_tenant) == ["acme"]
    keys = [d.key for tenant in ("globex", None) for d in routes.destinations("run_failed", "critical", tenant)]
    assert keys == ["platform/routes[0]"] * 2


def test_list_says_who_was_told_what_is_muted_and_what_has_no_route(house: House, receiver: Receiver) -> None:
    assert house.run("list").stdout == "nothing is wrong\n"
    desk = Desk(house.url, Routes({}, to(f"pagerduty+http://KEY@{receiver.place}", severities=["critical"])))
    desk.raise_(
        platform(), failed("acme"), failed("globex", kind="partition_late"),
        failed("globex", severity="info", kind="run_canceled"),
    )  # fmt: skip
    desk.settle()
    done = house.run("list", "--json")
    payload = {line["kind"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert {kind: line["state"] for kind, line in payload.items()} == {
        "daemon_dead": "told",
        "run_failed": "told",
        "partition_late": f"muted by {platform().fingerprint}",
        "run_canceled": "no route",
    }
    assert payload["run_failed"]["told"] == ["platform/routes[0]"]
    assert payload["run_failed"]["count"] == 1
    table = house.run("list").stdout
    assert failed("acme").fingerprint in table
    assert "no route" in table
    desk.resolve(failed("acme"))
    assert "run_failed" not in house.run("list", "--json").stdout
    assert "the partition is published" in house.run("list", "--json", "--all").stdout


def test_list_shows_what_could_not_be_delivered_and_why(house: House, receiver: Receiver) -> None:
    receiver.answer = lambda body: (503, "away", {})
    desk = Desk(house.url, house.routes)
    desk.raise_(failed("globex"))
    desk.settle()
    done = house.run("list")
    assert "not delivered to platform/routes[0]" in done.stdout
    assert "1 message(s) for platform/routes[0] wait since" in done.stderr
    assert "HTTP 503: away. Next: convergence alerts test platform" in done.stderr


def test_ack_stops_the_repeats_of_one_or_of_all_in_its_message(house: House, receiver: Receiver) -> None:
    desk = Desk(house.url, Routes({}, to(f"pagerduty+http://KEY@{receiver.place}")))
    desk.raise_(*(failed(f"t{n}") for n in range(3)), failed("other", cause="access_denied"))
    desk.settle()
    done = house.run("ack", failed("t1").fingerprint, "--by", "anna")
    assert done.stdout == "acknowledged by anna: t1: gcp_billing of 2026-10-01 failed\n"
    done = house.run("ack", failed("t0").fingerprint, "--group", "--by", "ben")
    assert len(done.stdout.splitlines()) == 3
    with desk.store.read() as connection:
        seen_to = {incident.tenant_id: incident.acknowledged_by for incident in open_incidents(connection)}
    assert seen_to == {"t0": "ben", "t1": "ben", "t2": "ben", "other": None}
    missing = house.run("ack", "0123456789abcdef")
    assert missing.returncode == 1
    assert "no open incident has the fingerprint 0123456789abcdef. Next: convergence alerts list" in missing.stderr


def test_test_sends_through_each_route_and_says_what_happened(
    house: House, receiver: Receiver, mailbox: Mailbox
) -> None:
    mail = f"mailto://127.0.0.1:{mailbox.port}?from=a@example.com&to=b@example.com&mode=insecure"
    done = house.run("test", ACME__URL=mail)
    assert done.stdout.splitlines() == [
        "platform/routes[0] (critical, warning): delivered",
        "acme/routes[0] (critical, warning): delivered",
    ]
    assert done.returncode == 0
    assert [body["event_action"] for body in receiver.bodies] == ["trigger", "resolve"]
    assert mailbox.got[0]["Subject"] == "[test] Convergence reaches acme/routes[0]"

    broken = house.run("test", "acme")
    assert broken.returncode == 1
    assert broken.stderr == "acme/routes[0] (critical, warning): environment variable ACME__URL is not set\n"
    shared = house.run("test", "globex")
    assert "tenant globex has no route of its own: its alerts go to the platform's" in shared.stdout
    assert "platform/routes[0] (critical, warning): delivered" in shared.stdout
    assert house.run("test", "nobody").returncode == 2
