"""Deciding: which open incidents become messages, to whom, and when they are repeated."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from convergence_assets.alerting.channels import Channel, Plain
from convergence_assets.alerting.inhibition import muted_by
from convergence_assets.alerting.links import Links
from convergence_assets.alerting.rendering import Telling, render
from convergence_assets.alerting.routes import Destination, Routes

if TYPE_CHECKING:
    import sqlalchemy as sa

    from convergence_assets.control.incidents import Incident
    from convergence_assets.control.notifications import Member, Notification
    from convergence_assets.control.outbox import Action
    from convergence_assets.control.store import ControlStore

GROUP_WAIT = timedelta(seconds=30)
GROUP_INTERVAL = timedelta(minutes=5)
REPEAT_AFTER: Mapping[str, timedelta] = {"critical": timedelta(hours=4), "warning": timedelta(hours=24)}


@dataclass(frozen=True)
class Decided:
    """How many messages were written to the outbox; the fingerprints of open incidents that no route takes, and of
    those that are muted."""

    messages: int
    no_route: tuple[str, ...]
    muted: tuple[str, ...]


@dataclass(frozen=True)
class Placed:
    """An open incident, its destinations, and the platform's incident that it follows from, if any."""

    incident: "Incident"
    destinations: Sequence[Destination]
    muted_by: "Incident | None"


def decide(store: "ControlStore", routes: Routes, links: Links) -> Decided:
    """Write the messages that are due to the outbox, in one transaction, so that none is sent twice.

    An incident waits `GROUP_WAIT` for others of its kind, cause and severity to the same destination; later ones are
    sent every `GROUP_INTERVAL`. What lasts is repeated after `REPEAT_AFTER`, counted from its arrival, and not while
    an earlier message waits. What ends before its first message is never sent. Raises `ControlError`.
    """
    with store.write("alerting") as connection:
        deciding = _Deciding.read(connection, routes, store.now())
        deciding.decide()
        deciding.write(links)
        return Decided(
            len(deciding.messages),
            tuple(where.incident.fingerprint for where in deciding.placed if not where.destinations),
            tuple(where.incident.fingerprint for where in deciding.placed if where.muted_by),
        )


def prune_alerts(store: "ControlStore", routes: Routes) -> None:
    """Drop what ended long ago: incidents and notifications after 90 days, messages after 30."""
    from convergence_assets.control import incidents, notifications, outbox

    with store.write("alerting") as connection:
        incidents.prune_incidents(connection, store.now())
        notifications.prune_notifications(connection, store.now())
        outbox.prune_outbox(connection, store.now(), [key for key, _ in routes.all()])


def placed(incidents: "Iterable[Incident]", routes: Routes) -> Iterator[Placed]:
    """Incidents with their destinations. One that is over, or has no destination, mutes nothing."""
    placements = [(incident, _destinations(incident, routes)) for incident in incidents]
    heard = [
        one for one, destinations in placements if destinations and one.tenant_id is None and one.resolved_at is None
    ]
    for incident, destinations in placements:
        yield Placed(incident, destinations, muted_by(incident, heard))


def _destinations(incident: "Incident", routes: Routes) -> Sequence[Destination]:
    # The broken destination is the cause of such an incident, and must not be what reports it.
    avoided = incident.cause if incident.kind == "delivery_failing" else None
    return routes.destinations(incident.kind, incident.severity, incident.tenant_id, avoided)


def _channels(routes: Routes, keys: Iterable[str]) -> Mapping[str, Channel]:
    channels = {}
    for key in keys:
        try:
            channels[key] = routes.route(key).channel()
        except (LookupError, ValueError):  # delivery fails the same way, and reports it
            continue
    return channels


_UNKNOWN = Plain()


