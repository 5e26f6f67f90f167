"""The demo tenants' folder as a copy that a test may damage."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 23)


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))


@pytest.fixture
def load(tenants: Path) -> Callable[..., TenantRegistry]:
    """Loads the copy; `accepted` is the store's folder."""

    def loaded(accepted: Path | None = None) -> TenantRegistry:
        return load_registry(str(tenants), accepted, today=TODAY)

    return loaded


@pytest.fixture
def edit(tenants: Path) -> Callable[[str, str, str], int]:
    """Replaces a text once in a file below the copy; the line (from 1) of the edit."""

    def edited(file: str, old: str, new: str) -> int:
        text = (tenants / file).read_text()
        assert old in text, (old, text)
        (tenants / file).write_text(text.replace(old, new, 1))
        return text[: text.index(old)].count("\n") + 1

    return edited
