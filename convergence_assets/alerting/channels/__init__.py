"""Channels: how a message reaches one kind of receiver, chosen by the scheme of a route's URL."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from convergence_assets.outgoing import to_public_addresses

if TYPE_CHECKING:
    from convergence_assets.alerting.message import Message

SEND_TIMEOUT_SECONDS = 10
# What people read: an acknowledgement, or a refresh of a channel's memory, needs no message.
FOR_PEOPLE = frozenset({"trigger", "update", "repeat", "resolve"})


class DeliveryFailed(Exception):
    """A message did not arrive, as far as is known; the text says why, without a secret.

    `refused`: the receiver answered and rejected this message; others may pass. `retry_after_seconds` is what the
    receiver requested.
    """

    def __init__(self, reason: str, *, refused: bool = False, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.refused = refused
        self.retry_after_seconds = retry_after_seconds


class Channel(Protocol):
    """One receiver."""

    @property
    def takes(self) -> Collection[str]:
        """The actions it accepts."""
        ...

    @property
    def refresh_after(self) -> timedelta | None:
        """How long it keeps an open alert without a refresh; None: until it is resolved."""
        ...

    @property
    def seconds_between(self) -> float:
        """The shortest time between two messages."""
        ...

    def send(self, message: "Message") -> None:
        """Deliver within about `SEND_TIMEOUT_SECONDS`, or raise `DeliveryFailed`."""
        ...


@dataclass(frozen=True)
class Plain:
    """The defaults of a receiver."""

    takes: Collection[str] = FOR_PEOPLE
    refresh_after: timedelta | None = None
    seconds_between: float = 0.0

    def send(self, message: "Message") -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Guarded:
    """A tenant's channel: its messages go to public addresses, and only to the private ones of `private_hosts`."""

    channel: Channel
    private_hosts: Collection[str]

    @property
    def takes(self) -> Collection[str]:
        return self.channel.takes

    @property
    def refresh_after(self) -> timedelta | None:
        return self.channel.refresh_after

    @property
    def seconds_between(self) -> float:
        return self.channel.seconds_between

    def send(self, message: "Message") -> None:
        with to_public_addresses(allowed=self.private_hosts) as guard:
            try:
                self.channel.send(message)
            except DeliveryFailed as error:
                raise DeliveryFailed(guard.refused) if guard.refused else error from None


def channel_for(url: str) -> Channel:
    """The channel of a route's URL. Raises `ValueError`, without the URL, where there is none."""
    scheme = url.split("://", 1)[0].lower() if "://" in url else ""
    if scheme in ("pagerduty", "pagerduty+http"):
        from convergence_assets.alerting.channels.pagerduty import PagerDuty

        return PagerDuty.at(url)
    if scheme in ("alertmanager", "alertmanagers"):
        from convergence_assets.alerting.channels.alertmanager import Alertmanager

        return Alertmanager.at(url)
    from convergence_assets.alerting.channels.apprise_urls import AppriseUrl

    return AppriseUrl.at(url)
