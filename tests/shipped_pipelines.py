"""Importing this loads the repository's tenants once: processes forked afterwards have their SQL parsed already."""

import gc
from datetime import date
from pathlib import Path

from convergence_assets.tenancy.registry import load_registry

load_registry(str(Path(__file__).parents[1] / "tenants"), None, today=date(2026, 12, 1))
gc.collect()
gc.freeze()
