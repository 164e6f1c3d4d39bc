"""What programs send, and what databases of others hold, meets regular expressions: none may be kept busy by it."""

import os
from pathlib import Path

from support.forking import run
from support.pathological import expressions, try_all


def test_none_takes_more_than_a_time_that_grows_with_the_text(tmp_path: Path) -> None:
    ran = run(try_all, folder=tmp_path, environment=os.environ)

    last = ran.stdout.splitlines()[-1] if ran.stdout else ran.stderr
    assert ran.returncode == 0, f"ended by {ran.returncode} at {last}"
    assert last == "done"


def test_those_that_requests_meet_are_among_them() -> None:
    names = {*expressions()}

    assert {"hhh.web.ranges._SINGLE_RANGE", "hhh.web.ranges._TAG", "hhh.web.headers._ACCEPTED_ID"} <= names
