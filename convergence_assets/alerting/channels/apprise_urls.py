"""Slack, e-mail, webhooks and all else that has an Apprise URL."""

import logging
import re
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from convergence_assets.alerting.channels import FOR_PEOPLE, SEND_TIMEOUT_SECONDS, DeliveryFailed
from convergence_assets.alerting.channels.posting import is_refusal
from convergence_assets.alerting.message import Message

if TYPE_CHECKING:
    from apprise import AppriseAsset

# Apprise 2.3 does not hand on a Retry-After; Slack asks for less than a minute.
_RETRY_AFTER_SECONDS = 60
_STATUS = re.compile(r"error=(\d{3})\b")
_SLACK = re.compile(r"slack://|https://hooks\.slack\.com/", re.IGNORECASE)


@dataclass(frozen=True)
class AppriseUrl:
    """Any URL of https://github.com/caronc/apprise/wiki; text is sent as plain text."""

    url: str = field(repr=False)
    takes: Collection[str] = FOR_PEOPLE
    refresh_after: timedelta | None = None
    seconds_between: float = 0.0

    @classmethod
    def at(cls, url: str) -> "AppriseUrl":
        # https://docs.slack.dev/apis/web-api/rate-limits: one message a second to an incoming webhook.
        return cls(url, seconds_between=1.0 if _SLACK.match(url) else 0.0)

    def send(self, message: Message) -> None:
        import apprise

        with _listening() as lines:
            plugin = apprise.Apprise.instantiate(self.url, asset=_asset())
            if plugin is None:
                raise DeliveryFailed("the address is none that Apprise understands")
            plugin.socket_connect_timeout = plugin.socket_read_timeout = SEND_TIMEOUT_SECONDS
            try:
                sent = plugin.notify(
                    body=message.body, title=message.title, notify_type=_type(message),
                    body_format=apprise.NotifyFormat.TEXT,
                )  # fmt: skip
            except Exception as error:  # a plugin's own fault; its text may hold the address
                raise DeliveryFailed(f"{plugin.service_name}: {type(error).__name__} in Apprise") from None
        if not sent:
            raise _failed(str(plugin.service_name), " ".join(lines))


@lru_cache
def _asset() -> "AppriseAsset":
    """Who the message is from, and no pictures from elsewhere."""
    from apprise import AppriseAsset

    return AppriseAsset(app_id="Convergence", app_desc="Convergence", app_url="", image_url_mask="", image_url_logo="")


def _failed(service: str, lines: str) -> DeliveryFailed:
    status = _STATUS.search(lines)
    code = int(status[1]) if status else None
    return DeliveryFailed(
        f"{service}: {f'HTTP {code}' if code else 'it could not be reached or would not take it'}",
        refused=code is not None and is_refusal(code),
        retry_after_seconds=_RETRY_AFTER_SECONDS if code == 429 else None,
    )


def _type(message: Message) -> "str":
    if message.action == "resolve":
        return "success"
    return {"critical": "failure", "warning": "warning"}.get(message.severity, "info")


class _Sending(threading.local):
    """What Apprise logs in this thread while it sends: the only place that says why it failed."""

    lines: list[str] | None = None


_sending = _Sending()


def _heard(record: logging.LogRecord) -> bool:
    """Keep the sending thread's log lines out of the log: some contain the full address."""
    if _sending.lines is None:
        return True
    if record.levelno >= logging.WARNING:
        _sending.lines.append(record.getMessage())
    return False


@contextmanager
def _listening() -> Iterator[list[str]]:
    for name in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_heard)  # one and the same: added once
    lines: list[str] = []
    _sending.lines = lines
    try:
        yield lines
    finally:
        _sending.lines = None
