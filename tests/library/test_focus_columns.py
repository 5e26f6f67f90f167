"""FOCUS columns that come from the price list, from reference tables and from parameters."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.pipelines.catalog import library
from tests.library.platform_in_a_folder import Platform
from tests.library.test_real_bills import DAY, FEE, ROW, TENANT, broken_rules, load, stopped_by, told

REFERENCE = Path("convergence_assets/pipelines/library/gcp_billing/reference")
# https://focus.finops.org/focus-specification/v1-2/#servicesubcategory
SUBCATEGORIES = {
    "AI and Machine Learning": "AI Platforms, Bots, Generative AI, Machine Learning, Natural Language Processing",
    "Analytics": "Analytics Platforms, Business Intelligence, Data Processing, Search, Streaming Analytics",
    "Business Applications": "Productivity and Collaboration",
    "Compute": "Containers, End User Computing, Quantum Compute, Serverless Compute, Virtual Machines",
    "Databases": "Caching, Data Warehouses, Ledger Databases, NoSQL Databases, Relational Databases, Time Series Databases",
    "Developer Tools": "Developer Platforms, Continuous Integration and Deployment, Development Environments, "
    "Source Code Management, Quality Assurance",
    "Identity": "Identity and Access Management",
    "Integration": "API Management, Messaging, Workflow Orchestration",
    "Internet of Things": "IoT Analytics, IoT Platforms",
    "Management and Governance": "Architecture, Compliance, Cost Management, Data Governance, Disaster Recovery, "
    "Endpoint Management, Observability, Support",
    "Media": "Content Creation, Gaming, Media Streaming, Mixed Reality",
    "Migration": "Data Migration, Resource Migration",
    "Mobile": "",
    "Multicloud": "Multicloud Integration",
    "Networking": "Application Networking, Content Delivery, Network Connectivity, Network Infrastructure, "
    "Network Routing, Network Security",
    "Security": "Secret Management, Security Posture Management, Threat Detection and Response",
    "Storage": "Backup Storage, Block Storage, File Storage, Object Storage, Storage Platforms",
    "Web": "Application Platforms",
    "Other": "",
}  # fmt: skip


def focus_rows(platform: Platform, columns: str, where: str) -> list[tuple[str, ...]]:
    sql = f"SELECT {columns} FROM acme.gcp_focus WHERE x_UsageDate = DATE '{DAY}' AND {where} ORDER BY 1"
    return [tuple(map(str, row.values())) for row in platform.rows(sql)]


def named(name: str, **changed: Any) -> dict[str, Any]:
    return ROW | {"resource": {"name": name, "global_name": f"//compute/{name}"}} | changed


def with_parameters(platform: Platform, **values: str) -> Platform:
    """The platform with other values of the tenant's parameters."""
    tenant = platform.registry.tenants[TENANT]
    bound = [
        replace(p, steps=tuple(replace(s, parameters={**s.parameters, **values}) for s in p.steps))
        if p.name == "gcp_billing" else p
        for p in tenant.pipelines
    ]  # fmt: skip
    changed = replace(tenant, pipelines=tuple(bound))
    return Platform(
        platform.settings, replace(platform.registry, tenants={**platform.registry.tenants, TENANT: changed})
    )


def test_prices_are_the_price_lists_and_divided_where_it_has_none_or_one_that_does_not_give_the_cost(
    platform: Platform, tmp_path: Path
) -> None:
    usage = {"amount": 7200.0, "unit": "seconds", "amount_in_pricing_units": 3.0, "pricing_unit": "hour"}
    prices = ROW["price"] | {"effective_price": 1.25, "list_price": 2.5, "pricing_unit_quantity": 2}
    none = dict.fromkeys(ROW["price"]) | {"unit": "hour", "pricing_unit_quantity": 1}
    rows = [
        named("listed", usage=usage, price=prices, cost=1.875, cost_at_list=3.75, credits=[]),
        named("of two tiers", usage=usage, price=prices, cost=1.5, cost_at_list=3.0, credits=[]),
        named("unlisted", usage=usage, price=none),
        named("unmetered", usage=usage | {"amount_in_pricing_units": 0.0}, price=none, cost=0.0, cost_at_list=0.0, credits=[]),
    ]  # fmt: skip
    load(platform, tmp_path, rows)
    assert stopped_by(platform.run(TENANT, [DAY])["gcp_focus"]) == {}
    assert focus_rows(platform, "ResourceName, ListUnitPrice, ContractedUnitPrice", "ResourceName IN ('listed', 'of two tiers', 'unlisted', 'unmetered') AND ChargeCategory = 'Usage'") == [
        ("listed", "1.250000000", "0.625000000"),
        ("of two tiers", "1.000000000", "0.500000000"),
        ("unlisted", "2.000000000", "1.666666667"),
        ("unmetered", "0E-9", "0E-9"),
    ]  # fmt: skip


