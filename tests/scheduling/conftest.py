"""A world with a clock of its own: tenants, a daemon that is up or down, runs that take their time and fail."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "assets"))

import pytest
from project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.at(tmp_path / "home")
