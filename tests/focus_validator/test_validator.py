"""The FinOps Foundation's validator over exports of the demo's tenants: what fails is known, each with its reason."""

import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree
from datetime import date, timedelta
from pathlib import Path

import pytest

from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS, DemoTenant
from convergence_assets.pipelines.rule_tables import rule_tables
from tests.focus_export.exports import exported
from tests.focus_validator.environment import ABSENT

ENVIRONMENT = Path(os.environ.get("CONVERGENCE_VALIDATOR_ENVIRONMENT", Path(__file__).parents[2] / ".focus_validator"))
UPSTREAM = {
    "CapacityReservationStatus-C-004-C": (
        "FOCUS_Spec#2394: the validator drops a condition of several parts and asks for a status in every row"
    ),
    "CommitmentDiscountStatus-C-004-C": (
        "FOCUS_Spec#2393: the model's condition is the opposite of its clause, a CommitmentDiscountId that is null"
    ),
    "InvoiceId-C-005-C": (
        "FOCUS_Spec#2394: the clause is about charges with an invoice, the model has no condition and asks of every row"
    ),
    "ServiceName-C-002-M": "1.2 asks for valid Unicode, the validator for ASCII: Google's names have an R in a circle",
}
"""Faults of the validator or of its model, which fail whatever the rows are."""
HELD_BY_OUR_RULES = {"CapacityReservationStatus-C-004-C", "CommitmentDiscountStatus-C-004-C", "ServiceName-C-002-M"}

pytestmark = pytest.mark.validator


def failing_rules(file: Path, report: Path) -> set[str]:
    """The rules of FOCUS 1.2 that an export breaks, with all criteria; what only sums up others is left out."""
    if (ENVIRONMENT / ABSENT).exists():
        pytest.skip((ENVIRONMENT / ABSENT).read_text())
    [packages] = ENVIRONMENT.glob("lib/python3*/site-packages")
    command: list[str | Path] = [
        ENVIRONMENT / "bin" / "focus-validator", "--data-file", file, "--validate-version", "1.2", "--block-download",
        "--applicability-criteria", "ALL", "--output-type", "unittest", "--output-destination", report,
    ]  # fmt: skip
    # It reads its currencies at a path within its packages.
    ended = subprocess.run(command, cwd=packages, capture_output=True, text=True)
    assert report.exists(), ended.stdout[-2000:] + ended.stderr[-2000:]
    found = ElementTree.parse(report).getroot()
    assert int(found.attrib["tests"]) > 500
    names = [case.attrib["name"] for case in found.iter("testcase") if case.find("failure") is not None]
    return {name.partition(" :: ")[0] for name in names if not name.endswith(":: Composite")}


@pytest.mark.parametrize("demo", DEMO_TENANTS, ids=lambda demo: str(demo.tenant_id))
def test_an_export_breaks_no_rule_of_the_validator_but_those_that_are_known(tmp_path: Path, demo: DemoTenant) -> None:
    days = [date(2026, 10, 24), date(2026, 10, 25)]
    files = generate_bills(tmp_path / "bills", demo, days[0], days[-1] + timedelta(days=1), seed=7, rows_per_day=400)
    manifest = exported(tmp_path, demo.tenant_id, files, days)
    [csv_file] = [f["name"] for f in json.loads(manifest.read_text())["files"] if f["name"].endswith(".csv")]
    failing = failing_rules(manifest.with_name(csv_file), tmp_path / "report.xml")
    # Not every tenant has a service with such a name on these days.
    assert failing | {"ServiceName-C-002-M"} == set(UPSTREAM)


def test_our_own_rules_hold_what_the_validator_cannot_judge() -> None:
    held = {rule.id for rule in rule_tables()["focus"] if rule.violated}
    assert held >= HELD_BY_OUR_RULES
    assert set(UPSTREAM) >= HELD_BY_OUR_RULES
