"""A new tenant's file: whatever is said of it is read back as said, and an end leaves the rest of the file as it was."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.tenant_lifecycle.onboarding_files import Occupied, TenantsFile
from convergence_assets.tenant_lifecycle.onboarding_request import (
    Route,
    TenantSettings,
    differences,
    disabled,
    parameters,
    parse_tenant_file,
    rendered,
)

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=30)
VALUES = st.one_of(TEXT, st.integers(-(10**17), 10**17), st.booleans(), st.dates(date(2000, 1, 1)))


def read(text: str) -> dict[str, Any]:
    source = read_yaml("tenant.yaml", text.encode())
    assert not source.problems, (source.problems, text)
    data: dict[str, Any] = source.data
    return data


@given(TEXT, TEXT, st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), VALUES), st.lists(TEXT, max_size=2))
def test_whatever_is_said_is_read_back_as_it_was_said(
    name: str, zone: str, values: dict[str, object], owners: list[str]
) -> None:
    settings = TenantSettings(
        "hooli", name, zone, ("first", "second"), {"second": values}, date(2026, 10, 1), zone, name, name, name, name,
        tuple(owners), (Route(("critical", "info"), name),),
    )  # fmt: skip
    read_back = read(rendered(settings))
    assert (read_back["display_name"], read_back["timezone"], read_back["plan"]) == (name, zone, name)
    assert read_back["bigquery"] == {"project": name, "dataset": name, "location": name}
    assert read_back.get("owners", []) == owners
    first, second = read_back["pipelines"]
    assert first == {"template": "first", "start_date": date(2026, 10, 1), "schedule": zone}
    assert second.get("with", {}) == values
    assert read_back["alerts"] == {"routes": [{"severities": ["critical", "info"], "to": name}]}


def test_a_file_differs_in_nothing_from_what_it_was_rendered_from() -> None:
    settings = TenantSettings(
        "hooli", "Hooli: the No. 1", "UTC", ("gcp_billing",), {"gcp_billing": {"export_table": "a.b"}},
        date(2026, 10, 1), "0 7 * * *", "starter", "EU", "my-project", "hooli_costs", ("team:cloud", "a@b.example"),
        (Route(("critical",), "${env:HOOLI__SLACK}"),),
    )  # fmt: skip
    current, problems = parse_tenant_file("tenant.yaml", rendered(settings).encode())
    assert problems == []
    assert current is not None
    assert differences(current, settings) == []
    assert differences(current, TenantSettings("hooli")) == []
    other = TenantSettings("hooli", alert_routes=(Route(("critical",), "slack://token"),), owners=("a@b.example",))
    lines = differences(current, other)
    assert len(lines) == 2
    assert "token" not in " ".join(lines)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tenant_id: x\ntimezone: UTC # here\nplan: a\n", "tenant_id: x\ntimezone: UTC # here\nenabled: false # why\nplan: a\n"),
        ("tenant_id: x\nenabled: true # since May\nplan: a", "tenant_id: x\nenabled: false # since May\nplan: a\n"),
        ("tenant_id: x\nenabled: true\n", "tenant_id: x\nenabled: false # why\n"),
        ("# the first\ntenant_id: x\ndisplay_name: >\n  two\n  lines\nplan: a\n",
         "# the first\ntenant_id: x\ndisplay_name: >\n  two\n  lines\nenabled: false # why\nplan: a\n"),
    ],
)  # fmt: skip
def test_a_disabled_file_keeps_its_remarks_and_its_order(before: str, after: str) -> None:
    edited = disabled("tenant.yaml", before.encode(), "why")
    assert edited is not None
    assert edited.decode() == after


def test_a_file_that_cannot_be_edited_line_by_line_is_left_alone() -> None:
    assert disabled("tenant.yaml", b"{tenant_id: x, timezone: UTC}\n", "why") is None
    assert disabled("tenant.yaml", b"- nothing\n", "why") is None


def test_a_parameter_is_taken_as_yaml_reads_it_and_belongs_to_the_template_it_names() -> None:
    both = ("first", "second")
    values = parameters(["first.n=5", "second.t=a.b", "second.s='5'", "first.on=true", "first.odd=a: b"], both)
    assert values == {"first": {"n": 5, "on": True, "odd": "a: b"}, "second": {"t": "a.b", "s": "5"}}
    assert parameters(["x=2026-10-01"], ("only",)) == {"only": {"x": date(2026, 10, 1)}}
    for wrong, why in (
        ("x=1", "of which template .first, second."),
        ("third.x=1", "no template 'third'"),
        ("x", "key=value"),
    ):
        with pytest.raises(ValueError, match=why):
            parameters([wrong], both)


def test_a_file_is_made_once_replaced_only_as_it_was_known_and_taken_back_only_as_it_was_made(tmp_path: Path) -> None:
    for place in (str(tmp_path / "local"), f"file://{tmp_path}/remote", "memory://tenants"):
        if "memory" not in place:
            Path(place.removeprefix("file://")).mkdir()
        file = TenantsFile(place, "hooli/tenant.yaml")
        assert file.read() is None
        file.create(b"one")
        with pytest.raises(Occupied):
            file.create(b"two")
        with pytest.raises(Occupied):
            file.replace(b"other", b"two")
        file.replace(b"one", b"two")
        file.remove(b"one")
        assert file.read() == b"two"
        file.remove(b"two")
        assert file.read() is None
    assert list((tmp_path / "local").iterdir()) == []
