"""What the logs look like, and what must never be in them."""

import io
import logging

import pytest
import structlog

from hhh.core.logging import configure, mask
from support.logs import Log, log

__all__ = ["log"]


def test_production_logs_one_json_object_a_line(log: Log) -> None:
    structlog.get_logger("hhh.test").info("backup stored", target="app", size=12)

    (line,) = log.lines()
    assert line["event"] == "backup stored"
    assert (line["target"], line["size"], line["level"], line["logger"]) == ("app", 12, "info", "hhh.test")
    assert line["timestamp"].endswith("Z")


def test_what_libraries_log_has_the_same_form(log: Log) -> None:
    logging.getLogger("uvicorn.error").warning("started on %s", "postgresql://u:hunter2@h/d")

    (line,) = log.lines()
    assert line["event"] == "started on postgresql://u:***@h/d"
    assert line["logger"] == "uvicorn.error"


def test_what_a_command_tells_itself_is_logged_only_where_there_is_more_to_say(log: Log) -> None:
    configure("production", stream=log.stream, told={"backup_failed"})
    logger = structlog.get_logger("hhh.test")
    logger.error("backup_failed", error="no space", exc_info=None, left_behind=None)
    logger.error("backup_failed", error="interrupted", exc_info=KeyboardInterrupt())
    assert log.text == ""
    logger.error("backup_failed", error="a bug", exc_info=ValueError("a bug"))
    logger.error("backup_failed", error="no store", left_behind=["dump.zst"])
    logger.warning("scratch_left_behind")
    assert [line["event"] for line in log.lines()] == ["backup_failed", "backup_failed", "scratch_left_behind"]


def test_every_line_of_a_request_has_its_id(log: Log) -> None:
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.get_logger().info("one")
        logging.getLogger("other").warning("two")

    assert [line["request_id"] for line in log.lines()] == ["abc", "abc"]


def test_a_traceback_is_in_the_line_without_its_secrets(log: Log) -> None:
    try:
        int("postgresql://u:hunter2@h/d")
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = log.lines()
    assert "postgresql://u:***@h/d" in line["exception"]
    assert "hunter2" not in log.text


def test_values_named_like_secrets_are_masked_however_deep(log: Log) -> None:
    structlog.get_logger().info(
        "settings", password="hunter2", nested={"api_key": "hunter2", "rows": [{"Authorization": "hunter2"}]}
    )

    assert "hunter2" not in log.text
    assert log.lines()[0]["nested"] == {"api_key": "***", "rows": [{"Authorization": "***"}]}


def test_in_dev_a_line_is_for_people(log: Log) -> None:
    stream = io.StringIO()
    configure("dev", stream=stream)

    structlog.get_logger().info("backup stored", url="s3://key:hunter2@bucket")

    assert "backup stored" in stream.getvalue()
    assert "s3://key:***@bucket" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:hunter2@host/db",
        "postgresql://user:hunt@er2@host/db",
        "postgresql://user:/hunter2@host/db",
        "postgresql://:hunter2@host",
        "host=h password=hunter2 dbname=d",
        "host=h password = 'hunter2 with spaces hunter2'",
        '{"password": "hunter2"}',
        "{'aws_secret_access_key': 'hunter2'}",
        "AWS_SECRET_ACCESS_KEY=hunter2",
        "postgresql://host/db?user=u&password=hunter2&sslmode=require",
    ],
)
def test_a_password_in_a_text_is_masked(text: str) -> None:
    assert "hunter2" not in mask(text)
    assert "***" in mask(text)


def test_keys_and_tokens_in_a_text_are_masked() -> None:
    token = f"hhh_-{'x' * 41}_"
    for secret in (
        "AGE-SECRET-KEY-1QQQ",
        "eyJhbGciOi.eyJzdWIi.c2ln",
        "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA",
        token,
    ):
        assert mask(f"it is {secret}, they say").startswith("it is ***")
        assert secret not in mask(f"it is {secret}, they say")


@pytest.mark.parametrize(
    "text", ["postgresql://user@host:5432/db", "http://localhost:8000/", "backup_20250101_120000.sql", "12:30:00"]
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert mask(text) == text
