"""The tutorial is followed as a reader follows it: its files are saved, its commands run, its output compared."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clean_environment import clean_environment
from tests.commands import ROOT, convergence

TUTORIAL = (ROOT / "docs" / "TUTORIAL.md").read_text()
_BLOCK = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_SAVED = re.compile(r"\bas `(?P<path>(?:tenants|landing)/[^`]+)`:$")
_EXIT_CODES = {
    "convergence validate --tenant soylent": {0, 1},
    "convergence run soylent saas --partition 2026-10-13": {0, 1},
}


class Reader:
    """Somebody at a shell in a folder of tenants, as a checkout's root is one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = clean_environment() | {"CONVERGENCE_HOME": str(folder / ".convergence")}
        self.environ |= {"DAGSTER_HOME": str(folder / ".convergence" / "dagster")}
        self.run_id = ""

    def save(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)

    def type(self, line: str) -> str:
        """What the line prints; `RUN` is the run that was last seen."""
        words = [self.run_id if word == "RUN" else word for word in shlex.split(line)]
        if words[0] != ".venv/bin/convergence":
            subprocess.run(words, cwd=self.folder, check=True)
            return ""
        done = convergence(*words[1:], environ=self.environ, folder=self.folder)
        printed = done.stdout + done.stderr
        shown = shlex.join(["convergence", *words[1:]])
        assert done.returncode in _EXIT_CODES.get(shown, {0}), f"{shown}: {printed}"
        if seen := re.search(r"^run (\w{8})-", printed, re.MULTILINE):
            self.run_id = seen[1]
        return printed


def steps() -> Iterator[tuple[str, str, str]]:
    """The sentence before each block, the block's language, and the block; without those of `make`."""
    for block in _BLOCK.finditer(TUTORIAL.partition("\n## 2.")[2]):
        if not block["text"].startswith("make "):
            yield block["before"], block["language"], block["text"]


def squeezed(text: str) -> str:
    return " ".join(text.split())


def assert_shown(expected: str, printed: str) -> None:
    """Every line was printed, in this order, whatever the width of the columns; `…` is anything."""
    lines = [re.escape(squeezed(line)).replace("…", ".*") for line in expected.splitlines()]
    assert re.search(".*".join(lines), squeezed(printed), re.DOTALL), f"expected\n{expected}\nprinted\n{printed}"


@pytest.mark.slow
def test_who_follows_the_tutorial_sees_what_it_shows(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tenants", tmp_path / "tenants")
    (tmp_path / ".convergence" / "dagster").mkdir(parents=True)
    shutil.copy(ROOT / "dagster.yaml", tmp_path / ".convergence" / "dagster")
    reader = Reader(tmp_path)
    printed, compared = "", 0
    for before, language, text in steps():
        if language == "sh":
            printed = "".join(reader.type(line) for line in text.splitlines())
        elif language == "text":
            assert_shown(text, printed)
            compared += 1
        else:
            saved = _SAVED.search(before)
            assert saved, f"where does this belong? {before!r}"
            reader.save(saved["path"], text)
    assert compared == 8
    assert "soylent" not in os.listdir(tmp_path / "tenants")
