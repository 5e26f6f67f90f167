"""The process from which run workers are forked, with their imports preloaded.

Run as a file (`python -P forkserver.py SOCKET CODE PRELOADED...`), never imported; CODE is the folder of the project's
own packages. PRELOADED is a module, or `module:function` to call, whose result the module keeps. Clients request
workers only while no file of the project has been replaced since (`forkserver_client.py`), so that no run executes old
code. It ends by itself once no client is connected and no worker is alive; workers survive their client.

A client sends one JSON object per line. `{"fork": {argv, env, cwd, path, log}}` creates a waiting worker and answers
`{"process": id, "started": ticks}`; `{"go": id}` lets it begin. One whose client disconnects before that never begins.
An attached descriptor is the worker's stdout; without one stdout goes to `log`, as stderr does.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path

FIRST_CLIENT_WITHIN_SECONDS = 60
WORKERS_COLLECT_AFTER = (100_000, 10, 10)
"""Objects created before a worker's first garbage collection, and the two multiples: Python's default, meant for
programs of any length, costs a day's worker as much as its smallest step. A worker of a year still collects."""
_GO = b"g"
_ENDS = (signal.SIGTERM, signal.SIGINT)


class _Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""
        self.waiting: dict[int, int] = {}  # workers that have not begun, each with the end of its pipe
        self.descriptors: list[int] = []


class _Server:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._clients: dict[int, _Client] = {}
        self._workers: dict[int, str] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, wakes = os.pipe()
        for end in (self._woken, wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> None:
        had_a_client = False
        while True:
            idle = not self._clients and not self._workers
            if idle and had_a_client:
                return
            ready = self._selector.select(FIRST_CLIENT_WITHIN_SECONDS if idle else None)
            if idle and not ready:
                return
            for key, _ in ready:
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    self._clients[connection.fileno()] = _Client(connection)
                    self._selector.register(connection, selectors.EVENT_READ)
                    had_a_client = True
                elif key.fd == self._woken:
                    os.read(self._woken, 4096)
                    self._reap()
                elif key.fd in self._clients:
                    self._read(self._clients[key.fd])

    def _read(self, client: _Client) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(client.connection, 1 << 16, 4)
            client.descriptors += descriptors
        except OSError:
            data = b""
        if not data:
            self._drop_client(client)
            return
        client.received += data
        *lines, client.received = client.received.split(b"\n")
        for line in lines:
            answer = self._answer(client, json.loads(line))
            try:
                client.connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                self._drop_client(client)
                return

    def _answer(self, client: _Client, request: dict) -> dict:  # type: ignore[type-arg]
        if "go" in request:
            end = client.waiting.pop(request["go"], None)
            if end is None:
                return {"error": f"no worker {request['go']} waits"}
            with contextlib.suppress(OSError):  # it may have been killed in between
                os.write(end, _GO)
            os.close(end)
            return {"began": request["go"]}
        try:
            return self._fork(client, request["fork"])
        except OSError as error:
            return {"error": str(error)}

    def _fork(self, client: _Client, work: dict) -> dict:  # type: ignore[type-arg]
        begins, go = os.pipe()
        stdout = client.descriptors.pop() if client.descriptors else None
        # A signal that arrives during the fork waits until it can be reported.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        try:
            process = os.fork()
            if process == 0:
                os.close(go)
                self._leave_server()
                _work(begins, stdout, **work)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
        os.close(begins)
        if stdout is not None:
            os.close(stdout)
        client.waiting[process] = go
        self._workers[process] = work["log"]
        return {"process": process, "started": _started(process)}

    def _leave_server(self) -> None:
        """In the child: close everything that belongs to the server."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        for client in self._clients.values():
            client.connection.close()
            for end in (*client.waiting.values(), *client.descriptors):
                os.close(end)

    def _drop_client(self, client: _Client) -> None:
        del self._clients[client.connection.fileno()]
        self._selector.unregister(client.connection)
        client.connection.close()
        for end in (*client.waiting.values(), *client.descriptors):
            os.close(end)

    def _reap(self) -> None:
        while True:
            try:
                process, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            line = {
                "worker": process,
                "status": os.waitstatus_to_exitcode(status),
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
                "peak_bytes": used.ru_maxrss * 1024,  # the kernel counts it in KB (man getrusage, Linux)
            }
            print(json.dumps(line), flush=True)
            log = self._workers.pop(process, None)
            if log and status == 0:
                with contextlib.suppress(OSError):
                    os.unlink(log)


def _work(
    begins: int, stdout: int | None, argv: list[str], env: dict[str, str], cwd: str, path: list[str], log: str
) -> None:
    """The worker: `python -m argv[0] argv[1:]`, in a session of its own."""
    status = 1
    try:
        _listen(to_dagster=argv[0] == "dagster")
        if os.read(begins, 1) != _GO:
            os._exit(0)
        os.close(begins)
        os.setsid()
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        sys.path[:] = path
        sys.argv = list(argv)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out if stdout is None else stdout, 1)
        os.dup2(out, 2)
        os.close(out)
        if stdout is not None:
            os.close(stdout)
        gc.set_threshold(*WORKERS_COLLECT_AFTER)
        gc.enable()
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else (0 if ended.code is None else 1)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            import atexit

            atexit._run_exitfuncs()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _listen(*, to_dagster: bool) -> None:
    """Handle signals again. Until Dagster does, a request to end is recorded where Dagster looks: the run then reports
    an interruption, and its days are requested again. If the process just ended, its run never would.
    """
    # A daemon that a script started in the background ignores both, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if to_dagster:
        from dagster._utils import interrupts

        for sign in _ENDS:
            signal.signal(sign, lambda *_: interrupts._received_interrupt.update(received=True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


def _started(process: int) -> str:
    """The start that identifies a process in `convergence_assets.process`: field 22 of man proc_pid_stat."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def preload(code: str, names: list[str]) -> None:
    """Import modules and call functions by name, and exclude their objects from garbage collection."""
    if code not in sys.path:
        sys.path.insert(0, code)
    for name in names:
        module, _, function = name.partition(":")
        with contextlib.suppress(Exception):  # an optional one that is not installed; a worker that needs it reports it
            imported = importlib.import_module(module)
            if function:
                getattr(imported, function)()
    # What was imported is never collected, and its pages stay shared with every worker.
    gc.collect()
    gc.disable()
    gc.freeze()


def main() -> None:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    place, code, *names = sys.argv[1:]
    preload(code, names)
    listener = socket.socket(socket.AF_UNIX)
    scratch = f"{place}.{os.getpid()}"
    listener.bind(scratch)
    listener.listen(64)
    os.rename(scratch, place)  # it listens before a client can find it
    try:
        _Server(listener).serve()
    finally:
        with contextlib.suppress(OSError):
            os.unlink(place)


if __name__ == "__main__":
    main()
