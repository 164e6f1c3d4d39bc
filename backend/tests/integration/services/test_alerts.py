"""What goes wrong is told once, to real receivers, and that it is over; a receiver that fails keeps nobody waiting."""

import contextlib
import dataclasses
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.core.errors import DatabaseUnavailable, InvalidInput
from hhh.jobs.watch import Watch
from hhh.jobs.worker import working
from hhh.models import (
    AlertChannel,
    AlertDelivery,
    AlertEvent,
    AlertKind,
    AuditEvent,
    BackupStatus,
    LostWorker,
    Schedule,
)
from hhh.repositories import alerts as rows
from hhh.schemas.alert import ChannelChange, ChannelRequest, ChannelResource
from hhh.schemas.schedule import ScheduleRequest
from hhh.services import alert_sending, dead_mans_switch
from hhh.services.alert_outbox import Outbox
from hhh.services.alert_sending import Message, Receiver
from hhh.services.container import Services, assemble
from hhh.services.sealing import Sealing, channel_owner
from hhh.services.secret_rotation import new_key, rotate
from hhh.storages.registry import make_place
from support.local_services import services_with_a_target, settings_in
from support.receivers import Mailbox, WebHook, a_mailbox, a_web_hook
from support.recoverable import a_backup
from support.waiting import wait_until

SECRET = "s3cret-of-the-hook"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def services(sqlite_database: Database, tmp_path: Path) -> Services:
    services = services_with_a_target(tmp_path, sqlite_database, target="shop", public_url="https://hhh.example")
    make_place(services.settings.default_storage_url)
    return services


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with a_mailbox() as mailbox:
        yield mailbox


@pytest.fixture
def hook() -> Iterator[WebHook]:
    with a_web_hook() as hook:
        yield hook


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.time = utcnow()

    def now(self, _session: Session) -> datetime:
        return self.time


@dataclasses.dataclass
class Sent:
    """In the place of the process that sends: keeps what it is given. What it does itself stands in other tests."""

    messages: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    bodies: list[str] = dataclasses.field(default_factory=list)
    error: str | None = None

    def __call__(self, receiver: Receiver, messages: Sequence[Message]) -> Mapping[str, str | None]:
        if self.error is None:
            self.messages += [(receiver.url, each.title) for each in messages]
            self.bodies += [each.body for each in messages]
        return {each.id: self.error for each in messages}

    @property
    def titles(self) -> list[str]:
        return [title for _, title in self.messages]


@pytest.fixture
def sent() -> Sent:
    return Sent()


def set_up(services: Services, url: str, name: str = "ops", **more: Any) -> ChannelResource:
    return services.alerts.channels.add(ChannelRequest(name=name, url=SecretStr(url), **more))


def a_channel(services: Services, name: str = "ops", **more: Any) -> None:
    """A channel, of which nobody looks whether its URL can be used: that takes a process."""
    row = AlertChannel(id=str(uuid.uuid4()), name=name, enabled=True, created_at=utcnow())
    with services.database.transaction() as session:
        url = f"json://127.0.0.1:9/{name}"
        row.sealed_url = Sealing(services.settings).seal(session, url, owner=channel_owner(row.id))
        for column, value in more.items():
            setattr(row, column, value)
        session.add(row)


def take(services: Services, target: str = "shop") -> None:
    """A backup, whether it succeeds or not."""
    with working(services) as worker:
        worker.execute(worker.create(services.backups.request(target)))


def fail(services: Services, error: str = "pg_dump: error: out of luck", target: str = "shop") -> str:
    """A backup that has failed."""
    return a_backup(services.database, target, status=BackupStatus.FAILED, error=error, age=timedelta())


def look(services: Services) -> None:
    assert services.alerts.rounds.look(at_once=True) is not None


# ------------------------------------------------------------------------------------------------ to real receivers


