"""What is kept of the lines that a job logs, and what must never be among them."""

import contextvars
import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from hhh.core.job_lines import FIRST, LAST, LEFT_OUT, LONGEST, JobLines, bounded, kept_lines
from hhh.core.logging import configure
from support.logs import Log, log

__all__ = ["log"]

logger = structlog.get_logger("hhh.test")


def numbered(count: int, *, since: int = 0) -> list[dict[str, Any]]:
    return [{"event": f"line {number}"} for number in range(since, since + count)]


def events(lines: Sequence[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines]


def kept_of(**more: Any) -> dict[str, Any]:
    lines = JobLines("a")
    lines.add({"event": "said", **more})
    [line] = lines.take()
    return line


def test_what_is_logged_while_a_job_runs_is_kept(log: Log) -> None:
    logger.info("before")
    with kept_lines("a") as lines:
        logger.info("stored", backup_id="a", target="shop", size=12)
        logging.getLogger("library").warning("slow: %s", "disk")
    logger.info("after")

    stored, slow = lines.take()
    assert stored.pop("timestamp")[:16] == log.lines("stored")[0]["timestamp"][:16]
    assert stored == {"event": "stored", "target": "shop", "size": 12, "level": "info"}
    assert (slow["event"], slow["level"]) == ("slow: disk", "warning")
    assert lines.take() == []


def test_the_log_names_the_job_of_each_line(log: Log) -> None:
    with kept_lines("a"):
        logger.info("stored")
    logger.info("after")

    assert [line.get("job_id") for line in log.lines()] == ["a", None]


def test_lines_are_kept_that_the_process_does_not_write(log: Log) -> None:
    configure("production", level=logging.ERROR, stream=log.stream, told={"job_failed"})
    with kept_lines("a") as lines:
        logger.info("begun")
        logger.error("job_failed")
        logger.debug("nobody needs to know")

    assert log.text == ""
    assert events(lines.take()) == ["begun", "job_failed"]


def test_secrets_are_masked_as_in_the_log(log: Log) -> None:
    with kept_lines("a") as lines:
        logger.warning("no server", url="postgresql://u:hunter2@h/d", password="hunter2", nested={"token": "hunter2"})
        logging.getLogger("library").warning("postgresql://u:hunter2@h/d")
        try:
            int("postgresql://u:hunter2@h/d")
        except ValueError:
            logger.exception("failed")

    taken = lines.take()
    assert len(taken) == 3
    assert "hunter2" not in repr(taken)
    assert "postgresql://u:***@h/d" in taken[2]["exception"]


def test_threads_are_heard_that_belong_to_a_job_or_name_it(log: Log) -> None:
    with kept_lines("a") as lines, kept_lines("b") as others:
        context = contextvars.copy_context()
        for work in (
            lambda: context.run(logger.info, "of the same context"),
            lambda: logger.info("names it", backup_id="a"),
            lambda: logger.info("names another", verification_id="c"),
            lambda: logger.info("names none", job_id=None),
        ):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

    assert events(lines.take()) == ["names it"]
    assert events(others.take()) == ["of the same context"]
    assert len(log.lines()) == 4


def test_of_two_attempts_at_once_each_has_its_own_lines(log: Log) -> None:
    with kept_lines("a") as first:
        with kept_lines("a") as second:
            logger.info("second")
            thread = threading.Thread(target=lambda: logger.info("somebody else", job_id="a"))
            thread.start()
            thread.join()
        logger.info("first")

    assert (events(first.take()), events(second.take())) == (["first"], ["second", "somebody else"])


def test_of_many_lines_the_first_and_the_last_are_kept() -> None:
    lines = JobLines("a")
    for line in numbered(1000):
        lines.add(line)

    taken = lines.take()
    assert events(taken[:FIRST]) == events(numbered(FIRST))
    assert taken[FIRST] == {"level": "info", "event": LEFT_OUT, "count": 1000 - FIRST - LAST}
    assert events(taken[-LAST:]) == events(numbered(LAST, since=1000 - LAST))
    assert len(taken) == 200


def test_all_attempts_together_keep_no_more_than_one() -> None:
    kept: list[dict[str, Any]] = []
    for attempt in range(5):
        lines = JobLines("a")
        for line in numbered(150, since=attempt * 150):
            lines.add(line)
        kept = bounded([*kept, *lines.take()])

    assert len(kept) == 200
    assert events(kept[:FIRST]) == events(numbered(FIRST))
    assert kept[FIRST]["count"] == 750 - FIRST - LAST
    assert events(kept[-LAST:]) == events(numbered(LAST, since=750 - LAST))


@pytest.mark.parametrize("error", ["x" * 100_000, ["y" * 700, "z" * 700], {"deep": ["x" * 10_000]}])
def test_a_long_line_loses_the_middle_of_its_longest_text(error: object) -> None:
    line = kept_of(timestamp="2025-01-01T12:00:00Z", level="error", error=error, hint="look at the disk")

    assert sum(len(name) + len(value) for name, value in line.items()) <= LONGEST
    assert (line["hint"], "…" in line["error"]) == ("look at the disk", True)


def test_a_line_of_many_texts_loses_some_of_them() -> None:
    line = kept_of(**{f"name_{number}": "x" * 50 for number in range(100)})

    assert line["event"] == "said"
    assert sum(len(name) + len(value) for name, value in line.items()) <= LONGEST


def test_a_line_holds_nothing_that_a_database_or_a_page_refuses() -> None:
    line = kept_of(error="half \ud800 and \0", rate=float("nan"), size=3, done=True, nothing=None, path=object)

    assert (line["error"], line["rate"], line["size"], line["done"]) == (
        "half ? and \N{REPLACEMENT CHARACTER}",
        "NaN",
        3,
        True,
    )
    assert "nothing" not in line
