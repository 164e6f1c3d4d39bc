import itertools

import pytest

from support.waiting import WaitedTooLongError, wait_until


def test_it_answers_the_first_true_value() -> None:
    counter = itertools.count()
    assert wait_until(lambda: next(counter) // 3) == 1


def test_past_the_deadline_it_names_what_it_waited_for() -> None:
    with pytest.raises(WaitedTooLongError, match=r"0\.05 s for the moon; last answer: \[\]"):
        wait_until(list, seconds=0.05, what="the moon")


def test_an_error_of_the_condition_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0)