def test_a_failed_backup_is_told_by_mail_with_all_that_helps_and_so_is_its_recovery(
    services: Services, mailbox: Mailbox, tmp_path: Path
) -> None:
    set_up(services, mailbox.url())
    take(services)
    (tmp_path / "shop.db").rename(tmp_path / "away.db")
    take(services)
    look(services)
    services.alerts.outbox.deliver_all()
    (tmp_path / "away.db").rename(tmp_path / "shop.db")
    take(services)
    look(services)
    services.alerts.outbox.deliver_all()

    failed, recovered = mailbox.mails
    assert failed.to == ["ops@example.com"]
    assert failed.subject == "HHH Backup: shop: backup failed"
    told = failed.text.splitlines()
    assert told[0].startswith("The backup of shop that was begun at ")
    assert told[1].startswith("It said: ")
    assert "shop.db can't be opened: No such file or directory" in told[1]
    assert told[3].startswith("Newest good backup: backup_")
    assert told[4] == "Newest proven backup: none"
    assert told[6:] == [
        "What to do: Put that right, then: hhh backup run shop",
        "In the console: https://hhh.example/targets/shop",
    ]
    assert recovered.subject == "HHH Backup: shop: backups succeed again"
    assert recovered.text.startswith("It is over. Since ")


def test_a_web_hook_gets_it_as_json_with_how_grave_it_is(services: Services, hook: WebHook) -> None:
    set_up(services, hook.url(SECRET))
    fail(services)
    look(services)
    services.alerts.outbox.deliver_all()
    a_backup(services.database, "shop", age=timedelta())
    look(services)
    services.alerts.outbox.deliver_all()

    assert [(each["title"], each["type"]) for each in hook.posts] == [
        ("HHH Backup: shop: backup failed", "failure"),
        ("HHH Backup: shop: backups succeed again", "success"),
    ]
    assert hook.paths == [f"/{SECRET}"] * 2


def test_a_message_waits_for_a_receiver_that_is_down_and_arrives_once_it_is_back(
    services: Services, hook: WebHook
) -> None:
    clock, channel = Clock(), set_up(services, hook.url(SECRET))
    outbox = Outbox(services.settings, services.database, clock=clock)
    fail(services)
    look(services)
    clock.time = utcnow()
    hook.status = 503
    outbox.deliver_all()
    [delivery] = services.alerts.deliveries(limit=10, undelivered=True)
    assert (delivery.status, delivery.attempts) == ("waiting", 1)
    assert "503" in (delivery.error or "")
    assert services.alerts.channels.get(channel.id).last_error == delivery.error

    hook.status = 200
    clock.time += MINUTE - timedelta(seconds=1)
    outbox.deliver_all()
    assert hook.posts == []
    clock.time += timedelta(seconds=2)
    outbox.deliver_all()
    assert hook.titles == ["HHH Backup: shop: backup failed"]
    [delivery] = services.alerts.deliveries(limit=10)
    assert (delivery.status, delivery.attempts, delivery.error) == ("delivered", 2, None)
    assert services.alerts.channels.get(channel.id).last_error is None


def test_a_receiver_that_hangs_keeps_neither_other_channels_nor_a_backup_waiting(
    services: Services, hook: WebHook, mailbox: Mailbox
) -> None:
    set_up(services, hook.url(), "hangs")
    set_up(services, mailbox.url(to="other@example.com"), "works")
    hook.answers.clear()
    fail(services)
    watch = Watch(services, works=True)
    look(services)
    watch.deliver()
    wait_until(lambda: any(mail.to == ["other@example.com"] for mail in mailbox.mails), what="the mail")
    take(services)
    assert services.recoverability.of("shop").last_attempt_status == "success"
    look(services)

    assert hook.posts == []
    hook.answers.set()
    wait_until(lambda: not _is_sending("hangs", services), what="the end of what was sent")


