"""Processes that ask for locks when told to, one line a command; their answers, one line each.

Run as a script it is such a process. Several can be let go at one moment: each waits until a file is there.
"""

import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any, Self


class Process:
    """One of them; `ask` sends a command and reads the answer."""

    def __init__(self, url: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, __file__, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def tell(self, **command: Any) -> None:
        assert self._popen.stdin
        self._popen.stdin.write(json.dumps(command) + "\n")
        self._popen.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._popen.stdout
        line = self._popen.stdout.readline()
        assert line, f"process {self.pid} ended"
        payload: dict[str, Any] = json.loads(line)
        return payload

    def ask(self, **command: Any) -> dict[str, Any]:
        self.tell(**command)
        return self.answer()

    def kill(self, *, reap: bool = True) -> None:
        """kill -9; unreaped, it stays in the process table as one whose parent does not look."""
        self._popen.kill()
        if reap:
            self._popen.wait()
        else:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def end(self) -> None:
        """The ordinary end of a process."""
        assert self._popen.stdin
        self._popen.stdin.close()
        assert self._popen.wait(timeout=30) == 0

    def close(self) -> None:
        self._popen.kill()
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            assert stream
            stream.close()


class Processes:
    def __init__(self, url: str) -> None:
        self._url = url
        self._started: list[Process] = []

    def start(self, count: int = 1) -> list[Process]:
        """That many, ready to be told."""
        started = [Process(self._url) for _ in range(count)]
        self._started += started
        for process in started:
            assert process.answer() == {"ready": True}
        return started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for process in self._started:
            process.close()


def wait_for(file: str | None) -> None:
    while file and not Path(file).exists():
        time.sleep(0.001)


def main(url: str) -> None:
    from convergence_assets.control.lock_session import LockSession
    from convergence_assets.control.locks import Claim, LockLost, Refused
    from convergence_assets.control.store import ControlStore
    from convergence_assets.settings import Settings

    settings = Settings.from_env({"CONVERGENCE_CONTROL_URL": url})

    def say(**answer: Any) -> None:
        print(json.dumps(answer), flush=True)

    holding = None
    locks = {}
    say(ready=True)
    for line in sys.stdin:
        command = json.loads(line)
        wait_for(command.get("when"))
        holding = holding or LockSession(ControlStore.open(settings, {}))
        do, run_id = command["do"], command.get("run_id", "")
        try:
            if do == "hold":
                days = [date.fromisoformat(d) for d in command["days"]]
                claim = Claim(command.get("tenant", "acme"), command.get("pipeline", "costs"), days[0], days[-1])
                locks[run_id] = holding.hold_lock(claim, run_id)
                say(got=True, fence=locks[run_id].fence)
            elif do == "confirm":
                holding.locks.confirm(locks[run_id])
                say(still=True)
            elif do == "release":
                holding.release_run(run_id)
                say(released=True)
            else:
                say(opened=True)
        except Refused as refused:
            say(got=False, holder=refused.holder.run_id, message=str(refused))
        except LockLost as lost:
            say(still=False, message=str(lost))


if __name__ == "__main__":
    main(sys.argv[1])
