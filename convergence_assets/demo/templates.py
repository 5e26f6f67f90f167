"""Rows of koku-nise in the export's true nested schema, kept as text so that a million variations are cheap."""

import json
import random
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, islice
from typing import Any

from convergence_assets.demo.commitments import CORES, FLEXIBLE, MONEY, Commitment
from convergence_assets.demo.commitments import paid as paid_of
from convergence_assets.demo.tenants import DemoTenant

NANO = 10**9
_MONTH_SECONDS = 730 * 3600
_GIBIBYTE = 2**30

# Dollars for a pricing unit, and usage units in one: enough for costs that look like a bill.
_PRICING = {
    "hour": ("0.031611000", 3600.0),
    "gibibyte hour": ("0.004237000", _GIBIBYTE * 3600.0),
    "gibibyte month": ("0.040000000", float(_GIBIBYTE) * _MONTH_SECONDS),
    "gibibyte": ("0.085000000", float(_GIBIBYTE)),
    "month": ("0.200000000", float(_MONTH_SECONDS)),
}
_SUSTAINED = ("Sustained Usage Discount", "Sustained Usage Discount", "SUSTAINED_USAGE_DISCOUNT", 200)
_FREE = ("Free tier", "free-tier", "FREE_TIER", 1000)
_PROMOTION = ("Migration programme", "promo-migration", "PROMOTION", 100)
_DISCOUNT = ("Reseller margin", "reseller-margin", "RESELLER_MARGIN", 30)
_MODEL = {"id": "7754-699E-0EBF", "description": "Default"}
SHIFTS = 3  # a third of the resources run in any hour
_COVERED = {"hour": (CORES, FLEXIBLE, MONEY, None), "gibibyte hour": (FLEXIBLE, None, MONEY)}
"""By pricing unit the commitments that cover what virtual machines are charged for, in turn."""
_CREDITS = ((), (), (), (_SUSTAINED,), (_FREE,), (_PROMOTION,), (_SUSTAINED, _DISCOUNT))


@dataclass(frozen=True)
class RowTemplate:
    """One SKU of one project in one region.

    Amounts are whole billionths of the tenant's currency; `list_permille` is the list price as a share of the paid
    one; each credit is its opening text and its share of the cost in thousandths; `commitment` covers it.
    """

    head: str
    resource: tuple[str, str]
    base_cost: int
    price: float
    units_per_pricing_unit: float
    units: tuple[str, str]
    list_permille: int
    credits: tuple[tuple[str, int], ...]
    invoice: str
    row: dict[str, Any]
    commitment: Commitment | None = None


def compact(value: object) -> str:
    """JSON as the export's files write it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def decimal_text(nanos: int) -> str:
    """Billionths as a decimal number of at most nine places."""
    sign = "-" if nanos < 0 else ""
    return f"{sign}{abs(nanos) // NANO}.{abs(nanos) % NANO:09d}"


def row_templates(tenant: DemoTenant, seed: int) -> list[RowTemplate]:
    """Every SKU that nise's generators give this tenant, in an order that depends on the seed alone."""
    rng = random.Random(f"templates/{seed}/{tenant.tenant_id}")
    by_kind: dict[tuple[str, str, str, str], RowTemplate] = {}
    commitments = {unit: cycle(covering) for unit, covering in _COVERED.items()}
    for row in _nise_rows(tenant, rng):
        key = (row["service"]["id"], row["sku"]["id"], row["project"]["id"], row["location"]["region"])
        if key not in by_kind:
            of_its_unit = commitments.get(row["usage"]["pricing_unit"])
            is_machine = of_its_unit and row["service"]["description"] == "Compute Engine"
            by_kind[key] = _template(tenant, row, rng, next(of_its_unit) if of_its_unit and is_machine else None)
    templates = list(by_kind.values())
    rng.shuffle(templates)
    # Some of them, and some of each project and environment, run in every hour, however few rows an hour has.
    covered = [template for template in templates if template.commitment]
    others = [template for template in templates if not template.commitment]
    return [t for n in range(SHIFTS) for t in _among(_each_owner_first(others[n::SHIFTS]), covered[n::SHIFTS])]