def test_while_the_own_database_is_away_nothing_is_sent_and_afterwards_everything(
    services: Services, hook: WebHook
) -> None:
    set_up(services, hook.url())
    fail(services)
    look(services)
    watch = Watch(services, works=True)
    with services.database.transaction() as session:
        session.execute(text("ALTER TABLE alert_deliveries RENAME TO away"))
    for _ in range(10):  # more often than channels are sent to at once
        with pytest.raises(DatabaseUnavailable):
            watch.deliver()
    with services.database.transaction() as session:
        session.execute(text("ALTER TABLE away RENAME TO alert_deliveries"))
    watch.deliver()
    wait_until(lambda: hook.titles == ["HHH Backup: shop: backup failed"], what="the message")


def _is_sending(name: str, services: Services) -> bool:
    with services.database.snapshot() as session:
        channel = rows.channel_named(session, name)
        return channel is not None and channel.sending_until is not None


def test_a_receiver_that_answers_too_late_is_left(hook: WebHook) -> None:
    hook.answers.clear()
    receiver = Receiver(hook.url(), refuse_local=False, patience=1.5)
    told = alert_sending.send(receiver, [Message("1", "a", "b", "info"), Message("2", "a", "b", "info")])
    assert told == {"1": "It did not answer within 1.5 seconds"}


def test_what_a_database_says_calls_nobody_in_a_chat_and_is_never_too_long_for_it(hook: WebHook) -> None:
    receiver = Receiver(f"mmost://127.0.0.1:{hook.port}/3ccdd113474722377935511fc85d3dd4", refuse_local=False)
    said = "@all, see [here](http://evil.example), says user@db1 " + "x" * 5000
    told = alert_sending.send(receiver, [Message("1", "shop: @channel failed", said, "failure")])
    assert told == {"1": None}
    text = hook.posts[0]["text"]
    assert text.startswith("shop: @\u2060channel failed")
    assert "@\u2060all, see [here]\u2060(http://evil.example), says user@db1 " in text
    assert len(text) <= 4000


def test_a_page_that_a_message_is_redirected_to_has_not_taken_it(hook: WebHook) -> None:
    hook.status, hook.location = 302, "/sign-in"
    told = alert_sending.send(Receiver(hook.url(SECRET), refuse_local=False), [Message("1", "a", "b", "info")])
    assert "It answers 302: a message is not taken there" in (told["1"] or "")
    assert hook.paths == [f"/{SECRET}"]


def test_that_one_of_two_has_taken_a_mail_is_told(mailbox: Mailbox) -> None:
    receiver = Receiver(mailbox.url(to="unknown@example.com,ops@example.com"), refuse_local=False)
    told = alert_sending.send(receiver, [Message("1", "a", "b", "info")])
    assert (told["1"] or "").startswith(alert_sending.PARTLY)
    assert "no such user" in (told["1"] or "")
    assert mailbox.mails.pop().to == ["ops@example.com"]


def test_a_test_that_arrives_is_a_delivery_and_hurries_what_waits(services: Services, hook: WebHook) -> None:
    set_up(services, hook.url())
    fail(services)
    look(services)
    hook.status = 503
    services.alerts.outbox.deliver_all()
    assert services.alerts.channels.test("ops").ok is False
    channel = services.alerts.channels.get("ops")
    assert (channel.last_delivered_at, channel.waiting) == (None, 1)
    assert "503" in (channel.last_error or "")
    hook.status = 200
    assert services.alerts.channels.test("ops").ok is True
    channel = services.alerts.channels.get("ops")
    assert channel.last_delivered_at is not None
    assert channel.last_error is None
    services.alerts.outbox.deliver_all()
    assert hook.titles == ["HHH Backup: a test", "HHH Backup: shop: backup failed"]


def test_a_receiver_that_answers_without_an_end_takes_no_memory_of_the_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):  # until it is closed at the other end
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    connection.sendall(bytes(1 << 20))

        answering = threading.Thread(target=answer)
        answering.start()
        receiver = Receiver(f"json://127.0.0.1:{server.getsockname()[1]}", refuse_local=False)
        told = alert_sending.send(receiver, [Message("1", "a", "b", "info")])
        assert "MemoryError" in (told["1"] or "")
        answering.join()


