"""Two recoveries of the service at once."""

import pytest
from pydantic import SecretStr

from hhh.core.config import Settings
from hhh.core.database import Database
from hhh.core.errors import InUse
from hhh.services.service_recovery_alone import alone
from support.waiting import wait_until


def test_a_second_one_is_refused_while_one_is_at_work_and_may_follow_it(own_database: Database) -> None:
    url = own_database.url.render_as_string(hide_password=False)
    settings = Settings(database_url=SecretStr(url))

    with alone(settings), pytest.raises(InUse, match="is at work"), alone(settings):
        pass

    wait_until(lambda: may_begin(settings), what="the server has noticed the end of the first one")


def may_begin(settings: Settings) -> bool:
    try:
        with alone(settings):
            return True
    except InUse:
        return False
