"""The demo tenants' commitments, of both of Google's models: what they cover, and what a day of one costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convergence_assets.demo.templates import RowTemplate

_COMPUTE = ("6F81-5844-456A", "Compute Engine")
_PEAK_PERMILLE = 1200  # a row costs at most so much of its template's base
_MICRO = 1000  # billionths in a millionth: sums of such amounts are exact in FLOAT64


@dataclass(frozen=True)
class Commitment:
    """One that a tenant has bought.

    Of usage that it covers it takes `covered_permille` of the cost, which its fee has for `fee_permille` of it. In the
    former model a credit of `credit_type` says so; in the present one, where there is none, the row itself is cheaper.
    """

    id: str
    name: str
    sku: tuple[str, str]
    credit_type: str | None
    covered_permille: int
    fee_permille: int

    @property
    def consumption_model(self) -> dict[str, Any]:
        """What usage in the present model is charged by."""
        return {"id": "2A9B-3C11-77F0", "description": self.name}


CORES = Commitment(
    "4711000815", "Committed Usage Discount: CPU", ("FA2B-0C31-9D44", "Commitment v1: Cpu for 1 Year"),
    "COMMITTED_USAGE_DISCOUNT", 600, 630,
)  # fmt: skip
MONEY = Commitment(
    "cud-flex-3y", "Committed use discount - dollar based: Compute 3 Year",
    ("5E0A-7741-C0DE", "Commitment - dollar based v1: Compute 3 Years"),
    "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE", 460, 540,
)  # fmt: skip
FLEXIBLE = Commitment(
    "9f1c2d7e-flexible", "Compute Flexible CUDs 1 Year",
    ("8C3D-51AA-0B6E", "Commitment - dollar based v1: Flexible - 1 Year"), None, 1000, 720,
)  # fmt: skip
COMMITMENTS = (CORES, MONEY, FLEXIBLE)


def day_capacity(templates: Sequence["RowTemplate"], commitment: Commitment, rows_per_day: int, shifts: int) -> int:
    """The most that a day's usage of the commitment's templates costs, in billionths of the currency."""
    running, rows_per_hour = len(templates) // shifts, rows_per_day // 24 + 1
    of_an_hour = 0
    for number in range(running * shifts):
        if templates[number].commitment is commitment:
            rows = rows_per_hour // running + (number % running < rows_per_hour % running)
            of_an_hour += templates[number].base_cost * rows
    return of_an_hour * 24 // shifts * _PEAK_PERMILLE // 1000


def paid(cost: int, commitment: Commitment | None) -> int:
    """What a row is charged of its cost at negotiated prices, both in billionths."""
    if commitment is None or commitment.credit_type:
        return cost
    return cost * commitment.fee_permille // 1000 // _MICRO * _MICRO


def fee_row(
    row: dict[str, Any], commitment: Commitment, capacity: int, price: float, used: int
) -> tuple[dict[str, Any], int]:
    """A fee on an account's row, and its cost in billionths; `used` is what the rows it covers are charged."""
    amount = capacity * commitment.covered_permille // 1000
    cost = amount * commitment.fee_permille // 1000 // _MICRO * _MICRO
    hours = amount / 10**9 / price
    offset = {
        "name": commitment.id, "full_name": f"{commitment.name} utilization", "id": commitment.id,
        "type": "FEE_UTILIZATION_OFFSET", "amount": -used / 10**9,
    }  # fmt: skip
    changed = {
        "service": dict(zip(("id", "description"), _COMPUTE, strict=True)),
        "sku": dict(zip(("id", "description"), commitment.sku, strict=True)),
        "subscription": {"instance_id": commitment.id},
        "usage": {"amount": hours * 3600, "unit": "seconds", "amount_in_pricing_units": hours, "pricing_unit": "hour"},
        "credits": [offset] if used else [],
    }
    return row | changed, cost