@dataclass
class _Deciding:
    """One decision: what was read, and what to write."""

    connection: "sa.Connection"
    now: datetime
    incidents: "Mapping[str, Incident]"
    notifications: "Sequence[Notification]"
    members: "Mapping[str, dict[str, Member]]"
    unsent: Collection[str]
    channels: Mapping[str, Channel]
    placed: "Sequence[Placed]"
    instead_of: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    messages: "list[tuple[Notification, Telling]]" = field(default_factory=list)
    opened: "list[Notification]" = field(default_factory=list)
    joined: "list[Member]" = field(default_factory=list)
    left: "list[Member]" = field(default_factory=list)
    told_members: "list[Member]" = field(default_factory=list)
    moments: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    dropped: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, connection: "sa.Connection", routes: Routes, now: datetime) -> "_Deciding":
        from convergence_assets.control import incidents, notifications, outbox

        opened = notifications.open_notifications(connection)
        members: dict[str, dict[str, Member]] = {one.notification_id: {} for one in opened}
        for member in notifications.members(connection):
            members[member.notification_id][member.incident_id] = member
        lasting = incidents.open_incidents(connection)
        by_id = {one.incident_id: one for one in (*incidents.notified_incidents(connection), *lasting)}
        channels = _channels(routes, {notification.destination for notification in opened})
        where = list(placed(lasting, routes))
        return cls(connection, now, by_id, opened, members, outbox.unsent_notifications(connection), channels, where)

    def decide(self) -> None:
        """Close what is over, add each incident to a notification per destination, queue what is due."""
        lasting = [notification for notification in self.notifications if not self._is_over(notification)]
        self._add_incidents(lasting)
        for notification in lasting:
            if notification.told_at is None:
                self._send_first(notification)
            else:
                self._send_next(notification)

    def write(self, links: Links) -> None:
        from convergence_assets.control import notifications, outbox

        notifications.delete_members(self.connection, self.left)
        notifications.delete_notifications(self.connection, self.dropped)
        notifications.insert_notifications(self.connection, self.opened)
        notifications.insert_members(self.connection, self.joined)
        notifications.mark_told(self.connection, self.told_members)
        for name, ids in self.moments.items():
            notifications.update_notifications(self.connection, ids, **{name: self.now})
        for notification, telling in self.messages:
            payload = render(telling, links, self.now).to_json()
            target = (notification.notification_id, notification.destination)
            outbox.enqueue_message(self.connection, *target, telling.action, payload, self.now)

    def _is_over(self, notification: "Notification") -> bool:
        """Whether a notification has nothing left; it is then closed, and resolved if it was ever sent."""
        members = self.members[notification.notification_id]
        lasting = [member for member in members.values() if self._lasts(notification, member)]
        announced = [member for member in members.values() if member.told_at is not None]
        if announced and not any(member in lasting for member in announced):
            self._queue_message(notification, "resolve", over=announced)
            self.moments["closed_at"].append(notification.notification_id)
            return True
        self._remove_members(notification, [m for m in members.values() if m.told_at is None and m not in lasting])
        if not members:
            self.dropped.append(notification.notification_id)
        return not members

    def _add_incidents(self, lasting: "Sequence[Notification]") -> None:
        from convergence_assets.control.notifications import Member, Notification

        groups = {one.group: one for one in lasting if one.acknowledged_at is None}
        heard = {(i, one.destination, one.severity) for one in lasting for i in self.members[one.notification_id]}
        for where in self.placed:
            incident = where.incident
            for destination in where.destinations:
                self.instead_of[incident.incident_id, destination.key] = destination.instead_of
                if where.muted_by or (incident.incident_id, destination.key, incident.severity) in heard:
                    continue
                group = (destination.key, incident.kind, incident.cause, incident.severity)
                if group not in groups:
                    groups[group] = Notification.opened(group, self.now)
                    self.opened.append(groups[group])
                self.joined.append(Member(groups[group].notification_id, incident.incident_id))
                self.members.get(groups[group].notification_id, {})[incident.incident_id] = self.joined[-1]

    def _send_first(self, notification: "Notification") -> None:
        members = self.members[notification.notification_id]
        self._remove_members(notification, [member for member in members.values() if member.incident_id in self._muted])
        if not members:
            self.dropped.append(notification.notification_id)
        elif self.now - notification.opened_at >= GROUP_WAIT:
            self._queue_message(notification, "trigger", new=list(members.values()))

    def _send_next(self, notification: "Notification") -> None:
        assert notification.told_at is not None
        members = self.members[notification.notification_id].values()
        lasting = [m for m in members if m.told_at is not None and self._lasts(notification, m)]
        new = [m for m in members if m.told_at is None and m.incident_id not in self._muted]
        over = [m for m in members if m.told_at is not None and m not in lasting]
        acknowledged = all(self.incidents[m.incident_id].acknowledged_at for m in lasting)
        if acknowledged and notification.acknowledged_at is None:
            self.moments["acknowledged_at"].append(notification.notification_id)
            if "acknowledge" in self._channel(notification).takes:
                self._queue_message(notification, "acknowledge", lasting, over=over)
        since, interval = self.now - notification.told_at, REPEAT_AFTER.get(notification.severity)
        spoken_of = any(m.incident_id not in self._muted for m in lasting)
        refresh = self._channel(notification).refresh_after
        posted_at = notification.posted_at or notification.told_at
        if new and since >= GROUP_INTERVAL:
            self._queue_message(notification, "update", lasting, new, over)
        elif notification.notification_id in self.unsent:
            return  # the last message is not delivered yet, so needs no repeat
        elif interval and since >= interval and spoken_of and not acknowledged:
            self._queue_message(notification, "repeat", lasting, over=over)
        elif refresh and self.now - posted_at >= refresh:
            self._queue_message(notification, "refresh", lasting, over=over)

    def _queue_message(
        self,
        notification: "Notification",
        action: "Action",
        lasting: "Sequence[Member]" = (),
        new: "Sequence[Member]" = (),
        over: "Sequence[Member]" = (),
    ) -> None:
        notification_id = notification.notification_id
        telling = action in ("trigger", "update", "repeat")
        counts = {m.incident_id: self.incidents[m.incident_id].count for m in (*lasting, *new)}
        stands_in = [self.instead_of.get((i, notification.destination), ()) for i in counts]
        self.messages.append(
            (
                notification,
                Telling(
                    action=action,
                    kind=notification.kind,
                    cause=notification.cause,
                    severity=notification.severity,
                    dedup_key=f"convergence-{notification_id}",
                    lasting=[self.incidents[i] for i in counts],
                    new=[self.incidents[m.incident_id] for m in new],
                    over=[self._resolved(notification, m) for m in over],
                    told_at=notification.told_at,
                    more=sum(counts[m.incident_id] - m.told_count for m in lasting),
                    instead_of=tuple(dict.fromkeys(reason for reasons in stands_in for reason in reasons)),
                ),
            )
        )
        self.moments["posted_at"].append(notification_id)
        if telling:
            self.moments["told_at"].append(notification_id)
            announced = [
                replace(m, told_at=m.told_at or self.now, told_count=counts[m.incident_id]) for m in (*lasting, *new)
            ]
            self.told_members += announced

    def _resolved(self, notification: "Notification", member: "Member") -> "Incident":
        incident = self.incidents[member.incident_id]
        if incident.resolved_at is not None:
            return incident
        return replace(incident, resolved_at=self.now, resolution=f"it is {incident.severity} now, and told of as that")

    def _lasts(self, notification: "Notification", member: "Member") -> bool:
        incident = self.incidents[member.incident_id]
        return incident.resolved_at is None and incident.severity == notification.severity

    def _remove_members(self, notification: "Notification", members: "Sequence[Member]") -> None:
        for member in members:
            del self.members[notification.notification_id][member.incident_id]
            self.left.append(member)

    def _channel(self, notification: "Notification") -> Channel:
        return self.channels.get(notification.destination, _UNKNOWN)

    @cached_property
    def _muted(self) -> set[str]:
        return {where.incident.incident_id for where in self.placed if where.muted_by}