def _each_owner_first(templates: list[RowTemplate]) -> list[RowTemplate]:
    """One of each project and environment, then the others in their order."""
    owners = [(t.row["project"]["id"], compact(t.row["labels"][-1:])) for t in templates]
    first = dict(reversed(list(zip(owners, templates, strict=True))))
    firsts = {id(template) for template in first.values()}
    return [*first.values(), *(template for template in templates if id(template) not in firsts)]


def _among(others: list[RowTemplate], covered: list[RowTemplate]) -> Iterator[RowTemplate]:
    """One that a commitment covers after every three others, and last what is left."""
    left = iter(covered)
    for number, template in enumerate(others, 1):
        yield template
        if number % 3 == 0:
            yield from islice(left, 1)
    yield from left


def account_row(
    tenant: DemoTenant, service: tuple[str, str], sku: tuple[str, str], **changed: object
) -> dict[str, Any]:
    """A row without a project: support, tax, rounding."""
    return {
        "billing_account_id": tenant.billing_account_id,
        "service": {"id": service[0], "description": service[1]},
        "sku": {"id": sku[0], "description": sku[1]},
        "project": None,
        "labels": [],
        "system_labels": [],
        "location": {"location": "global", "country": None, "region": None, "zone": None},
        "tags": [],
        "transaction_type": "GOOGLE",
        "seller_name": None,
        "currency": tenant.currency,
        "currency_conversion_rate": float(tenant.usd_rate),
        "cost_type": "regular",
        "adjustment_info": None,
        "subscription": None,
        "consumption_model": None,
        "price": None,
        "resource": None,
        "usage": {"amount": 0, "unit": "requests", "amount_in_pricing_units": 0, "pricing_unit": "count"},
        "credits": [],
        "invoice": {"publisher_type": "GOOGLE"},
        **changed,
    }