def test_where_local_addresses_are_refused_nothing_goes_there_by_any_name(hook: WebHook, tmp_path: Path) -> None:
    refusing = settings_in(tmp_path, refuse_local_addresses=True)
    with pytest.raises(InvalidInput, match="of this machine or of its link"):
        alert_sending.opened(refusing, hook.url())
    # A mail goes to the server that an option names, whatever stands in the host's place.
    hidden = f"mailto://a:b@example.com:{hook.port}?smtp=localhost&from=a@example.com&to=b@example.com"
    told = alert_sending.send(alert_sending.opened(refusing, hidden), [Message("1", "a", "b", "info")])
    assert "HHH_REFUSE_LOCAL_ADDRESSES is set" in (told["1"] or "")


# ------------------------------------------------------------------------------------------------- once, and to whom


def delivering(services: Services, sent: Sent) -> Callable[[], list[str]]:
    """What looks, delivers, and answers the titles that came of it."""
    outbox = Outbox(services.settings, services.database, send=sent)

    def round_() -> list[str]:
        before = len(sent.messages)
        look(services)
        outbox.deliver_all()
        return sent.titles[before:]

    return round_


def test_the_same_is_told_once_and_again_only_when_it_changes(services: Services, sent: Sent) -> None:
    round_ = delivering(services, sent)
    a_channel(services)
    assert round_() == []
    fail(services, "connection to port 5432 failed")
    assert round_() == ["HHH Backup: shop: backup failed"]
    assert round_() == []
    fail(services, "connection to port 5433 failed")
    assert round_() == []
    fail(services, "password authentication failed")
    assert round_() == ["HHH Backup: shop: backup failed"]
    [trouble] = services.alerts.troubles().troubles
    assert trouble.said == "password authentication failed"
    assert trouble.told_at > trouble.since
    a_backup(services.database, "shop", age=timedelta())
    assert round_() == ["HHH Backup: shop: backups succeed again"]
    assert round_() == []


def test_of_an_error_without_an_end_the_beginning_is_kept(services: Services) -> None:
    fail(services, "boom " * 100_000)
    look(services)
    [trouble] = services.alerts.troubles().troubles
    assert trouble.said == ("boom " * 100)


def test_each_channel_is_told_of_its_kinds_and_targets_and_of_what_has_no_target(
    services: Services, sent: Sent
) -> None:
    round_ = delivering(services, sent)
    channels: dict[str, dict[str, Any]] = {
        "everything": {},
        "shops": {"targets": ["sh*", "other"]},
        "others": {"targets": ["other"]},
        "sizes": {"kinds": [AlertKind.SIZE_ODD]},
        "off": {"enabled": False},
    }
    for name, more in channels.items():
        a_channel(services, name, **more)
    fail(services)
    with services.database.transaction() as session:
        session.add(LostWorker(id="w", name="prover", host="h", heartbeat_at=utcnow(), lost_at=utcnow()))
    round_()
    assert sorted((url.rpartition("/")[2], title.rpartition(": ")[2]) for url, title in sent.messages) == [
        ("everything", "backup failed"),
        ("everything", "lost"),
        ("others", "lost"),
        ("shops", "backup failed"),
        ("shops", "lost"),
    ]


def test_many_at_once_come_as_one_message_which_names_the_cause_first(services: Services, sent: Sent) -> None:
    round_ = delivering(services, sent)
    a_channel(services)
    for number in range(40):
        services.targets.add(f"t{number:02}", f"sqlite:////nowhere/{number}.db")
        fail(services, target=f"t{number:02}")
    with services.database.transaction() as session:
        session.add(LostWorker(id="w", name="prover", host="h", heartbeat_at=utcnow(), lost_at=utcnow()))
    assert round_() == ["HHH Backup: 41 changes: Worker prover: lost and more"]
    body = sent.bodies[0].splitlines()
    assert body[:4] == ["worker-lost: 1, backup-failed: 40", "", "- Worker prover: lost", "- t00: backup failed"]
    assert "- and 11 more" in body


