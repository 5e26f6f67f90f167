"""Hooli, a tenant to onboard, and what its onboarding says."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXPORT = "hooli_export.gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"
HOOLI = (
    "hooli", "--display-name", "Hooli", "--timezone", "America/Los_Angeles", "--template", "gcp_billing",
    "--with", f"export_table={EXPORT}", "--start-date", "2026-10-01",
)  # fmt: skip
TABLES = (
    "gcp_cost_line_items", "gcp_cost_daily", "gcp_commitment_fees", "gcp_commitments", "gcp_charges", "gcp_focus",
    "x_meta_pipeline_runs", "x_meta_pipeline_logs", "x_meta_data_quality_results", "x_meta_api_keys",
)  # fmt: skip
Done = subprocess.CompletedProcess[str]
Convergence = Callable[..., Done]


def onboarded(convergence: Convergence, *words: str, **more: str) -> dict[str, Any]:
    done = convergence("tenants", "onboard", *HOOLI, *words, "--yes", "--json", **more)
    assert done.stdout, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed | {"code": done.returncode}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}
