"""What the platform of a run's worker says of it: whether it waits, why it has ended, or that it is gone."""

from dataclasses import dataclass

_LONGEST_MESSAGE = 200


@dataclass(frozen=True)
class WorkerState:
    """The state of a run's worker, a `kind` of thing such as a pod.

    `interrupted`: its platform or a person ended it there, which is no failure of the run. `gone`: its platform knows
    nothing of it. `reason` is the platform's own (OOMKilled, Evicted, ImagePullBackOff, Unschedulable, ...) with its
    message, None where the worker runs, or has ended by itself.
    """

    kind: str
    interrupted: bool = False
    gone: bool = False
    reason: str | None = None


def with_message(reason: str, message: str | None) -> str:
    """The reason, and what a person can read of it in one line."""
    text = " ".join((message or "").split())
    if len(text) > _LONGEST_MESSAGE:
        text = f"{text[:_LONGEST_MESSAGE]}..."
    return f"{reason}: {text}" if text else reason
