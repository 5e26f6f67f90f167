"""The demo's tenants as their cloud provider would know them."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class DemoTenant:
    """Whose bills are made up; `usd_rate` is the price of a dollar in `currency`, `regions` are Google's."""

    tenant_id: str
    timezone: str
    currency: str = "USD"
    billing_account_id: str = "000000-000000-000000"
    usd_rate: Decimal = Decimal(1)
    country: str = "US"
    regions: tuple[str, ...] = ("us-central1", "us-east1")
    projects: tuple[str, ...] = ("shop-prod", "shop-staging", "data-platform")


DEMO_TENANTS = (
    DemoTenant(
        "acme", "Europe/Berlin", "EUR", "0A1B2C-3D4E5F-6A7B8C", Decimal("0.92"), "DE", ("europe-west3", "europe-west1"),
        ("rocket-prod", "rocket-staging", "telemetry", "mission-control"),
    ),
    DemoTenant(
        "globex", "America/New_York", "USD", "1B2C3D-4E5F6A-7B8C9D", Decimal(1), "US", ("us-east1", "us-central1"),
        ("web-prod", "web-test", "analytics"),
    ),
    DemoTenant(
        "initech", "Asia/Kolkata", "INR", "2C3D4E-5F6A7B-8C9D0E", Decimal("84.1"), "IN", ("asia-south1",),
        ("tps-reports", "printer-fleet", "backoffice"),
    ),
)  # fmt: skip
SHARED_ACCOUNT = DemoTenant(
    "raviga", "America/Los_Angeles", "USD", "3D4E5F-6A7B8C-9D0E1F",
    projects=("hooli-search", "hooli-mail", "pied-piper", "office"),
)  # fmt: skip
"""One billing account of several tenants: those of `examples/one_billing_account`."""
SHARED_BY = ("hooli", "pied_piper")
