"""A secret is written in a file by mistake or by reference, and shown nowhere."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from convergence_assets.pipelines.validation import check
from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.tenancy.secrets import Secret
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.tenancy.tenant_file import Defaults, TenantSpec

TOKEN = "T0PS3CR3T"
ADDRESS = f"slack://{TOKEN}/B1/C2"

MISTAKES = [
    f"alerts: {{routes: [{{severities: [critical], to: [{ADDRESS}]}}]}}",
    f"alerts: {{routes: [{{severities: [critical], to: {{url: {ADDRESS}}}}}]}}",
    f"alerts: {{routes: [{ADDRESS}]}}",
    f"alerts: {{routes: {ADDRESS}}}",
    f"alerts: {ADDRESS}",
    f"alerts: {{routes: [{{severities: [{ADDRESS}], to: x}}]}}",
    f"alerts: {{routes: [{{severities: [critical], to: {TOKEN}}}]}}",
    f"alerts: {{routes: [{{severities: [critical], to: 'https://h/{TOKEN}/${{env:not-a-name}}'}}]}}",
    f"plan: [{ADDRESS}]",
    f"owners: [{ADDRESS}]",
    f"timezone: {ADDRESS}",
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_error_repeats_a_secret_that_was_put_in_the_wrong_place(
    mistake: str, tenants: Path, load: Callable[[], TenantRegistry]
) -> None:
    file = tenants / "acme" / "tenant.yaml"
    key = mistake.partition(":")[0]
    kept = file.read_text().partition("alerts:")[0].splitlines(keepends=True)
    file.write_text("".join(line for line in kept if not line.startswith(f"{key}:")) + mistake + "\n")
    registry = load()
    assert "acme" in registry.rejected
    assert TOKEN not in json.dumps([p.render() for p in registry.problems])
    source = read_yaml("_defaults.yaml", mistake.encode())
    assert TOKEN not in str(check(source, Defaults)[1])


def test_nothing_that_prints_or_serialises_a_tenant_shows_a_secret(
    tenants: Path, load: Callable[[], TenantRegistry]
) -> None:
    file = tenants / "acme" / "tenant.yaml"
    file.write_text(file.read_text().replace("${env:ACME__SLACK_URL}", ADDRESS))
    tenant = load().tenants["acme"]
    assert tenant.alert_routes[0].to.resolve({}) == ADDRESS
    shown = [repr(tenant), str(tenant), str(dataclasses.asdict(tenant.alert_routes[0])), f"{tenant.alert_routes[0].to}"]
    spec = check(read_yaml("f", file.read_bytes()), TenantSpec)[0]
    assert spec is not None
    shown += [repr(spec), str(spec), str(spec.model_dump()), spec.model_dump_json()]
    assert not [text for text in shown if TOKEN in text]


def test_secrets_compare_by_what_is_written() -> None:
    assert Secret("${env:A}") == Secret("${env:A}")
    assert len({Secret("${env:A}"), Secret("${env:A}"), Secret("${env:B}")}) == 2
    assert str(Secret("${env:A}-${env:B}")) == "Secret(A, B)"
