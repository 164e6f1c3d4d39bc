"""Logs as events with keys and values: JSON lines in production, readable in dev, on standard error.

What the libraries log through the standard `logging` comes out in the same form. Secrets are masked in the last step
before rendering, tracebacks included, so that no call site can forget it.
"""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from hhh.core.job_lines import lines_for

MASK = "***"

#: Libraries that say at each start, or at each job, what nobody needs to know.
_TALKATIVE = ("alembic.runtime.migration", "alembic.runtime.plugins", "procrastinate", "psycopg.pool")
#: Values under such a name are secrets, whatever they look like.
_SECRET_NAME = re.compile(
    r"passw(or)?d|secret|token|cookie|authorization|credential|private_key|api_?key|\bdsn\b", re.IGNORECASE
)
_SECRET_TEXTS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host. Up to the last @ of the word: a password may hold one that nobody quoted.
    (re.compile(r"(?<=://)([^\s:/@]*):\S+@"), rf"\1:{MASK}@"),
    # key=value as in libpq's conninfo, in a query string, and in the repr of a mapping
    (
        re.compile(
            r"""(?i)(\b\w*(?:password|passwd|secret|secret_access_key|session_token)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&,;]+)"""
        ),
        rf"\1{MASK}",
    ),
    # age identities, JSON web tokens, API tokens, PHC strings of passwords
    (re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+", re.IGNORECASE), MASK),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), MASK),
    (re.compile(r"\bhhh_[\w-]{43}"), MASK),
    (re.compile(r"\$argon2id?\$\S+"), MASK),
)
#: What every line goes through, whoever wrote it.
_FORM: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    structlog.processors.UnicodeDecoder(),
)


def configure(
    environment: str, *, level: int = logging.INFO, stream: TextIO | None = None, told: Collection[str] = ()
) -> None:
    """Sets up logging for the process; may be called again.

    Args:
        environment: ``production`` for JSON lines, anything else for people.
        level: the least severity that is written.
        stream: where to; default standard error.
        told: events that whoever sits in front of the process is told without a log; they are written only where they
            hold more: a traceback, or what was left behind.
    """
    handler = _handler(environment, stream or sys.stderr)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            _keep,
            structlog.stdlib.filter_by_level,
            functools.partial(_drop_told, told),
            *_FORM,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def keep_record_of(name: str) -> None:
    """Has a logger write what it did, whatever the level of the process is."""
    logging.getLogger(name).setLevel(logging.INFO)


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: masks what is named like a secret, and what looks like one in any text."""
    return {name: _masked(name, value) for name, value in event.items()}


def mask(text: str) -> str:
    """The text with passwords in URLs and connection strings, tokens and private keys masked."""
    for pattern, replacement in _SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


def _handler(environment: str, stream: TextIO) -> logging.Handler:
    """Writes what this service logs, and what the libraries do."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_FORM,
            processors=[
                _keep_foreign,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                mask_secrets,
                _renderer(environment, stream),
            ],
        )
    )
    return handler


def _keep(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Keeps a line for the job that it is of, also where the process does not write it."""
    if (lines := lines_for(event)) is not None and method != "debug":
        line: Any = dict(event)
        for processor in _FORM:
            line = processor(logger, method, line)
        lines.add(mask_secrets(logger, method, line))
    return event


def _keep_foreign(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The same of what a library logs."""
    if not event["_from_structlog"] and (lines := lines_for(event)) is not None:
        line = {name: value for name, value in event.items() if not name.startswith("_")}
        lines.add(mask_secrets(logger, method, line))
    return event


def _drop_told(told: Collection[str], _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    trouble = event.get("exc_info")
    unforeseen = trouble is not None and not isinstance(trouble, KeyboardInterrupt)
    if event["event"] in told and not unforeseen and not event.get("left_behind"):
        raise structlog.DropEvent
    return event


def _masked(name: object, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(name, str) and _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {key: _masked(key, item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_masked(None, item) for item in value]
    return mask(value if isinstance(value, str) else str(value))


def _renderer(environment: str, stream: TextIO) -> Processor:
    if environment == "production":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())
