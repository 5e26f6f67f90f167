"""Which process sent a job, as labels of the job: how a sweep tells a killed worker's job from a living one's."""

import os
import socket
from collections.abc import Mapping

from convergence_assets.warehouse.bigquery.labels import value_of

_HOST, _PROCESS, _STARTED = "owner_host", "owner_process", "owner_started"


def owner_labels() -> dict[str, str]:
    """This process: host, process id, start time in seconds since 1970 (an id alone is given to others later)."""
    return {_HOST: _host(), _PROCESS: str(os.getpid()), _STARTED: str(_started(os.getpid()))}


def is_gone(labels: Mapping[str, str]) -> bool | None:
    """Whether the process that sent a job has ended; None where another host would have to say."""
    if labels.get(_HOST) != _host() or not labels.get(_PROCESS, "").isdigit():
        return None
    started = _started(int(labels[_PROCESS]))
    return started is None or str(started) != labels.get(_STARTED)


def _host() -> str:
    return value_of(socket.gethostname())


def _started(process: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(process).create_time())
    except psutil.NoSuchProcess:
        return None