def _nise_rows(tenant: DemoTenant, rng: random.Random) -> Iterator[dict[str, Any]]:
    from nise.generators.gcp import (
        JSONLCloudStorageGenerator,
        JSONLComputeEngineGenerator,
        JSONLGCPDatabaseGenerator,
        JSONLGCPNetworkGenerator,
        JSONLHCSGenerator,
        JSONLPersistentDiskGenerator,
    )

    generators = (
        JSONLComputeEngineGenerator,
        JSONLCloudStorageGenerator,
        JSONLPersistentDiskGenerator,
        JSONLGCPDatabaseGenerator,
        JSONLGCPNetworkGenerator,
        JSONLHCSGenerator,
    )
    # nise draws from the process's own generators: they are seeded for the time of the call and then put back.
    with _seeded(rng.getrandbits(64)):
        for number, project in enumerate(tenant.projects):
            for region in tenant.regions:
                place = {
                    "billing_account_id": tenant.billing_account_id,
                    "project": _project(tenant, project, number),
                    "location": {
                        "location": region,
                        "country": tenant.country,
                        "region": region,
                        "zone": f"{region}-{'abc'[number % 3]}",
                    },
                }
                for generator in generators:
                    day = (datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001 (nise takes naive UTC)
                    yield from generator(*day, tenant.currency, place, {"resource_level": True}).generate_data()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    from faker import Faker

    state = random.getstate()
    random.seed(seed)
    Faker.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _project(tenant: DemoTenant, name: str, number: int) -> dict[str, Any]:
    organisation = int(tenant.billing_account_id.replace("-", "")[:6], 16) + 100_000_000
    project_id = f"{tenant.tenant_id}-{name}"
    return {
        "id": project_id,
        "number": str(organisation * 1000 + number),
        "name": name.replace("-", " ").title(),
        "labels": [{"key": "cost-center", "value": f"cc-{100 + number}"}],
        "ancestry_numbers": f"/{organisation}/{organisation + 7}/",
        "ancestors": [
            {"resource_name": f"projects/{organisation * 1000 + number}", "display_name": project_id},
            {"resource_name": f"organizations/{organisation}", "display_name": f"{tenant.tenant_id}.example"},
        ],
    }


def _template(
    tenant: DemoTenant, row: dict[str, Any], rng: random.Random, commitment: Commitment | None
) -> RowTemplate:
    pricing_unit = row["usage"]["pricing_unit"]
    dollars, per_unit = _PRICING.get(pricing_unit, ("0.050000000", 1.0))
    price = int(dollars.replace(".", "")) * int(tenant.usd_rate * 100) // 100
    # Most resources cost cents an hour, few cost dollars, some nothing.
    free = any(word in row["sku"]["description"] for word in ("Ingress", "Transfer In "))
    base = 0 if free else int(price * 10 ** rng.uniform(0.0, 1.8))
    red_hat = "OpenShift" in row["service"]["description"]
    invoice = {"publisher_type": "PARTNER" if red_hat else "GOOGLE"}
    changed = {
        "labels": [*row["labels"], {"key": "env", "value": rng.choice(("prod", "staging", "dev"))}],
        "tags": [
            {
                "key": "team",
                "value": rng.choice(("payments", "platform", "data")),
                "inherited": True,
                "namespace": row["project"]["ancestry_numbers"].split("/")[1],
            }
        ],
        "transaction_type": "THIRD_PARTY_RESELLER" if red_hat else "GOOGLE",
        "seller_name": "Red Hat, Inc." if red_hat else None,
        "subscription": None,
        "consumption_model": None if red_hat else _MODEL,
        "adjustment_info": None,
        "currency_conversion_rate": float(tenant.usd_rate),
    }
    resource = {key: _placed(row["resource"][key], row, rng) for key in ("name", "global_name")}
    drawn = ("usage_start_time", "usage_end_time", "export_time", "cost", "usage", "credits", "invoice", "resource")
    credits = rng.choice(_CREDITS) if base and not red_hat else ()
    is_of_present_model = commitment is not None and commitment.credit_type is None
    if commitment is not None:
        changed |= {"subscription": {"instance_id": commitment.id}} if is_of_present_model else {}
        changed |= {"consumption_model": commitment.consumption_model} if is_of_present_model else {}
        type_ = commitment.credit_type
        credits = ((commitment.name, commitment.id, type_, commitment.covered_permille),) if type_ else ()
    list_permille = rng.choice((1000, 1000, 1050, 1120))
    paid, listed = (float(decimal_text(price * permille // 1000)) for permille in (1000, list_permille))
    prices = {
        "effective_price": float(decimal_text(paid_of(price, commitment))),
        "tier_start_amount": 0,
        "unit": pricing_unit,
        "pricing_unit_quantity": 1,
        "list_price": listed,
        "effective_price_default": paid,
        "list_price_consumption_model": float(decimal_text(paid_of(price * list_permille // 1000, commitment))),
    }
    whole = {**row, **changed, "price": prices}
    head = compact({k: v for k, v in whole.items() if k not in drawn})
    return RowTemplate(
        head=head[:-1],
        resource=(f"{resource['name']}-", resource["global_name"]),
        base_cost=base,
        price=price / NANO,
        units_per_pricing_unit=per_unit,
        units=(row["usage"]["unit"], pricing_unit),
        list_permille=list_permille,
        credits=tuple((_credit_text(*c[:3]), c[3]) for c in credits),
        invoice=compact(invoice)[1:],
        row={**whole, "resource": resource},
        commitment=commitment,
    )


def _placed(resource: str, row: dict[str, Any], rng: random.Random) -> str:
    """A resource's name in its row's project and zone: nise puts it elsewhere, and ends disks in a UUID of no seed."""
    named = re.sub(r"projects/[^/]+", f"projects/{row['project']['id']}", resource)
    named = re.sub(r"zones/[^/]+", f"zones/{row['location']['zone']}", named)
    named = re.sub(r"pvc-[0-9a-f-]{36}", f"pvc-{uuid.UUID(int=rng.getrandbits(128), version=4)}", named)
    return re.sub(r"^/(?=[^/])", "//", named)


def _credit_text(name: str, credit_id: str, kind: str) -> str:
    return compact({"name": name, "full_name": name, "id": credit_id, "type": kind})[:-1] + ',"amount":-'
