"""What a certification says, for a machine and as a record."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from convergence_assets.diagnostics.doctor.examine import Finding


@dataclass(frozen=True)
class Report:
    """Findings about a project; `canary` is the tenant and day that were run, None where nothing was written."""

    project: str
    release: str
    began: datetime
    ended: datetime
    canary: tuple[str, str] | None
    bytes_billed: int
    findings: Sequence[Finding]

    @property
    def passed(self) -> bool:
        """Whether nothing is broken."""
        return not any(finding.state == "broken" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Times are ISO 8601 in UTC."""
        return {
            "project": self.project, "release": self.release, "passed": self.passed,
            "began": self.began.isoformat(), "ended": self.ended.isoformat(),
            "canary": {"tenant": self.canary[0], "day": self.canary[1]} if self.canary else None,
            "bytes_billed": self.bytes_billed, "findings": [asdict(finding) for finding in self.findings],
        }  # fmt: skip