def test_names_units_and_categories_are_those_of_the_specification(platform: Platform, tmp_path: Path) -> None:
    def of(name: str, service: tuple[str, str], units: tuple[str, str], region: str | None, **changed: Any) -> Any:
        usage = {"amount": 1.0, "unit": units[0], "amount_in_pricing_units": 1.0, "pricing_unit": units[1]}
        place = {"location": "x", "country": None, "region": region, "zone": None}
        return named(name, service=dict(zip(("id", "description"), service, strict=True)), usage=usage, location=place, credits=[], **changed)  # fmt: skip

    rows = [
        of("a", ("24E6-581D-38E5", "Renamed by Google"), ("bytes", "tebibyte"), "us-central1"),
        of("b", ("XXXX-0000-0000", "Cloud Composer"), ("byte-seconds", "gibibyte month"), "europe-west10"),
        of("c", ("XXXX-0000-0001", "Composer for Storage"), ("widget seconds", "1k requests"), "moon-west1"),
        of("d", ("7890-9662-83CC", "Red Hat® OpenShift® Container Platform"), ("seconds", "hour"), None, seller_name="Red Hat, Inc."),
    ]  # fmt: skip
    load(platform, tmp_path, rows)
    reports = platform.run(TENANT, [DAY])
    assert stopped_by(reports["gcp_focus"]) == {}
    [unmapped] = [o for o in reports["gcp_focus"].outcomes if o.name == "services_have_a_category"]
    assert (unmapped.severity, unmapped.passed, "Composer for Storage" in str(unmapped.examples)) == (
        "info",
        False,
        True,
    )
    columns = "ResourceName, ServiceName, ServiceCategory, ServiceSubcategory, x_ServiceCategorySource, ConsumedUnit, PricingUnit, RegionName"
    assert focus_rows(platform, columns, "LENGTH(ResourceName) = 1") == [
        ("a", "Renamed by Google", "Databases", "Data Warehouses", "service id", "Bytes", "TiB", "Iowa"),
        ("b", "Cloud Composer", "Integration", "Workflow Orchestration", "service description", "Byte-Seconds", "GiB-Months", "Berlin"),
        ("c", "Composer for Storage", "Other", "Other (Other)", "None", "Widget-Seconds", "1k-Requests", "moon-west1"),
        ("d", "Red Hat OpenShift Container Platform", "Compute", "Containers", "service description", "Seconds", "Hours", "None"),
    ]  # fmt: skip
    columns = "ResourceName, x_ServiceName, ServiceProviderName, HostProviderName, InvoiceIssuerName, PublisherName"
    assert focus_rows(platform, columns, "ResourceName = 'd'") == [
        ("d", "Red Hat® OpenShift® Container Platform", "Red Hat, Inc.", "Google Cloud", "Google Cloud", "Red Hat, Inc."),
    ]  # fmt: skip


def test_an_ended_months_invoice_has_its_number_and_the_account_its_name(platform: Platform, tmp_path: Path) -> None:
    load(platform, tmp_path, [])
    columns = "BillingAccountName, InvoiceId"
    report = with_parameters(platform, billing_account_name="").run(TENANT, [DAY])["gcp_focus"]
    assert set(focus_rows(platform, columns, "TRUE")) == {("None", "None")}
    assert broken_rules(report) == {"BillingAccountName-C-003-C"}
    named_platform = with_parameters(
        platform, billing_account_name="Acme Rockets", invoice_numbers="202609: 1, 202610: 5140391111,209901: 7"
    )
    named_platform.run(TENANT, [DAY], "gcp_focus")
    assert set(focus_rows(named_platform, columns, "TRUE")) == {("Acme Rockets", "5140391111")}
    named_platform = with_parameters(
        platform, billing_account_name="0A1B2C-3D4E5F-6A7B8C: Other, AAAAAA-BBBBBB-CCCCCC: A: B"
    )
    named_platform.run(TENANT, [DAY], "gcp_focus")
    assert set(focus_rows(named_platform, "BillingAccountName", "TRUE")) == {("A: B",)}


def read(name: str) -> list[dict[str, str]]:
    with (REFERENCE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_reference_tables_say_each_thing_once_with_its_date_and_source() -> None:
    for name, keys in {"services": ("description",), "regions": ("region",), "units": ("unit",)}.items():
        rows = read(name)
        assert not [k for k, n in Counter(tuple(row[key] for key in keys) for row in rows).items() if n > 1]
        assert all(row["since"] == "2026-11-30" and row["source"].startswith("https://") for row in rows)
    ids = [row["service_id"] for row in read("services") if row["service_id"]]
    assert len(ids) == len(set(ids)) > 25
    assert len(read("regions")) > 40


def test_services_have_only_categories_that_the_specification_allows() -> None:
    allowed = {
        (category, name)
        for category, names in SUBCATEGORIES.items()
        for name in [*filter(None, names.split(", ")), f"Other ({category})"]
    }
    assert {(row["category"], row["subcategory"]) for row in read("services")} <= allowed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1\n", "reference/x.csv:2: 1 fields; expected 2, as the first line has"),
        (b"a,a\n1,2\n", "'a' is no column's name"),
        (b"a\n", "no rows"),
        (b"a\n\xff\n", "reference/x.csv:2: not UTF-8 text"),
        (b'a\n"1"2\n', "reference/x.csv:2: "),
    ],
)
def test_a_wrong_reference_table_is_refused_with_its_line(content: bytes, message: str) -> None:
    from convergence_assets.pipelines.reference import relations

    _, [problem] = relations("library/p", {"reference/x.csv": content})
    assert message in problem.render()


