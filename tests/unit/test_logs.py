import io
import json
import logging

import pytest
import structlog

from exporter.logs import LogFormat, configure


def lines(form: LogFormat, level: str = "info", **fields: object) -> list[str]:
    stream = io.StringIO()
    configure(level, form, stream)
    log = structlog.get_logger()
    log.debug("a detail", **fields)
    log.info("an event", **fields)
    return stream.getvalue().splitlines()


def test_logfmt_begins_with_when_how_grave_and_what() -> None:
    (line,) = lines(LogFormat.LOGFMT, heartbeats=3)
    ts, rest = line.split(" ", 1)
    assert ts.startswith("ts=20")
    assert rest == 'level=info msg="an event" heartbeats=3'


def test_json_is_one_object_per_line() -> None:
    (line,) = lines(LogFormat.JSON, name='q"\n\u2028ü')
    event = json.loads(line)
    assert list(event) == ["ts", "level", "msg", "name"]
    assert event["name"] == 'q"\n\u2028ü'


def test_details_show_at_level_debug_only() -> None:
    assert len(lines(LogFormat.LOGFMT, level="info")) == 1
    assert len(lines(LogFormat.LOGFMT, level="debug")) == 2


@pytest.mark.parametrize("form", list(LogFormat))
@pytest.mark.parametrize("hostile", ["a\nts=0 level=error msg=forged", "a\r\nb", "a\x85b", "a\u2028b", "\x1b[2J", "\0"])
def test_nothing_that_is_logged_can_begin_a_line_or_steer_a_terminal(form: LogFormat, hostile: str) -> None:
    stream = io.StringIO()
    configure("info", form, stream)
    structlog.get_logger().info("an event", text=hostile)
    written = stream.getvalue()
    assert len(written.splitlines()) == 1
    assert all(character.isprintable() for character in written.rstrip("\n"))


def test_what_libraries_log_comes_in_the_same_form() -> None:
    stream = io.StringIO()
    configure("info", LogFormat.LOGFMT, stream)
    logging.getLogger("some.library").warning("careful: %s", "hot")
    logging.getLogger("some.library").info("chatter")
    (line,) = stream.getvalue().splitlines()
    assert 'level=warning msg="careful: hot" logger=some.library' in line


def test_an_exception_is_logged_with_its_traceback_on_the_same_line() -> None:
    stream = io.StringIO()
    configure("info", LogFormat.LOGFMT, stream)
    try:
        int("x")
    except ValueError:
        logging.getLogger("some.library").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "Traceback" in line
    assert "invalid literal" in line
