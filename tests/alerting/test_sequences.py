"""Whatever happens in whatever order: all is told once, again when it is time, and over when it is over."""

import tempfile
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from convergence_assets.alerting.alert import Alert
from convergence_assets.alerting.dispatch import GROUP_INTERVAL, REPEAT_AFTER
from convergence_assets.alerting.message import Message
from convergence_assets.alerting.routes import Routes
from convergence_assets.control import incidents
from tests.alerting.desk import Desk, failed, platform, to
from tests.alerting.receivers import Receiver
from tests.examples import examples

TICK = timedelta(seconds=30)
# Late partitions are muted by a dead daemon, failed runs are not; two causes, and one of information.
CONDITIONS: dict[str, Alert] = {
    **{f"failed {t}": failed(t, cause="unavailable") for t in "ab"},
    "denied c": failed("c", cause="access_denied"),
    **{f"late {t}": failed(t, kind="partition_late", severity="warning", cause="late") for t in "ab"},
    "canceled a": failed("a", kind="run_canceled", severity="info"),
    "daemon": platform(),
}
NAMES = st.sets(st.sampled_from(sorted(CONDITIONS)), min_size=1)


class AlertsAsPeopleHearThem(RuleBasedStateMachine):
    """The model reads what was sent, and knows when each condition was open, muted and seen to."""

    receiver: Receiver

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        to_pagerduty = f"pagerduty+http://KEY@{self.receiver.place}"
        self.desk = Desk(f"sqlite:///{Path(self.folder.name, 'control.db')}", Routes({}, to(to_pagerduty)))
        self.receiver.got.clear()
        self.opened: set[str] = set()
        self.acknowledged: set[str] = set()

    def tick(self, seconds: float) -> None:
        """What is muted or seen to is not spoken of."""
        before = len(self.desk.messages())
        self.desk.tick(seconds)
        seen_to = {CONDITIONS[name].fingerprint for name in self.acknowledged}
        lasting = {CONDITIONS[name].fingerprint for name in self.opened}
        for message in self.desk.messages()[before:]:
            if message.action in ("trigger", "update", "repeat"):
                assert not ("daemon" in self.opened and message.kind == "partition_late")
            if message.action == "repeat":
                assert {subject.fingerprint for subject in message.subjects} & lasting - seen_to

    @rule(names=NAMES)
    def raise_them(self, names: set[str]) -> None:
        self.desk.raise_(*(CONDITIONS[name] for name in sorted(names)))
        self.opened |= names

    @rule(names=NAMES)
    def resolve_them(self, names: set[str]) -> None:
        self.desk.resolve(*(CONDITIONS[name] for name in sorted(names & self.opened)))
        self.opened -= names
        self.acknowledged -= names

    @rule(names=NAMES)
    def acknowledge_them(self, names: set[str]) -> None:
        self.desk.acknowledge(*(CONDITIONS[name] for name in sorted(names & self.opened)))
        self.acknowledged |= names & self.opened

    @rule(ticks=st.integers(1, 4))
    def some_ticks(self, ticks: int) -> None:
        for _ in range(ticks):
            self.tick(TICK.total_seconds())

    @rule()
    def five_hours(self) -> None:
        for _ in range(2):
            self.tick(5 * 3600 / 2)

    @rule()
    def ticks_at_one_moment(self) -> None:
        self.tick(0)
        before = len(self.receiver.bodies)
        self.tick(0)
        assert len(self.receiver.bodies) == before

    @invariant()
    def each_message_has_a_reason(self) -> None:
        by_key: dict[str, list[Message]] = defaultdict(list)
        for message in self.desk.messages():
            by_key[message.dedup_key].append(message)
        for of_key in by_key.values():
            actions = [message.action for message in of_key]
            assert actions[0] == "trigger"
            assert actions.count("trigger") == 1
            assert actions.count("acknowledge") <= 1
            assert actions.count("resolve") <= 1
            assert "resolve" not in actions[:-1]
            heard = [m for m in of_key if m.action in ("trigger", "update", "repeat")]
            for earlier, later in pairwise(heard):
                passed = datetime.fromisoformat(later.sent_at) - datetime.fromisoformat(earlier.sent_at)
                least = GROUP_INTERVAL if later.action == "update" else REPEAT_AFTER[later.severity]
                assert passed >= least

    @invariant()
    def what_was_decided_arrived_in_its_order(self) -> None:
        decided = [(m.dedup_key, m.action) for m in self.desk.messages()]
        words = {"update": "trigger", "repeat": "trigger"}
        arrived = [(body["dedup_key"], body["event_action"]) for body in self.receiver.bodies]
        assert arrived == [(key, words.get(action, action)) for key, action in decided]

    @invariant()
    def each_incident_is_told_in_one_notification_and_its_end_once(self) -> None:
        with self.desk.store.read() as connection:
            known = {
                (i.fingerprint, f"{i.opened_at:%Y-%m-%dT%H:%M:%SZ}"): i for i in incidents.all_incidents(connection)
            }
        keys: dict[tuple[str, str], set[str]] = defaultdict(set)
        ended: dict[tuple[str, str], int] = defaultdict(int)
        for message in self.desk.messages():
            for subject in message.subjects:
                own = (subject.fingerprint, subject.started_at)
                keys[own].add(message.dedup_key)
                ended[own] += message.action == "resolve"
        for own, notifications in keys.items():
            # An incident that ends and opens again within a second has the same name here.
            if (
                sum(
                    other.fingerprint == own[0] and f"{other.opened_at:%Y-%m-%dT%H:%M:%SZ}" == own[1]
                    for other in known.values()
                )
                == 1
            ):
                assert len(notifications) == 1, own
                assert ended[own] <= 1

    def teardown(self) -> None:
        """Once nothing changes any more, all that is open is known, and all that is over is known to be over."""
        for _ in range(14):
            self.tick(TICK.total_seconds())
        muted = {name for name in self.opened if "daemon" in self.opened and name.startswith("late")}
        known: dict[str, str] = {}
        for message in self.desk.messages():
            for subject in message.subjects:
                if message.action == "resolve" or subject.ended_at:
                    known.pop(subject.fingerprint, None)
                else:
                    known[subject.fingerprint] = message.dedup_key
        open_ = {CONDITIONS[name].fingerprint for name in self.opened}
        must = open_ - {CONDITIONS[name].fingerprint for name in muted}
        assert must <= set(known)
        # Nobody saw to these: they are told again, once an interval.
        repeated = {
            CONDITIONS[name].fingerprint
            for name in self.opened - self.acknowledged - muted
            if CONDITIONS[name].severity == "critical"
        }
        before = len(self.desk.messages())
        for _ in range(5):
            self.tick(3000)
        again: dict[str, int] = defaultdict(int)
        for message in self.desk.messages()[before:]:
            assert message.action == "repeat"
            # One that ended and opened again while others of its notification last is told of as both.
            for subject in message.subjects:
                again[subject.fingerprint] += not subject.ended_at
        assert {f for f, times in again.items() if times > 1} == set()
        assert repeated <= set(again)
        # And when the last cause is gone, so is the last notification.
        for name in list(self.opened):
            self.desk.resolve(CONDITIONS[name])
        self.tick(30)
        with_end = {m.dedup_key for m in self.desk.messages() if m.action == "resolve"}
        assert {m.dedup_key for m in self.desk.messages()} == with_end
        count = len(self.receiver.bodies)
        for _ in range(3):
            self.tick(36_000)
        assert len(self.receiver.bodies) == count
        self.folder.cleanup()


@pytest.mark.slow
@pytest.mark.property
def test_any_sequence_is_told_as_promised(receiver: Receiver) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    class Machine(AlertsAsPeopleHearThem):
        pass

    Machine.receiver = receiver
    chosen = settings(
        max_examples=examples(5),
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Machine, settings=chosen)
