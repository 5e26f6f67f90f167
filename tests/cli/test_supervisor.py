"""What ends by itself is started again, later each time, and given up where it keeps ending."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from convergence_assets.cli import supervisor as module
from convergence_assets.cli.supervisor import Supervised, Supervisor

LASTING = [sys.executable, "-c", "import time; time.sleep(600)"]
WITH_CHILD = [
    sys.executable, "-c",
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)  # the child']);"
    " time.sleep(600)",
]  # fmt: skip


@dataclass
class Watched:
    """A supervisor in a thread of its own."""

    parts: list[Supervised]
    said: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    given_up: str | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self.supervisor = Supervisor(self.parts, self.said.append, self._show)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _show(self, name: str, lines: Iterable[str]) -> None:
        self.lines.extend(lines)

    def _run(self) -> None:
        self.given_up = self.supervisor.watch(self._stop)

    def finish(self) -> None:
        self._stop.set()
        self._thread.join()
        for process in self.supervisor.family():
            process.kill()

    def ended(self) -> bool:
        return not self._thread.is_alive()


Watch = Callable[..., Watched]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(module, "WAITS_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(module, "LOOKS_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(module, "_CHILD_LOST_SECONDS", 0.2)
    made: list[Watched] = []

    def watched(*parts: Supervised) -> Watched:
        made.append(Watched(list(parts)))
        return made[-1]

    yield watched
    for one in made:
        one.finish()


def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pid_of(part: Supervised) -> int | None:
    return part.process.pid if part.process else None


def test_a_killed_process_is_started_again_and_the_others_are_left_alone(watch: Watch) -> None:
    one, other = Supervised("one", LASTING, os.environ), Supervised("other", LASTING, os.environ)
    watched = watch(one, other)
    until(lambda: pid_of(one) and pid_of(other))
    first, beside = pid_of(one), pid_of(other)
    assert first
    os.kill(first, signal.SIGKILL)
    until(lambda: pid_of(one) not in (None, first))
    assert pid_of(other) == beside
    assert watched.said == ["one ended by itself (SIGKILL); it is started again in 0.1 s"]


def test_a_server_whose_child_was_killed_is_started_again_with_all_its_children(watch: Watch) -> None:
    server = Supervised("code", WITH_CHILD, os.environ, child="# the child")
    watched = watch(server)

    def child() -> psutil.Process | None:
        pid = pid_of(server)
        found = psutil.Process(pid).children() if pid else []
        return next((c for c in found if "# the child" in " ".join(c.cmdline())), None)

    until(child)
    first, before = pid_of(server), child()
    assert before
    time.sleep(0.1)
    before.kill()
    until(lambda: pid_of(server) not in (None, first) and child())
    assert watched.said == [
        "code lost its process `# the child`, which was killed or ran out of memory; it is started again in 0.1 s"
    ]
    assert not psutil.pid_exists(first or 0)


def test_one_that_keeps_ending_is_given_up_and_its_lines_were_shown(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVEN_UP_AFTER", 4)
    broken = Supervised("api", [sys.executable, "-c", "print('no such module'); raise SystemExit(3)"], os.environ)
    watched = watch(broken)
    until(watched.ended)
    assert watched.given_up == "api ended by itself (exit code 3), 5 times in a row: it is given up"
    assert [text.rpartition(" in ")[2] for text in watched.said] == ["0.1 s", "0.2 s", "0.2 s", "0.2 s"]
    until(lambda: watched.lines.count("no such module\n") == 5)


def test_one_that_lived_for_a_while_begins_with_the_first_wait_again(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.3)
    one = Supervised("one", [sys.executable, "-c", "import time; time.sleep(0.5)"], os.environ)
    watched = watch(one)
    until(lambda: len(watched.said) >= 3)
    assert all(text.endswith("in 0.1 s") for text in watched.said)


def test_one_waits_for_its_first_start_until_it_may(watch: Watch) -> None:
    allowed = threading.Event()
    one = Supervised("one", LASTING, os.environ, may_start=allowed.is_set)
    watch(one)
    time.sleep(0.2)
    assert pid_of(one) is None
    allowed.set()
    until(lambda: pid_of(one))


def test_whoever_kills_the_supervisor_ends_what_it_supervises(tmp_path: Path) -> None:
    script = (
        "import os, sys, threading; from convergence_assets.cli.supervisor import Supervised, Supervisor;"
        f"part = Supervised('one', {LASTING!r}, os.environ);"
        "supervisor = Supervisor([part], print, lambda name, lines: list(lines)); supervisor.start(part);"
        "print(part.process.pid, flush=True); supervisor.watch(threading.Event())"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    child = int(supervisor.stdout.readline())
    assert psutil.pid_exists(child)
    supervisor.kill()
    supervisor.wait()
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
