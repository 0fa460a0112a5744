"""`heartbeat-exporter`: the server."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from exporter.check import check_config
from exporter.flags import (
    DEFAULT_LISTEN_ADDRESS,
    Parser,
    add_addresses,
    add_config_file,
    add_storage,
    add_version,
    given,
    listen_address,
    web_path,
)
from exporter.logs import LEVELS, LogFormat, configure
from exporter.server import Settings, StartError, new_event_loop, serve


def build_parser() -> argparse.ArgumentParser:
    """The flags of the server."""
    parser = Parser(
        prog="heartbeat-exporter",
        description="Prometheus exporter for heartbeats: jobs check in, silence is the alarm.",
    )
    add_config_file(parser)
    parser.add_argument(
        "--config.check",
        dest="config_check",
        action="store_true",
        help="validate the configuration, print its warnings and errors, and exit with 0 or 1",
    )
    add_storage(parser)
    add_addresses(parser)
    parser.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        type=web_path,
        default="/metrics",
        help="where the metrics are served (default: /metrics)",
    )
    parser.add_argument(
        "--web.enable-lifecycle",
        dest="enable_lifecycle",
        action="store_true",
        help="allow a reload of the configuration by POST /-/reload",
    )
    parser.add_argument(
        "--log.level", dest="log_level", choices=LEVELS, default="info", help="least level logged (default: info)"
    )
    parser.add_argument(
        "--log.format",
        dest="log_format",
        choices=[form.value for form in LogFormat],
        default=LogFormat.LOGFMT.value,
        help="form of the log lines (default: logfmt)",
    )
    add_version(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 good, 1 the answer is no, 2 usage.

    A server that was stopped does not return but ends the process with 0.
    """
    options = build_parser().parse_args(arguments)
    if options.config_check:
        return check_config(options.config_file)
    configure(options.log_level, LogFormat(options.log_format))
    settings = Settings(
        config_file=options.config_file,
        storage=options.storage,
        secret_file=options.secret_file,
        web_listen=tuple(given(options.web_listen) or [listen_address(DEFAULT_LISTEN_ADDRESS)]),
        ping_listen=tuple(given(options.ping_listen)),
        telemetry_path=options.telemetry_path,
        web_config_file=options.web_config_file,
        external_url=options.external_url,
        enable_lifecycle=options.enable_lifecycle,
    )
    runner = asyncio.Runner(loop_factory=new_event_loop)
    try:
        runner.run(serve(settings))
    except StartError as error:
        runner.close()
        print(f"heartbeat-exporter: cannot start:\n{error}", file=sys.stderr)
        return 1
    # All is answered, stored and closed. A thread that still renders a page for somebody who was cut off would hold up
    # the end of the interpreter, and is not waited for.
    with suppress(OSError):  # as when the disk with the log is full
        sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
