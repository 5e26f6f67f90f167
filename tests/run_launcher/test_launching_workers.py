"""The forkserver by itself: what its workers run, what becomes of them and of it when somebody goes away."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

import psutil
import pytest

from benchmarks.project import load_bills, project
from benchmarks.tenant_day import launching
from convergence_assets.dagster_internals.run_launchers import worker_command
from convergence_assets.process import Owner, is_gone, this_process
from convergence_assets.run_launcher import forkserver_client
from convergence_assets.run_launcher.forkserver_client import PRELOADED, Forkserver, NoForkserver, Work
from convergence_assets.run_launcher.termination import end_process


@pytest.fixture
def forkserver(tmp_path: Path) -> Iterator[Forkserver]:
    server = Forkserver(tmp_path / "home", ["json", "sqlalchemy"])
    yield server
    server.close()


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def module(folder: Path, text: str, name: str = "work") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    return folder


def start(
    server: Forkserver, folder: Path, *argv: str, register: Callable[[Owner], None] = lambda owner: None
) -> Owner:
    env = dict(os.environ) | {"OWN": "variable"}
    sys.path.insert(0, str(folder))
    try:
        return server.start(Work(["work", *argv], env, str(folder), folder / "log"), register)
    finally:
        sys.path.remove(str(folder))


def test_a_worker_has_its_own_environment_folder_and_words_and_the_packages_imported(
    forkserver: Forkserver, tmp_path: Path
) -> None:
    printed = module(
        tmp_path / "code",
        "import os, sys, pathlib\n"
        "imported = 'sqlalchemy' in sys.modules\n"
        "ours = [m for m in sys.modules if m.startswith('convergence_assets')]\n"
        "text = f\"{os.environ['OWN']} {os.getcwd()} {sys.argv[1:]} {imported} {ours} {os.getsid(0) == os.getpid()}\"\n"
        "pathlib.Path('said.tmp').write_text(text)\n"
        "os.rename('said.tmp', 'said')\n",
    )
    owner = start(forkserver, printed, "a", "b")
    wait_for(lambda: (printed / "said").exists())
    assert (printed / "said").read_text() == f"variable {printed} ['a', 'b'] True [] True"
    wait_for(lambda: is_gone(owner))
    wait_for(lambda: not (printed / "log").exists())  # it ended well: nobody needs what it printed


def test_a_worker_runs_the_code_of_its_own_start_and_not_that_of_the_forkservers(
    forkserver: Forkserver, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    for version in ("old", "newer"):  # of another length: bytecode is told stale by size and second
        module(code, "import own, pathlib\npathlib.Path('said').write_text(own.VERSION)\n")
        module(code, f"VERSION = {version!r}\n", "own")
        owner = start(forkserver, code)
        wait_for(partial(is_gone, owner))
        assert (code / "said").read_text() == version


def test_once_a_file_of_the_imported_code_is_replaced_workers_come_from_another_forkserver(tmp_path: Path) -> None:
    own = module(tmp_path / "own", "VERSION = 'old'\n", "version").parent
    (own / "own" / "__init__.py").touch()
    code = module(
        tmp_path / "code",
        "import sys, pathlib\n"
        "imported = 'own.version' in sys.modules\n"
        "import own.version\n"
        "pathlib.Path('said').write_text(f'{imported} {own.version.VERSION}')\n",
    )
    server = Forkserver(tmp_path / "home", ["own.version"], own / "own")
    parents = []
    for version in ("old", "old", "newer"):
        (own / "own" / "version.py").write_text(f"VERSION = {version!r}\n") if version == "newer" else None
        owner = start(server, code, register=lambda owner: parents.append(psutil.Process(owner.process).ppid()))
        wait_for(partial(is_gone, owner))
        assert (code / "said").read_text() == f"True {version}"
    assert parents[0] == parents[1] != parents[2]
    wait_for(lambda: not psutil.pid_exists(parents[0]))
    server.close()


def test_a_forkserver_whose_code_was_replaced_while_it_imported_serves_nobody(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "__init__.py").touch()
    (own / "version.py").write_text(
        "import pathlib\n"
        "VERSION = 'old'\n"
        "pathlib.Path(__file__).write_text(\"VERSION = 'newer'\\n\")\n"  # as an installation does, just now
    )
    code = module(
        tmp_path / "code", "import own.version, pathlib\npathlib.Path('said').write_text(own.version.VERSION)\n"
    )
    server = Forkserver(tmp_path / "home", ["own.version"], own)
    owner = start(server, code)
    wait_for(lambda: is_gone(owner))
    assert (code / "said").read_text() == "newer"
    assert len(forkservers(tmp_path)) == 1  # the one that imported both is not left to wait
    server.close()
    wait_for(lambda: not forkservers(tmp_path))


def test_nobody_is_given_a_forkserver_whose_code_was_replaced_before_he_was_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = module(tmp_path / "own", "")
    first = Forkserver(tmp_path / "home", ["json"], own)
    code = module(tmp_path / "code", "")
    owner = start(first, code)
    wait_for(lambda: is_gone(owner))
    late = Forkserver(tmp_path / "home", ["json"], own)
    module(own, "replaced = True")
    monkeypatch.setattr(Forkserver, "_follow", lambda this, deadline: None)  # it looked a moment earlier
    monkeypatch.setattr(forkserver_client, "START_WITHIN_SECONDS", 0.5)
    with pytest.raises(NoForkserver, match=r"being replaced\. Next"):
        start(late, code)
    first.close()


def forkservers(code: Path) -> list[psutil.Process]:
    """Those that were started with packages of this folder."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(code) in (p.info["cmdline"] or ())]