def test_what_waited_for_a_receiver_that_was_away_comes_as_one_message(services: Services) -> None:
    sent, clock = Sent(error="nobody there"), Clock()
    outbox = Outbox(services.settings, services.database, send=sent, clock=clock)
    a_channel(services)
    services.targets.add("other", "sqlite:////nowhere/other.db")
    fail(services, target="other")
    for _ in range(6):
        fail(services)
        look(services)
        a_backup(services.database, "shop", age=timedelta())
        look(services)
    clock.time = utcnow() + timedelta(days=6)
    outbox.deliver_all()
    sent.error = None
    clock.time += timedelta(hours=1)
    outbox.deliver_all()
    assert sent.titles == ["HHH Backup: 2 changes: other: backup failed and more"]
    assert "- shop: backups succeed again" in sent.bodies[0]
    assert services.alerts.deliveries(limit=20, undelivered=True) == []


def test_a_target_that_fails_and_recovers_each_minute_floods_nobody(services: Services, sent: Sent) -> None:
    clock = Clock()
    outbox = Outbox(services.settings, services.database, send=sent, clock=clock)
    a_channel(services)
    for number in range(40):
        write(services, number, clock.time)
        clock.time += MINUTE
        outbox.deliver_all()
    assert len(sent.titles) < 35
    write(services, 40, clock.time)
    clock.time += 5 * MINUTE
    outbox.deliver_all()
    assert sent.titles[-1] == "HHH Backup: number 40"
    assert services.alerts.deliveries(limit=100, undelivered=True) == []


def write(services: Services, number: int, at: datetime) -> None:
    """A message about a target that fails and recovers again and again."""
    with services.database.transaction() as session:
        [channel] = rows.channels(session)
        message = AlertDelivery(id=f"{number:03}", channel_id=channel.id, kind=AlertKind.BACKUP_FAILED, subject="shop")
        message.event = AlertEvent.ENDED if number % 2 else AlertEvent.BEGUN
        message.title, message.body = f"HHH Backup: number {number}", ""
        message.created_at = message.next_try_at = at
        session.add(message)


def test_a_clock_that_was_ahead_keeps_no_message_back(services: Services, sent: Sent) -> None:
    ahead, failing = Clock(), Sent(error="nobody there")
    ahead.time += timedelta(days=365)
    outbox = Outbox(services.settings, services.database, send=failing, clock=ahead)
    a_channel(services)
    fail(services)
    look(services)
    outbox.deliver_all()
    ahead.time += 2 * MINUTE
    [_] = outbox.claim()  # and dies
    Outbox(services.settings, services.database, send=sent).deliver_all()
    assert sent.titles == ["HHH Backup: shop: backup failed"]


def test_a_target_that_is_registered_no_more_is_not_told_as_recovered(services: Services, sent: Sent) -> None:
    round_ = delivering(services, sent)
    a_channel(services)
    fail(services)
    round_()
    services.targets.remove("shop")
    assert round_() == []
    assert services.alerts.troubles().troubles == []


def test_however_many_look_at_once_each_trouble_is_told_once(own_database: Database, tmp_path: Path) -> None:
    services = services_with_a_target(tmp_path, own_database, target="shop")
    a_channel(services)
    url = own_database.url.render_as_string(hide_password=False)
    for number in range(3):
        fail(services, f"error {'x' * number}")
        with closing(Database(url)) as other, ThreadPoolExecutor(2) as threads:
            both = (services, assemble(services.settings, other))
            begin = threading.Barrier(2)

            def look_together(each: Services, begin: threading.Barrier = begin) -> None:
                begin.wait()
                each.alerts.rounds.look(at_once=True)

            list(threads.map(look_together, both))
            assert len(services.alerts.deliveries(limit=10)) == number + 1
            sent = Sent()
            outboxes = [Outbox(each.settings, each.database, send=sent) for each in both]
            list(threads.map(Outbox.deliver_all, outboxes))
            assert sent.titles == ["HHH Backup: shop: backup failed"]


