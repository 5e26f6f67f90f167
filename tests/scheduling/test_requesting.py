"""The state of a day between two ticks has one writer."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITES = re.compile(r"\b(write_outstanding|delete_outstanding)\(")


def test_one_module_writes_the_state_of_a_day() -> None:
    writers = {
        str(file.relative_to(ROOT / "convergence_assets"))
        for file in (ROOT / "convergence_assets").rglob("*.py")
        if WRITES.search(file.read_text())
    }
    assert writers == {"control/partition_states.py", "scheduling/requesting.py"}
