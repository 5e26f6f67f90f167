"""One HTTP POST of JSON, and what its answer means for the message."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from convergence_assets.alerting.channels import SEND_TIMEOUT_SECONDS, DeliveryFailed

if TYPE_CHECKING:
    from ssl import SSLContext

# An answer that is not about the message itself: the receiver is busy, down, or does not know us.
_OF_THE_RECEIVER = frozenset({401, 403, 404, 408, 425, 429, 502, 503, 504})


def post(url: str, body: Any, shown: str, auth: tuple[str, str] | None = None) -> None:
    """Send it, or raise `DeliveryFailed` in which the receiver is called `shown`."""
    import httpx

    try:
        answer = httpx.post(url, json=body, auth=auth, timeout=SEND_TIMEOUT_SECONDS, verify=_authorities())
    except httpx.TimeoutException:
        raise DeliveryFailed(f"{shown}: no answer within {SEND_TIMEOUT_SECONDS} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DeliveryFailed(f"{shown}: {' '.join(str(error).split()) or type(error).__name__}") from None
    if answer.is_success:
        return
    excerpt = " ".join(answer.text.split())[:200]
    raise DeliveryFailed(
        f"{shown}: HTTP {answer.status_code}" + (f": {excerpt}" if excerpt else ""),
        refused=is_refusal(answer.status_code),
        retry_after_seconds=_seconds(answer.headers),
    )


@lru_cache
def _authorities() -> "SSLContext":
    """Reading them costs more than a whole POST."""
    import httpx

    return httpx.create_ssl_context()


def is_refusal(status: int) -> bool:
    """Whether an HTTP status is about the message that was sent, and not about the receiver."""
    return status >= 400 and status not in _OF_THE_RECEIVER


def _seconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