def test_a_round_is_due_a_minute_after_the_last_whoever_had_that(services: Services) -> None:
    rounds = services.alerts.rounds
    assert rounds.look() is not None
    assert rounds.look() is None
    with services.database.transaction() as session:
        rows.watch(session).looked_at = utcnow() - 2 * MINUTE
    assert rounds.look(works=False) is None  # who runs no jobs waits for longer
    assert rounds.look() is not None


# ----------------------------------------------------------------------------------------------------- again and again


def test_what_was_sent_by_a_process_that_died_is_sent_once_more(services: Services, sent: Sent) -> None:
    clock = Clock()
    outbox = Outbox(services.settings, services.database, send=sent, clock=clock)
    a_channel(services)
    fail(services)
    look(services)
    clock.time = utcnow()
    [parcel] = outbox.claim()  # and dies
    assert len(parcel.messages) == 1
    outbox.deliver_all()
    assert sent.titles == []
    clock.time += 6 * MINUTE
    outbox.deliver_all()
    assert len(sent.titles) == 1


def test_it_is_tried_less_and_less_often_and_given_up_after_a_week(services: Services) -> None:
    sent, clock = Sent(error="nobody there"), Clock()
    outbox = Outbox(services.settings, services.database, send=sent, clock=clock)
    a_channel(services)
    fail(services)
    look(services)
    clock.time = utcnow()
    waits: list[int] = []
    for number in range(170):
        outbox.deliver_all()
        [delivery] = services.alerts.deliveries(limit=10)
        if number == 7:  # and so on
            with services.database.transaction() as session:
                session.get_one(AlertDelivery, delivery.id).attempts = 168
        if delivery.next_try_at is None:
            break
        waits.append(round((delivery.next_try_at - clock.time) / MINUTE))
        clock.time = delivery.next_try_at
    assert waits[:7] == [1, 2, 5, 15, 60, 60, 60]
    [delivery] = services.alerts.deliveries(limit=10)
    assert len(waits) == 9
    assert delivery.attempts == 170  # hours, or a week
    assert (delivery.status, delivery.error) == ("given-up", "nobody there")


def test_a_message_is_not_given_up_the_sooner_for_those_that_wait_beside_it(services: Services) -> None:
    clock, asked = Clock(), list[datetime]()

    def hangs(_receiver: Receiver, messages: Sequence[Message]) -> Mapping[str, str | None]:
        asked.append(clock.time)
        return {messages[0].id: "It did not answer"}  # and the others are for later

    outbox = Outbox(services.settings, services.database, send=hangs, clock=clock)
    a_channel(services)
    for number in (1, 2):
        write(services, number, clock.time)
    began = clock.time
    while clock.time < began + timedelta(hours=5):
        outbox.deliver_all()
        clock.time += MINUTE
    assert [round((at - began) / MINUTE) for at in asked] == [0, 1, 3, 8, 23, 83, 143, 203, 263]

    write(services, 3, clock.time)
    outbox.deliver_all()
    attempts = {each.title[-1]: each.attempts for each in services.alerts.deliveries(limit=10)}
    assert attempts == {"1": len(asked) - 1, "2": 0, "3": 0}


def test_who_takes_messages_gets_none_for_a_week_since_another_of_the_channel_does_not(services: Services) -> None:
    sent, clock = Sent(error=f"{alert_sending.PARTLY}no such user"), Clock()
    outbox = Outbox(services.settings, services.database, send=sent, clock=clock)
    a_channel(services)
    write(services, 1, clock.time)
    began = clock.time
    for _ in range(20):
        outbox.deliver_all()
        clock.time += MINUTE
    [delivery] = services.alerts.deliveries(limit=10)
    assert (delivery.status, delivery.attempts) == ("given-up", 4)
    [channel] = services.alerts.channels.list()
    assert channel.last_error == sent.error
    assert channel.last_failed_at == began + 8 * MINUTE


