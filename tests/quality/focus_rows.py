"""Rows that hold every rule of FOCUS, and what each of their values can be changed to."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

FIRST_DAY = date(2001, 1, 1)
START, END = datetime(2026, 10, 1, 7, tzinfo=UTC), datetime(2026, 11, 1, 7, tzinfo=UTC)
COMMITTED: dict[str, Any] = {
    "CommitmentDiscountCategory": "Usage", "CommitmentDiscountId": "commitments/1", "CommitmentDiscountName": "one",
    "CommitmentDiscountQuantity": Decimal(4), "CommitmentDiscountStatus": "Used", "CommitmentDiscountUnit": "Hours",
    "CommitmentDiscountType": "Committed Use Discount", "PricingCategory": "Committed",
}  # fmt: skip
USAGE: dict[str, Any] = {
    "AllocatedMethodDetails": '{"x_Method": "even"}', "AllocatedMethodId": "even", "AllocatedResourceId": "pods/1",
    "AllocatedResourceName": "pod", "AllocatedTags": '{"team": "a"}', "AvailabilityZone": "europe-west1-b",
    "BilledCost": Decimal("8"), "BillingAccountId": "0A1B2C", "BillingAccountName": "Acme",
    "BillingAccountType": "Billing Account", "BillingCurrency": "EUR", "BillingPeriodEnd": END,
    "BillingPeriodStart": START, "ChargeCategory": "Usage", "ChargeDescription": "Core hours",
    "ChargeFrequency": "Usage-Based", "ChargePeriodEnd": START + timedelta(hours=1), "ChargePeriodStart": START,
    "ConsumedQuantity": Decimal(4), "ConsumedUnit": "Hours", "ContractedCost": Decimal(8),
    "ContractedUnitPrice": Decimal(2), "EffectiveCost": Decimal(8), "HostProviderName": "Google Cloud",
    "InvoiceId": "2026-10", "InvoiceIssuerName": "Google Cloud", "ListCost": Decimal(10),
    "ListUnitPrice": Decimal("2.5"), "PricingCategory": "Standard", "PricingCurrency": "EUR",
    "PricingCurrencyContractedUnitPrice": Decimal(2), "PricingCurrencyEffectiveCost": Decimal(8),
    "PricingCurrencyListUnitPrice": Decimal("2.5"), "PricingQuantity": Decimal(4), "PricingUnit": "Hours",
    "ProviderName": "Google Cloud", "PublisherName": "Google Cloud", "RegionId": "europe-west1",
    "RegionName": "Belgium", "ResourceId": "instances/1", "ResourceName": "web", "ResourceType": "instance",
    "ServiceCategory": "Compute", "ServiceName": "Compute Engine", "ServiceProviderName": "Google Cloud",
    "ServiceSubcategory": "Virtual Machines", "SkuId": "A1", "SkuMeter": "Core hours",
    "SkuPriceDetails": '{"CoreCount": 4, "x_Generation": "n2"}', "SkuPriceId": "A1/0", "SubAccountId": "acme-web",
    "SubAccountName": "Web", "SubAccountType": "Project", "Tags": '{"team": "a", "keyless": true}',
}  # fmt: skip
_UNPRICED = dict.fromkeys((
    "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice", "PricingCategory",
    "PricingCurrencyContractedUnitPrice", "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "SkuId",
    "SkuMeter", "SkuPriceDetails", "SkuPriceId",
))  # fmt: skip
ROWS: tuple[dict[str, Any], ...] = (
    USAGE,
    USAGE | COMMITTED,
    USAGE | COMMITTED | {"CommitmentDiscountStatus": "Unused", "ConsumedQuantity": None, "ConsumedUnit": None},
    USAGE | COMMITTED | {
        "ChargeCategory": "Purchase", "ChargeFrequency": "Recurring", "CommitmentDiscountStatus": None,
        "ConsumedQuantity": None, "ConsumedUnit": None, "EffectiveCost": Decimal(0),
        "PricingCurrencyEffectiveCost": Decimal(0), "PricingCategory": "Standard",
    },
    USAGE | _UNPRICED | {"ChargeCategory": "Tax", "ChargeFrequency": "One-Time"},
    USAGE | _UNPRICED | {
        "ChargeCategory": "Credit", "ChargeFrequency": "One-Time", "ListCost": Decimal(8),
    },
    USAGE | {"CapacityReservationId": "reservations/1", "CapacityReservationStatus": "Unused"},
    USAGE | _UNPRICED | {"ChargeClass": "Correction"},
    # What is null where something else is.
    USAGE | dict.fromkeys((
        "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName", "RegionId",
        "RegionName", "ResourceId", "ResourceName", "ResourceType", "SubAccountId", "SubAccountName", "SubAccountType",
    )),
    # A marketplace's product whose invoice is its seller's.
    USAGE | {"InvoiceIssuerName": "Seller", "BilledCost": Decimal(0)},
    USAGE | _UNPRICED | {"ChargeCategory": "Adjustment", "ChargeFrequency": "One-Time"},
)  # fmt: skip
_OTHERS: dict[str, tuple[Any, ...]] = {
    "NUMERIC": (None, Decimal(-1), Decimal(0), Decimal("7.5")),
    "TIMESTAMP": (None, START - timedelta(days=40), END + timedelta(days=40)),
    "STRING": (None, " ", "other"),
    "BillingCurrency": ("eur",),
    "CapacityReservationStatus": ("Used",),
    "ChargeCategory": ("Usage", "Purchase", "Tax", "Credit"),
    "ChargeClass": ("Correction",),
    "ChargeFrequency": ("Usage-Based",),
    "CommitmentDiscountStatus": ("Unused",),
    "CommitmentDiscountUnit": ("byte-seconds",),
    "ConsumedUnit": ("byte-seconds",),
    "PricingCategory": ("Standard", "Committed"),
    "PricingCurrency": ("eur",),
    "PricingUnit": ("byte-seconds",),
    "ServiceCategory": ("Storage",),
    "ServiceSubcategory": ("Containers",),
    "SkuPriceDetails": ('{"coreCount": 4}', '{"Other": 1}'),
    "Tags": ('{"a": [1]}', '{"a": 1,}'),
}
"""By type, and by column, what a value can be changed to."""


def mutants(columns: dict[str, str]) -> Iterator[tuple[str, tuple[dict[str, Any], dict[str, Any]]]]:
    """Each row with each of its values changed to each other one: the column, and the row beside an unchanged copy."""
    for row in ROWS:
        for column, kind in columns.items():
            for value in (*_OTHERS[kind], *_OTHERS.get(column, ())):
                if value != row.get(column):
                    yield column, (row, row | {column: value})
