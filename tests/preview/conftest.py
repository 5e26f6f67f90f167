"""A fleet whose days are published, copied for each test."""

import shutil
from pathlib import Path

import pytest

from tests.preview.fleet import Fleet


@pytest.fixture(scope="session")
def published_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet") / "published"
    folder.mkdir()
    Fleet.at(folder).publish()
    return folder


@pytest.fixture
def fleet(published_folder: Path, tmp_path: Path) -> Fleet:
    folder = Path(shutil.copytree(published_folder, tmp_path / "fleet", symlinks=True))
    config = folder / "dagster" / "dagster.yaml"
    config.write_text(config.read_text().replace(str(published_folder), str(folder)))
    return Fleet(folder)
