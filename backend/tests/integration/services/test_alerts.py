"""What goes wrong is told, once, to real receivers; and that it is over."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.orm import Session

from hhh.core.clock import utcnow
from hhh.core.database import Database
from hhh.jobs.worker import working
from hhh.models.alert import AlertKind
from hhh.schemas.alert import ChannelRequest, ChannelResource
from hhh.services.container import Services
from support.local_services import services_with_a_target
from support.receivers import Mailbox, WebHook, a_mailbox, a_web_hook
from support.sqlite_data import make_sqlite_database


@pytest.fixture
def services(sqlite_database: Database, tmp_path: Path) -> Services:
    return services_with_a_target(tmp_path, sqlite_database, target="shop", public_url="https://hhh.example")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with a_mailbox() as mailbox:
        yield mailbox


def set_up(services: Services, url: str, name: str = "ops", **more: object) -> ChannelResource:
    return services.alerts.channels.add(ChannelRequest(name=name, url=SecretStr(url), **more))


def take(services: Services, target: str = "shop") -> None:
    """A backup, whether it succeeds or not."""
    with working(services) as worker:
        worker.execute(worker.create(services.backups.request(target)))


def look_and_deliver(services: Services) -> None:
    assert services.alerts.rounds.look(at_once=True) is not None
    services.alerts.outbox.deliver_all()


def test_a_backup_that_fails_is_told_by_mail_with_what_to_do_and_again_when_backups_succeed(
    services: Services, mailbox: Mailbox, tmp_path: Path
) -> None:
    set_up(services, mailbox.url())
    take(services)
    (tmp_path / "shop.db").rename(tmp_path / "away.db")
    take(services)
    look_and_deliver(services)
    [mail] = mailbox.mails
    print(mail.subject, mail.text)
    assert mail.to == ["ops@example.com"]
    assert mail.subject == "HHH Backup: shop: backup failed"
    (tmp_path / "away.db").rename(tmp_path / "shop.db")
    take(services)
    look_and_deliver(services)
    print(mailbox.mails[1].subject, mailbox.mails[1].text)
