"""Which alerts are muted while something larger is known to be broken."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convergence_assets.control.incidents import Incident

_Condition = tuple[str | None, str | None]
"""Kind and cause; None: any."""

# An open incident of the platform, and the incidents of tenants that follow from it.
_MUTES: tuple[tuple[_Condition, tuple[_Condition, ...]], ...] = (
    (("daemon_dead", None), (("partition_late", None), ("run_stuck", "queued"), ("ledger_lag", None))),
    (("automation_failing", "catch_up"), (("partition_late", None),)),
    (("automation_failing", "ledger"), (("ledger_lag", None),)),
    (
        (None, "warehouse:unavailable"),
        (
            ("run_failed", "unavailable"),
            ("run_stuck", None),
            ("partition_late", None),
            ("ledger_lag", None),
            ("late_data_unasked", "unavailable"),
        ),
    ),
    (
        (None, "warehouse:quota_exceeded"),
        (
            ("run_failed", "quota_exceeded"),
            ("partition_late", None),
            ("ledger_lag", None),
            ("late_data_unasked", "quota_exceeded"),
        ),
    ),
)


def muted_by(incident: "Incident", platform: Iterable["Incident"]) -> "Incident | None":
    """The open incident of the platform that this one follows from; the platform's own are never muted."""
    if incident.tenant_id is None:
        return None
    causes = [cause for cause, follow in _MUTES if any(_fits(incident, condition) for condition in follow)]
    return next((other for other in platform if any(_fits(other, cause) for cause in causes)), None)


def _fits(incident: "Incident", condition: _Condition) -> bool:
    kind, cause = condition
    return kind in (None, incident.kind) and cause in (None, incident.cause)