IMPORTED_SINCE = """
import contextlib, json, runpy, sys
runpy.run_path(sys.argv[1], run_name="forkserver")["preload"](sys.argv[2], json.loads(sys.argv[3]))
before = set(sys.modules)
sys.argv = json.loads(sys.argv[4])
with contextlib.suppress(SystemExit):
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.soak
def test_a_worker_imports_nothing_on_its_way_to_a_published_table_that_the_forkserver_has_not() -> None:
    day = date(2026, 10, 1)
    with project() as settings, launching(settings.home) as platform:
        load_bills(settings, "acme", day, day, rows_per_day=50, seed=1)
        run = platform.make("acme", "gcp_billing", day, day)
        preload = [str(forkserver_client.FORKSERVER), str(forkserver_client.CODE.parent), json.dumps(PRELOADED)]
        argv = [*preload, json.dumps(worker_command(platform.instance, run))]
        done = subprocess.run([sys.executable, "-c", IMPORTED_SINCE, *argv], capture_output=True, text=True, check=True)
        ended = platform.instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.is_success
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_worker_that_could_not_be_written_down_never_begins(forkserver: Forkserver, tmp_path: Path) -> None:
    code = module(tmp_path / "code", "import pathlib\npathlib.Path('said').touch()\n")
    owners: list[Owner] = []

    def fail(owner: Owner) -> None:
        owners.append(owner)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        start(forkserver, code, register=fail)
    wait_for(lambda: is_gone(owners[0]))
    assert not (code / "said").exists()
    start(forkserver, code)  # and the next one does
    wait_for(lambda: (code / "said").exists())


def test_workers_go_on_when_their_client_dies_and_the_next_one_finds_the_same_forkserver(tmp_path: Path) -> None:
    code = module(tmp_path / "code", "import pathlib, time\nwhile not pathlib.Path('end').exists(): time.sleep(0.02)\n")
    client = (
        "import sys, os, pathlib\n"
        "from convergence_assets.run_launcher.forkserver_client import Forkserver, Work\n"
        f"home, code = pathlib.Path({str(tmp_path / 'home')!r}), {str(code)!r}\n"
        "server = Forkserver(home, ['json'])\n"
        "sys.path.insert(0, code)\n"
        "owner = server.start(Work(['work'], dict(os.environ), code, pathlib.Path(code, 'log')), lambda owner: None)\n"
        "print(owner.process, psutil.Process(owner.process).ppid(), flush=True) if (psutil := __import__('psutil')) else 0\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", client], capture_output=True, text=True, check=False)
    worker, server = (int(word) for word in done.stdout.split())
    assert psutil.Process(worker).is_running()
    again = Forkserver(tmp_path / "home", ["json"])
    other = start(again, code)
    assert psutil.Process(other.process).ppid() == server
    (code / "end").touch()
    wait_for(lambda: is_gone(other))
    again.close()
    # Nobody needs it any more.
    wait_for(lambda: not psutil.pid_exists(server))


def test_a_worker_that_breaks_leaves_what_it_printed(forkserver: Forkserver, tmp_path: Path) -> None:
    code = module(tmp_path / "code", "raise ZeroDivisionError('a fault of the test')\n")
    owner = start(forkserver, code)
    wait_for(lambda: is_gone(owner))
    assert "ZeroDivisionError: a fault of the test" in (code / "log").read_text()


def test_a_forkserver_that_is_killed_is_replaced_and_that_is_said(
    forkserver: Forkserver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = module(tmp_path / "code", "import time\ntime.sleep(600)\n")
    first = start(forkserver, code)
    psutil.Process(psutil.Process(first.process).ppid()).kill()
    second = start(forkserver, code)
    assert "another one is asked, or started" in caplog.text
    assert not is_gone(first), "its workers are not its own"
    assert [end_process(owner) for owner in (first, second)] == ["interrupted", "interrupted"]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("import time\ntime.sleep(600)\n", "interrupted"),
        ("import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)\n", "terminated"),
        (
            "import signal, time\nfor s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)\n"
            "import pathlib; pathlib.Path('deaf').touch()\ntime.sleep(600)\n",
            "killed",
        ),
    ],
    ids=["listens", "to the second signal", "deaf"],
)
def test_a_process_is_asked_twice_and_then_killed(forkserver: Forkserver, tmp_path: Path, text: str, how: str) -> None:
    code = module(tmp_path / "code", text + "\n")
    (code / "work.py").write_text(text.replace("time.sleep", "open('ready', 'w').close(); time.sleep"))
    owner = start(forkserver, code)
    wait_for(lambda: (code / "ready").exists())
    waits = {signal.SIGINT: 0.5, signal.SIGTERM: 1.0 if how == "killed" else 5.0}
    assert end_process(owner, waits) == how
    assert is_gone(owner)


def test_a_process_hears_the_signals_that_who_launches_it_was_started_to_ignore(
    forkserver: Forkserver, tmp_path: Path
) -> None:
    text = "import os, time\nopen(f'ready-{os.getpid()}', 'w').close()\ntime.sleep(600)\n"
    code = module(tmp_path / "code", text)
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        owners = [start(forkserver, code) for _ in range(2)]
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
    wait_for(lambda: all((code / f"ready-{owner.process}").exists() for owner in owners))
    assert end_process(owners[0], {signal.SIGINT: 5.0}) == "interrupted"
    assert end_process(owners[1], {signal.SIGTERM: 5.0}) == "terminated"


def test_another_process_of_the_same_id_is_left_alone() -> None:
    here = this_process()
    earlier = Owner(here.host, here.boot_id, here.space, here.process, "1")
    assert end_process(earlier) == "gone"


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder has to be")
    server = Forkserver(tmp_path / "home", ["json"])
    with pytest.raises(NoForkserver, match=r"home/workers cannot be made: Not a directory\. Next: make it writable"):
        start(server, module(tmp_path / "code", "pass"))
