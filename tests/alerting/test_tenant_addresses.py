"""Where a tenant's alert route may lead: to public addresses, and to private ones that the operator names."""

import socket
from pathlib import Path

import pytest

from convergence_assets.alerting.deliver import _in_turn
from convergence_assets.alerting.routes import Route, Routes
from convergence_assets.alerting.testing import Tried, try_routes
from convergence_assets.monitoring.routing import routes_of
from convergence_assets.outgoing import HostRefused, to_public_addresses
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from tests.alerting.receivers import Mailbox, Receiver

ROOT = Path(__file__).parents[2]
HTTP = ["json://{place}/hook", "pagerduty+http://KEY@{place}", "alertmanager://{place}"]


def tried(address: str, private_hosts: tuple[str, ...] | None) -> Tried:
    (found,) = try_routes(Routes({"acme": (Route(("critical",), lambda: address, private_hosts),)}, ()))
    return found


@pytest.mark.parametrize("address", HTTP)
def test_a_tenants_message_goes_to_no_private_address_that_the_operator_has_not_named(
    receiver: Receiver, address: str
) -> None:
    failure = tried(address.format(place=receiver.place), ()).failure
    assert failure == "127.0.0.1 has the address 127.0.0.1, which is not public"
    assert receiver.asked == 0
    assert tried(address.format(place=receiver.place), ("127.0.0.1",)).failure is None
    assert receiver.asked > 0


def test_mail_is_held_to_the_same(mailbox: Mailbox) -> None:
    address = f"mailto://127.0.0.1:{mailbox.port}?mode=insecure&from=a@b.example&to=c@d.example"
    assert "not public" in str(tried(address, ()).failure)
    assert mailbox.got == []
    assert tried(address, ("127.0.0.1",)).failure is None
    assert len(mailbox.got) == 1


def test_the_platforms_routes_lead_anywhere(receiver: Receiver) -> None:
    assert tried(f"json://{receiver.place}", None).failure is None


@pytest.mark.parametrize("address", HTTP)
def test_a_redirect_to_another_host_is_not_followed(receiver: Receiver, address: str) -> None:
    other = Receiver()
    location = {"Location": f"http://localhost:{other.port}/taken"}
    receiver.answer = lambda body: (307, "elsewhere", location)
    assert tried(address.format(place=receiver.place), ("127.0.0.1",)).failure
    other.stop()
    assert other.asked == 0


def test_an_address_of_this_machine_is_told_to_the_platform_instead(tmp_path: Path) -> None:
    tenants = tmp_path / "tenants"
    (tenants / "acme").mkdir(parents=True)
    shared = 'alerts: {routes: [{severities: [critical], to: "json://127.0.0.1:9"}]}\n'
    (tenants / "_defaults.yaml").write_text((ROOT / "tenants" / "_defaults.yaml").read_text() + shared)
    (tenants / "acme" / "tenant.yaml").write_text((ROOT / "tenants" / "acme" / "tenant.yaml").read_text())
    environ = {"CONVERGENCE_HOME": str(tmp_path), "CONVERGENCE_TENANTS": str(tenants)}
    routes = routes_of(load_tenants(Settings.from_env(environ)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACME__SLACK_URL", "syslog://localhost")
        (destination,) = routes.destinations("run_failed", "critical", "acme")
        assert destination.key == "platform/routes[0]"
        assert destination.instead_of[0].startswith("acme/routes[0]: syslog:// is no address of a tenant's; expected")
        patch.setenv("ACME__SLACK_URL", "slack://a/b/c")
        (destination,) = routes.destinations("run_failed", "critical", "acme")
        assert destination.key == "acme/routes[0]"


def test_every_scheme_of_a_tenant_has_a_channel_that_apprise_or_we_know() -> None:
    import apprise

    from convergence_assets.outgoing import SCHEMES

    known = {scheme for plugin in apprise.Apprise().details()["schemas"] for scheme in
             (*(plugin["protocols"] or ()), *(plugin["secure_protocols"] or ()))}  # fmt: skip
    ours = {"pagerduty+http", "alertmanager", "alertmanagers", "https"}
    assert set(SCHEMES) - ours <= known


def test_a_tenant_with_many_routes_holds_up_no_other() -> None:
    waiting = ["acme/routes[0]", "acme/routes[1]", "acme/routes[2]", "globex/routes[0]", "platform/routes[0]"]
    assert _in_turn(waiting) == [
        "platform/routes[0]", "acme/routes[0]", "globex/routes[0]", "acme/routes[1]", "acme/routes[2]",
    ]  # fmt: skip


def test_a_proxy_is_reached_at_its_own_port_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "localhost:3128")
    with to_public_addresses():
        assert socket.getaddrinfo("localhost", 3128)
        with pytest.raises(HostRefused):
            socket.getaddrinfo("localhost", 22)
