"""Logs: one line per event on standard error, as logfmt or JSON."""

import logging
import sys
from contextlib import suppress
from enum import StrEnum
from io import TextIOBase
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor


class LogFormat(StrEnum):
    """How a line is written."""

    LOGFMT = "logfmt"
    JSON = "json"


LEVELS = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error")}


def configure(level: str, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send all that the process logs, by structlog or by the standard library, to one stream in one form.

    ``level`` is one of LEVELS; the stream is standard error unless given.
    """
    rendering: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if form is LogFormat.JSON
        else [_printable_only, structlog.processors.LogfmtRenderer(bool_as_flag=False)]
    )
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _in_order,
            *rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Lenient(stream or sys.stderr))),
        cache_logger_on_first_use=False,
    )
    # Libraries log a line where something needs a person; their chatter below that is not ours to show.
    logging.basicConfig(handlers=[_Forward()], level=max(LEVELS[level], logging.WARNING), force=True)


class _Lenient(TextIOBase):
    """A stream for which a line is lost when it cannot be written: a log on a full disk must not end the process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _in_order(_: Any, __: str, event: EventDict) -> EventDict:
    """The names that Prometheus's own logs have, when and how grave and what before all else."""
    return {"ts": event.pop("timestamp"), "level": event.pop("level"), "msg": event.pop("event"), **event}


def _printable_only(_: Any, __: str, event: EventDict) -> EventDict:
    """No character that steers a terminal gets through; the renderer sees to the ends of lines."""
    return {key: _printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Forward(logging.Handler):
    """Hands the standard library's records to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        logger.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