def test_what_waited_goes_before_what_came_later(services: Services) -> None:
    sent, clock = Sent(error="nobody there"), Clock()
    outbox = Outbox(services.settings, services.database, send=sent, clock=clock)
    a_channel(services)
    fail(services)
    look(services)
    clock.time = utcnow()
    outbox.deliver_all()
    a_backup(services.database, "shop", age=timedelta())
    look(services)
    sent.error, clock.time = None, utcnow()
    outbox.deliver_all()
    assert [title.rpartition(": ")[2] for title in sent.titles] == ["backup failed", "backups succeed again"]


# ----------------------------------------------------------------------------------------------- the dead man's switch


def test_a_good_round_calls_the_dead_mans_switch_and_a_bad_one_does_not(
    sqlite_database: Database, tmp_path: Path, hook: WebHook
) -> None:
    url = f"http://127.0.0.1:{hook.port}/ping/{SECRET}"
    services = services_with_a_target(tmp_path, sqlite_database, target="shop", heartbeat_url=url)
    watch = Watch(services, works=True)
    watch.look()
    wait_until(lambda: hook.paths == [f"/ping/{SECRET}"], what="the call")

    schedule = services.schedules.add(ScheduleRequest(target="shop", cron="@hourly"))
    with services.database.transaction() as session:  # nobody begins its runs
        session.get_one(Schedule, schedule.id).next_run_at = utcnow() - timedelta(minutes=10)
    watch = Watch(services, works=True)
    watch.soon()
    watch.look()
    sqlite_database.close()
    for call in threading.enumerate():
        if call.name == "alert":
            call.join()
    assert len(hook.paths) == 1


def test_a_dead_mans_switch_that_answers_for_ever_is_given_up() -> None:
    never = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):  # until it is closed at the other end
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not never.wait(0.05):
                    connection.sendall(b"x")

        answering = threading.Thread(target=answer)
        answering.start()
        port = server.getsockname()[1]
        assert dead_mans_switch.call(f"http://127.0.0.1:{port}/", patience=1.0) is False
        answering.join()


# ------------------------------------------------------------------------------------------------------------- secrets


def test_the_url_of_a_channel_is_told_nowhere(
    services: Services, hook: WebHook, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = f"json://hhh:{SECRET}@127.0.0.1:{hook.port}/{SECRET}?token={SECRET}"
    channel = set_up(services, url)
    hook.status = 500
    fail(services)
    look(services)
    services.alerts.outbox.deliver_all()
    tested = services.alerts.channels.test("ops")
    services.alerts.channels.change("ops", ChannelChange(name="other"))
    with services.database.snapshot() as session:
        audited = [each.detail for each in session.query(AuditEvent)]

    assert tested.ok is False
    assert channel.url == f"json://127.0.0.1:{hook.port}/***"
    told = [channel, services.alerts.channels.list(), services.alerts.deliveries(limit=10), tested, audited]
    assert SECRET not in repr(told)
    assert f"127.0.0.1:{hook.port}/***" in repr(audited)
    captured = capfd.readouterr()
    assert SECRET not in captured.out + captured.err
    services.database.close()
    assert all(SECRET.encode() not in file.read_bytes() for file in (tmp_path / "data").glob("hhh.db*"))


def test_another_secret_key_opens_channels_as_well(services: Services, hook: WebHook, tmp_path: Path) -> None:
    set_up(services, hook.url())
    rotation = rotate(services.settings, services.database, new_key())
    assert rotation.channels == 1
    assert "can't be opened" in (services.alerts.channels.list()[0].problem or "")
    again = assemble(settings_in(tmp_path), services.database)
    assert again.alerts.channels.test("ops").ok is True


@pytest.mark.parametrize(
    "url",
    [
        "dbus://",
        "syslog://",
        "rsyslog://localhost",
        "windows://",
        "macosx://",
        "nonsense",
        "json://",
        "file:///etc/passwd",
        "mailto://\n",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/?template=/etc/passwd",
        "mailto://a:b@example.com?pgp=encrypt&pgppub=/etc/passwd",
    ],
)
def test_where_alerts_cannot_go_is_said_when_a_channel_is_set_up(services: Services, url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        set_up(services, url)
    assert refused.value.hint
