"""Where an alert's reader goes next: the run, the asset, the runbook."""

from dataclasses import dataclass
from urllib.parse import quote

_RUNBOOK = "docs/RUNBOOK.md"


@dataclass(frozen=True)
class Links:
    """`dagster_url` is where the Dagster UI is, `runbook_url` where docs/RUNBOOK.md can be read; None: not known."""

    dagster_url: str | None = None
    runbook_url: str | None = None

    def run(self, run_id: str | None) -> str | None:
        return self._dagster("runs", run_id) if run_id else None

    def asset(self, tenant_id: str | None, pipeline: str | None, table: str | None) -> str | None:
        """The table's page, or its pipeline's where no table is named."""
        if tenant_id is None or pipeline is None:
            return None
        return self._dagster("assets", tenant_id, pipeline, *([table] if table else []))

    def runbook(self, anchor: str) -> str:
        """The section's URL; without a base its place in the repository."""
        return f"{self.runbook_url or _RUNBOOK}#{anchor}"

    def _dagster(self, *path: str) -> str | None:
        if not self.dagster_url:
            return None
        return "/".join([self.dagster_url.rstrip("/"), *(quote(part, safe="") for part in path)])
