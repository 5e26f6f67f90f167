"""A real Prometheus and a real Alertmanager of Debian, with the shipped files and times that a test can wait for."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.ports import free_port
from tests.tools import program

PACK = Path(__file__).parents[2] / "deploy" / "monitoring"


def wait_until(true: Callable[[], object], what: str, seconds: float = 40) -> None:
    ends_at = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends_at, what
        time.sleep(0.1)


@contextmanager
def alertmanager(folder: Path, receiver: str) -> Iterator[str]:
    """The shipped routes; Slack and PagerDuty are `receiver` (host:port). The address of Alertmanager, host:port."""
    config = yaml.safe_load((PACK / "alertmanager.yml").read_text())
    config["global"] = {"pagerduty_url": f"http://{receiver}/pagerduty"}
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    (folder / "slack_url").write_text(f"http://{receiver}/slack")
    (folder / "pagerduty_key").write_text("a" * 32)
    for one in config["receivers"]:
        for options in [*one.get("slack_configs", ()), *one.get("pagerduty_configs", ())]:
            options |= {key: str(folder / Path(file).name) for key, file in options.items() if key.endswith("_file")}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    place = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus-alertmanager", "prometheus-alertmanager"), f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alerts'}", f"--web.listen-address={place}", "--cluster.listen-address=",
    ]  # fmt: skip
    with _started(command, folder / "alertmanager.log", place):
        yield place


@contextmanager
def prometheus(folder: Path, apis: Sequence[str], alertmanagers: Sequence[str] = ()) -> Iterator["Prometheus"]:
    """The shipped configuration and rules over these APIs (host:port), each second; each rule's `for` is a second."""
    rules = yaml.safe_load((PACK / "rules.yml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule |= {"for": "1s"} if "for" in rule else {}
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    config = yaml.safe_load((PACK / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": list(apis)}]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": list(alertmanagers)}]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    place = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus", "prometheus"), f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}", f"--web.listen-address={place}",
    ]  # fmt: skip
    with _started(command, folder / "prometheus.log", place), httpx.Client(base_url=f"http://{place}") as client:
        yield Prometheus(client)


class Prometheus:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an answer, each with `metric` and `value`; fails where Prometheus refuses the query."""
        answer = self._client.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series


@contextmanager
def _started(command: list[str], log: Path, place: str) -> Iterator[None]:
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written)
    try:
        wait_until(lambda: _is_ready(place) or process.poll() is not None, f"{command[0]} does not answer")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _is_ready(place: str) -> bool:
    try:
        return httpx.get(f"http://{place}/-/ready", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False
