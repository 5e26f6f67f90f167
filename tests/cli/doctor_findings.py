"""What `convergence doctor` finds, by check."""

from collections.abc import Callable
from dataclasses import replace

from convergence_assets.diagnostics.doctor.checks import CHECKS
from convergence_assets.diagnostics.doctor.examine import Finding, Setup, examine

Said = dict[str, list[dict[str, str]]]
Doctor = Callable[..., tuple[int, Said]]


def found(name: str, setup: Setup) -> list[Finding]:
    return list(examine({name: CHECKS[name]}, setup))


def states(found: Said) -> dict[str, set[str]]:
    return {name: {finding["state"] for finding in findings} for name, findings in found.items()}


def fresh(setup: Setup) -> Setup:
    """The same set-up, looked at anew."""
    return replace(setup)
