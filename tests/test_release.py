"""`make release` sets one version everywhere, dates the changes, and refuses what is no release."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = (
    "pyproject.toml",
    "CHANGELOG.md",
    "deploy/kubernetes/image/kustomization.yaml",
    "deploy/kubernetes/values.yaml",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "user.email", "a@b.example")
    git(tmp_path, "config", "user.name", "A")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Begin")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def release(folder: Path, version: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts" / "release.py"), version]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_release_is_one_tagged_commit_with_its_version_everywhere(checkout: Path) -> None:
    done = release(checkout, "7.8.9")
    assert done.returncode == 0, done.stderr
    assert 'version = "7.8.9"' in (checkout / "pyproject.toml").read_text()
    assert "newTag: 7.8.9" in (checkout / "deploy/kubernetes/image/kustomization.yaml").read_text()
    assert 'tag: "7.8.9"' in (checkout / "deploy/kubernetes/values.yaml").read_text()
    assert "## Unreleased\n\n## 7.8.9 (" in (checkout / "CHANGELOG.md").read_text()
    assert git(checkout, "tag", "--points-at", "HEAD").strip() == "v7.8.9"
    assert git(checkout, "status", "--porcelain") == ""


def test_what_is_no_release_is_refused_in_a_sentence(checkout: Path) -> None:
    refusals = {"seven": "is no version", "0.0.1": "is not newer"}
    for version, reason in refusals.items():
        done = release(checkout, version)
        assert (done.returncode, reason in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert release(checkout, "7.8.9").returncode == 0
    assert "nothing under '## Unreleased'" in release(checkout, "7.9.0").stderr
    (checkout / "new").write_text("")
    assert "changes that are not committed" in release(checkout, "7.9.0").stderr
