"""What the tests start does not meet on one port."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port, free_ports


def test_no_port_is_soon_given_again_nor_one_that_is_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        given = [free_port() for _ in range(2_500)]  # they come round
    assert port not in given
    assert len(set(given[:1_000])) == 1_000
    first, second, third = free_ports(3)
    assert (second, third) == (first + 1, first + 2)


def test_workers_of_pytest_are_given_ports_of_their_own_below_those_of_connections() -> None:
    code = "from ports import free_port; print(*{free_port() // 2000 for _ in range(1800)})"
    done = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTEST_XDIST_WORKER": f"gw{n}"},
            cwd=Path(__file__).parent, check=True, capture_output=True, text=True,
        ).stdout.split()
        for n in (0, 1)
    ]  # fmt: skip
    assert done == [["10"], ["11"]]
