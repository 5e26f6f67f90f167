"""`GET …/executions` over 100 000 runs of 100 tenants at 50 requests a second, and what some thousand requests leave in
memory. The API is a process of its own on loopback, the store on SQLite.

`python -m benchmarks.api [--runs 100000] [--tenants 100] [--per-second 50] [--seconds 20] [--requests 5000]`
"""

import argparse
import asyncio
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from benchmarks.figures import figure
from benchmarks.project import project
from convergence_assets.control.keys import Keys
from convergence_assets.control.runs import IndexedRun, write_runs
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings

LIMIT_SECONDS = 0.050
PIPELINES = ("gcp_billing", "kubernetes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--per-second", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--requests", type=int, default=5000)
    arguments = parser.parse_args()
    with project() as settings:
        store = ControlStore.open(settings)
        tenants = [f"tenant_{n:03d}" for n in range(arguments.tenants)]
        _fill(store, tenants, arguments.runs)
        keys = [Keys(store).create(tenant, "benchmark").secret for tenant in tenants]
        serving, url = _serve(settings)
        try:
            asyncio.run(_measure(url, keys, psutil.Process(serving.pid), arguments))
        finally:
            serving.terminate()
            assert serving.wait(30) == 0


def _fill(store: ControlStore, tenants: list[str], count: int) -> None:
    now, chosen = datetime.now(UTC), random.Random(1)
    rows = []
    for number in range(count):
        began = now - timedelta(minutes=number)
        failed = chosen.random() < 0.05
        rows.append(
            IndexedRun(
                run_id=secrets.token_hex(16), tenant_id=tenants[number % len(tenants)],
                pipeline=PIPELINES[number // len(tenants) % 2], status="failed" if failed else "succeeded",
                dagster_status="FAILURE" if failed else "SUCCESS", trigger="schedule", triggered_by="at_0_6",
                first=began.date(), last=began.date(), config_version="0123456789abcdef", attempt=1, created_at=began,
                started_at=began, ended_at=began + timedelta(seconds=8), rows_published=2000, bytes_billed=10**7,
                error_class="not_found" if failed else None, error_message="no such table" if failed else None,
                stuck_reason=None, updated_at=began,
            )
        )  # fmt: skip
    for start in range(0, count, 5000):
        with store.write() as connection:
            write_runs(connection, rows[start : start + 5000])


def _serve(settings: Settings) -> tuple[subprocess.Popen[bytes], str]:
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).parent / "convergence"
    more = {"CONVERGENCE_API_PER_MINUTE": "1000000", "CONVERGENCE_API_PER_HOUR": "10000000"}
    log = (settings.home / "api.log").open("w")
    serving = subprocess.Popen([command, "serve", "--port", str(port)], env=os.environ | more, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            httpx.get(f"{url}/health/live").raise_for_status()
            return serving, url
        except httpx.TransportError:
            assert serving.poll() is None, (settings.home / "api.log").read_text()
            time.sleep(0.1)
    raise TimeoutError(url)


async def _measure(url: str, keys: list[str], process: psutil.Process, arguments: argparse.Namespace) -> None:
    import httpx

    asks: list[tuple[str, dict[str, str | int]]] = [
        ("/api/v1/pipelines/gcp_billing/executions", {}),
        ("/api/v1/pipelines/gcp_billing/executions", {"limit": 200}),
        ("/api/v1/pipelines/kubernetes/executions", {"status": "failed"}),
        ("/api/v1/pipelines/executions", {"status": "running"}),
    ]
    chosen = random.Random(2)
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:

        async def ask(number: int) -> float:
            path, params = asks[number % len(asks)]
            began = time.perf_counter()
            answer = await client.get(path, params=params, headers={"x-api-key": chosen.choice(keys)})
            assert answer.status_code == 200, answer.text
            return time.perf_counter() - began

        for number in range(200):
            await ask(number)
        cpu, began, sent = process.cpu_times(), time.perf_counter(), []
        for number in range(int(arguments.per_second * arguments.seconds)):
            await asyncio.sleep(max(0.0, began + number / arguments.per_second - time.perf_counter()))
            sent.append(asyncio.create_task(ask(number)))
        took = sorted(await asyncio.gather(*sent))
        passed = time.perf_counter() - began
        used = process.cpu_times().user + process.cpu_times().system - cpu.user - cpu.system
        p95, p99 = (took[int(len(took) * share)] for share in (0.95, 0.99))
        print(
            f"{arguments.runs} runs of {arguments.tenants} tenants, {len(took) / passed:.0f} requests/s: "
            f"p50 {statistics.median(took) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, {used / passed:.2f} cores"
        )
        figure(
            f"a page of executions at {arguments.per_second:g} requests/s, p95", p95 * 1000, "ms", LIMIT_SECONDS * 1000
        )
        memory = [process.memory_info().rss]
        for part in range(5):
            for start in range(0, arguments.requests // 5, 8):
                await asyncio.gather(*(ask(part + start + n) for n in range(8)))
            memory.append(process.memory_info().rss)
        grown = (memory[-1] - memory[1]) / 2**20
        figure("memory of the HTTP service", memory[-1] / 1e6, "MB")
        figure(f"memory it grew by in {arguments.requests * 4 // 5} requests", grown, "MiB")


if __name__ == "__main__":
    main()
