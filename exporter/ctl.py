"""`heartbeatctl`: the tool for people and for jobs."""

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from exporter.check import check_config, check_web_config
from exporter.config import ConfigError, load
from exporter.flags import (
    Parser,
    add_addresses,
    add_config_file,
    add_storage,
    add_version,
    add_web_config_file,
    external_url,
    given,
    secret_path,
)
from exporter.roster import AlikeTokensError, Roster, SecretError, read_secret
from exporter.store.backup import BackupError, make_backup
from exporter.web_config import WebConfig, load_web_config


def build_parser() -> argparse.ArgumentParser:
    """The subcommands and their flags."""
    parser = Parser(prog="heartbeatctl", description="The heartbeat exporter's tool for people and for jobs.")
    add_version(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    check = commands.add_parser("check-config", help="validate a configuration, print its warnings and errors")
    add_config_file(check)
    check.set_defaults(run=lambda options: check_config(options.config_file))
    check_web = commands.add_parser(
        "check-web-config", help="validate a web config and its certificates, print warnings and errors"
    )
    add_web_config_file(check_web, required=True)
    check_web.set_defaults(run=lambda options: check_web_config(options.web_config_file))
    urls = commands.add_parser("urls", help="print every heartbeat's name and ping URL, or the URL of one")
    urls.add_argument("name", nargs="?", metavar="NAME", help="the heartbeat whose URL is printed (default: all)")
    add_config_file(urls)
    add_storage(urls)
    add_addresses(urls)
    urls.set_defaults(run=_urls)
    backup = commands.add_parser("backup", help="copy the database and the ping secret into a new folder")
    backup.add_argument("destination", metavar="DESTINATION", type=Path, help="a folder that does not exist yet")
    add_storage(backup)
    backup.set_defaults(run=_backup)
    return parser


def _urls(options: argparse.Namespace) -> int:
    try:
        config = load(options.config_file)
        roster = Roster(config, read_secret(secret_path(options.storage, options.secret_file)))
        web_config = load_web_config(options.web_config_file) if options.web_config_file else WebConfig()
    except (ConfigError, AlikeTokensError) as error:
        print(error, file=sys.stderr)
        return 1
    except SecretError as error:
        print(f"{error}\n(it is made when the exporter first starts; see --ping.secret-file)", file=sys.stderr)
        return 1
    base = external_url(
        options.external_url,
        given(options.web_listen),
        given(options.ping_listen),
        tls=web_config.tls is not None,
    )
    if options.name is None:
        for each, token in roster.tokens():
            print(f"{each.name}\t{base}/heartbeat/{token}")
        return 0
    heartbeat = roster.named(options.name)
    if heartbeat is None:
        close = get_close_matches(options.name, [h.name for h in config.heartbeats], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f'{options.config_file} has no heartbeat "{options.name}"{hint}', file=sys.stderr)
        return 1
    print(f"{base}/heartbeat/{roster.token_of(heartbeat)}")
    return 0


def _backup(options: argparse.Namespace) -> int:
    secret: Path = secret_path(options.storage, options.secret_file)
    beside = secret.parent.absolute() == options.storage.parent.absolute()
    try:
        backup = make_backup(
            options.storage, secret if beside and os.path.lexists(secret) else None, options.destination
        )
    except BackupError as error:
        print(f"no backup was made: {error}", file=sys.stderr)
        return 1
    count = f"{backup.heartbeats} heartbeat" + ("" if backup.heartbeats == 1 else "s")
    files = f"{backup.database} ({backup.size / 1e6:.1f} MB, {count})"
    print(f"{options.destination}: {files}" + (f", {backup.secret}" if backup.secret else ""))
    if not beside:
        print(f"the ping secret in {secret} is not part of it: keep a copy of that file as well")
    elif backup.secret is None:
        print(f"there is no ping secret at {secret}: if it is elsewhere, keep a copy of it as well")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns its exit code: 0 good, 1 the answer is no, 2 usage."""
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` does; what is still to be written goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
