"""What programs send, and what databases of others hold, meets regular expressions: none may be kept busy by it."""

import subprocess
import sys
from pathlib import Path

from support.pathological import expressions


def test_none_takes_more_than_a_time_that_grows_with_the_text() -> None:
    tests = Path(__file__).parents[1]

    ran = subprocess.run(
        [sys.executable, "-m", "support.pathological"], cwd=tests, capture_output=True, text=True, check=False
    )

    last = ran.stdout.splitlines()[-1] if ran.stdout else ran.stderr
    assert ran.returncode == 0, f"ended by {ran.returncode} at {last}"
    assert last == "done"


def test_those_that_requests_meet_are_among_them() -> None:
    names = {*expressions()}

    assert {"hhh.web.ranges._SINGLE_RANGE", "hhh.web.ranges._TAG", "hhh.web.headers._ACCEPTED_ID"} <= names
