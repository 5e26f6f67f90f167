"""Labels as BigQuery takes them: at most 63 lower-case letters, digits, `_` and `-`.

https://cloud.google.com/bigquery/docs/labels-intro#requirements
"""

import hashlib
import re
from collections.abc import Mapping

_LONGEST = 63
MANAGED = {"managed_by": "convergence"}
"""On every dataset, table and job that this platform makes."""
VERSION = "convergence_version"
"""The number of a table's version; where it is absent, 1, and the table is none that is kept beside the one read."""


def of_table(version: int) -> dict[str, str]:
    """The labels of a published table."""
    return MANAGED | ({VERSION: str(version)} if version != 1 else {})


def of_version(version: int) -> dict[str, str]:
    """The labels of a table that is, or was, a version beside the one that is read."""
    return MANAGED | {VERSION: str(version)}


def sanitised(labels: Mapping[str, str]) -> dict[str, str]:
    """`labels` with every value made legal; values that differ stay different."""
    return MANAGED | {key: value_of(value) for key, value in labels.items()}


def value_of(text: str) -> str:
    """A legal label value; with a hash at its end if more than its case or dots had to change."""
    legal = re.sub(r"[^a-z0-9_-]", "_", text.lower().replace("...", "_to_"))
    if legal == text or (len(legal) <= _LONGEST and re.fullmatch(r"[a-z0-9_.-]*", text)):
        return legal[:_LONGEST]
    return f"{legal[: _LONGEST - 9]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
