"""SaaS licences of a tenant per day, as a licence desk drops them: a folder a day, a CSV file in it."""

import csv
import random
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

_CONTRACTS = (
    ("Atlassian", "Jira", 180, "28.40"),
    ("Atlassian", "Confluence", 160, "19.10"),
    ("Figma", "Figma Organization", 35, "125.00"),
    ("GitHub", "GitHub Enterprise", 120, "58.20"),
    ("Slack", "Business+", 240, "34.65"),
    ("Zoom", "Workplace", 90, "41.30"),
)
_DEPARTMENTS = ("engineering", "finance", "support")
COLUMNS = ("vendor", "product", "department", "seats", "active_seats", "daily_cost", "currency")


def generate_licences(folder: Path, first: date, last: date, *, seed: int, currency: str = "INR") -> list[Path]:
    """Write `<folder>/<day>/licences.csv` for each day from `first` to `last`; the same arguments, the same bytes."""
    written = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        rng = random.Random(f"licences/{seed}/{day}")
        path = folder / day.isoformat() / "licences.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            for vendor, product, seats, price in _CONTRACTS:
                for department in _DEPARTMENTS:
                    share = seats // len(_DEPARTMENTS)
                    cost = (Decimal(price) * share).quantize(Decimal("0.01"))
                    rows.writerow(
                        [vendor, product, department, share, share - rng.randrange(share // 3), cost, currency]
                    )
        written.append(path)
    return written