def test_a_reference_table_is_a_relation_of_its_rows() -> None:
    from convergence_assets.pipelines.reference import relations

    made, problems = relations("p", {"reference/x.csv": b'a,b,since\n1,"it\'s, \\",2026-01-01\n,2,2026-01-01\n'})
    assert problems == []
    assert made == {
        "reference_x": "UNNEST(ARRAY<STRUCT<a STRING, b STRING>>[STRUCT('1' AS a, 'it\\'s, \\\\' AS b), (NULL, '2')])"
    }
    assert set(library()["gcp_billing"].template.reference) == {  # type: ignore[union-attr]
        "reference_services", "reference_regions", "reference_units",
    }  # fmt: skip
    assert json.dumps(made)


NO_QUANTITY = {"amount": 0.0, "unit": "seconds", "amount_in_pricing_units": 0.0, "pricing_unit": "hour"}
COLUMNS = (
    "ChargeCategory, ListUnitPrice, ContractedUnitPrice, PricingQuantity, ConsumedQuantity, PricingUnit, SkuPriceId"
)
BESIDE_PRICES = ("Adjustment", "None", "None", "None", "None", "None", "None")
UNUSUAL: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "an adjustment without a quantity on a SKU with a price": (
        {"cost": -5.0, "cost_at_list": -5.0, "usage": NO_QUANTITY}, BESIDE_PRICES,
    ),
    "a flat fee": ({"usage": NO_QUANTITY}, ("Usage", "6", "5", "1", "0", "Hours", "AB12/0/6")),
    "no quantity at all": (
        {"usage": dict.fromkeys(ROW["usage"])}, ("Usage", "6", "5", "1", "0", "Units", "AB12/0/6"),
    ),
    "money back for a quantity": (
        {"cost": -5.0, "cost_at_list": -6.0}, ("Usage", "6", "5", "-1", "-3600", "Hours", "AB12/0/6"),
    ),
    "money back, less than nothing at list price": (
        {"cost": -5.0}, ("Usage", "5", "5", "-1", "-3600", "Hours", "AB12/0/5"),
    ),
    "usage of less than a billionth": (
        {"cost": 1e-7, "cost_at_list": 1e-7, "usage": NO_QUANTITY | {"amount": 1.0, "amount_in_pricing_units": 1e-11}},
        ("Usage", "6", "5", "0", "1", "Hours", "AB12/0/6"),
    ),
    "another price on the list in the same tier": (
        {"cost_at_list": 7.5, "price": ROW["price"] | {"list_price": 7.5}},
        ("Usage", "7.5", "5", "1", "3600", "Hours", "AB12/0/7.5"),
    ),
    "a charge of a moment": (
        {"usage_end_time": ROW["usage_start_time"]}, ("Usage", "6", "5", "1", "3600", "Hours", "AB12/0/6"),
    ),
    "empty texts": (
        {"seller_name": "", "subscription": {"instance_id": ""}, "sku": {"id": "F1", "description": "Commitment v1: Cpu"}},
        ("Purchase", "6", "5", "1", "None", "Hours", "F1/0/6"),
    ),
    "a purchase without a quantity": (
        {"sku": FEE["sku"], "usage": dict.fromkeys(ROW["usage"])},
        ("Purchase", "6", "5", "1", "None", "Units", "FEE1/0/6"),
    ),
    "a purchase that is given back": (
        {"sku": FEE["sku"], "cost": -5.0, "cost_at_list": -6.0, "usage": NO_QUANTITY},
        ("Purchase", "6", "5", "-1", "None", "Hours", "FEE1/0/6"),
    ),
    "a correction of an invoiced month": (
        {
            "cost": -5.0, "cost_at_list": -5.0, "usage": NO_QUANTITY, "adjustment_info": ROW["adjustment_info"] | {"id": "a"},
            "invoice": {"month": "202611", "publisher_type": "GOOGLE"},
        },
        ("Usage", "None", "None", "0", "0", "Hours", "AB12/0"),
    ),
}  # fmt: skip


def test_charges_that_are_unusual_and_right_stop_no_day_and_break_no_rule(platform: Platform, tmp_path: Path) -> None:
    load(platform, tmp_path, [named(name, credits=[]) | changed for name, (changed, _) in UNUSUAL.items()])
    report = platform.run(TENANT, [DAY])["gcp_focus"]
    assert stopped_by(report) == {}
    assert broken_rules(report) == set()
    rows = told(platform.rows(f"SELECT ResourceName, {COLUMNS} FROM acme.gcp_focus WHERE x_UsageDate = DATE '{DAY}'"))
    expected = {name: (name, *values) for name, (_, values) in UNUSUAL.items()}
    assert [row for row in rows if row[0] in expected] == sorted(expected.values())
