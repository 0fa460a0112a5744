"""Fills in what the documentation says about the code from the code, and checks that its links lead somewhere.

A region between ``<!-- generated: NAME -->`` and ``<!-- end generated -->`` belongs to this script, the rest of a page
to its author. `python -m docs.generate` writes, `python -m docs.generate --check` only compares.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from exporter import cli, ctl
from exporter.config import json_schema
from exporter.metrics.catalogue import markdown_tables

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = Path("docs", "config.schema.json")

_REGION = re.compile(r"<!-- generated: (?P<name>[a-z-]+) -->.*?<!-- end generated -->", re.DOTALL)
_MARKER = re.compile(r"<!-- (?:end )?generated\b.*?-->")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


class DocsError(Exception):
    """A page cannot be filled in; the message names what is wrong with its regions."""


def fill(page: str, regions: Mapping[str, str]) -> str:
    """The page with each generated region holding the text of its name. Raises DocsError."""
    found = list(_REGION.finditer(page))
    if unknown := {match["name"] for match in found} - regions.keys():
        raise DocsError(f"no such region: {', '.join(sorted(unknown))} (there are {', '.join(sorted(regions))})")
    if len(_MARKER.findall(page)) != 2 * len(found):
        raise DocsError(
            "a generated region is not whole: it begins with a line <!-- generated: NAME --> "
            "and ends with a line <!-- end generated -->"
        )
    return _REGION.sub(
        lambda match: f"<!-- generated: {match['name']} -->\n{regions[match['name']]}\n<!-- end generated -->", page
    )


def flags_table(parser: argparse.ArgumentParser) -> str:
    """A command's flags and arguments as a table in Markdown, its subcommands' each under their own line."""
    parts = []
    rows = []
    # argparse lists its actions nowhere else.
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            purposes = {choice.dest: choice.help for choice in action._choices_actions}
            for name, command in action.choices.items():
                parts.append(f"`{command.prog}`: {purposes[name]}.\n\n{flags_table(command)}")
        elif not isinstance(action, argparse._HelpAction):
            rows.append(f"| `{_spelling(action)}` | {_escaped(action.help or '')} |")
    table = "\n".join(["| flag | meaning |", "|---|---|", *rows])
    return "\n\n".join([table, *parts] if rows else parts)


def _spelling(action: argparse.Action) -> str:
    value = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.metavar
    names = ", ".join(action.option_strings)
    if not names:
        return f"[{value}]" if action.nargs == "?" else str(value)
    return names if action.nargs == 0 else f"{names}={value}"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<")


def pages(root: Path) -> list[Path]:
    """The project's pages, relative to its root."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("deploy/**/*.md")]
    return sorted(path.relative_to(root) for path in found)


def generated(root: Path, regions: Mapping[str, str]) -> dict[Path, str]:
    """What each page of the project should hold. Raises DocsError."""
    filled = {}
    for page in pages(root):
        try:
            filled[page] = fill((root / page).read_text(encoding="utf-8"), regions)
        except DocsError as error:
            raise DocsError(f"{page}: {error}") from None
    return filled


def broken_links(root: Path, texts: Mapping[Path, str]) -> list[str]:
    """A sentence for every link within the project that leads to no file or to no heading."""
    parsed = {page: MarkdownIt("commonmark").enable("table").parse(text) for page, text in texts.items()}
    anchors = {(root / page).resolve(): set(_anchors(tokens)) for page, tokens in parsed.items()}
    broken = []
    for page, tokens in parsed.items():
        for link in _links(tokens):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            here = (root / page).resolve()
            target = (here.parent / unquote(parts.path)).resolve() if parts.path else here
            if parts.path.startswith("/") or not target.is_relative_to(root.resolve()) or not target.exists():
                broken.append(f"{page}: the link {link} leads to no file of the project")
            elif parts.fragment and unquote(parts.fragment) not in anchors.get(target, ()):
                broken.append(f"{page}: the link {link} leads to no heading")
    return broken


def _links(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        yield from (str(token.attrs[key]) for key in ("href", "src") if key in token.attrs)
        yield from _links(token.children or ())


def _anchors(tokens: Sequence[Token]) -> Iterator[str]:
    """The anchors that GitHub and GitLab give to a page's headings."""
    seen: Counter[str] = Counter()
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        text = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
        anchor = _NOT_IN_ANCHORS.sub("", text.lower()).replace(" ", "-")
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
        seen[anchor] += 1


def settle(root: Path, texts: Mapping[Path, str], *, check: bool) -> list[str]:
    """Write each file of the project that does not hold its text; with ``check`` only return a sentence for each."""
    complaints = []
    for path, text in texts.items():
        file = root / path
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        if check:
            complaints.append(f"{path} is out of date: run `make generated`")
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(f"{path} written")
    return complaints


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run the script; returns its exit code: 0 good, 1 something differs or is broken."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description="Fill in the documentation.")
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 and say what differs")
    check: bool = parser.parse_args(arguments).check
    regions = {
        "metrics": markdown_tables(),
        "flags": flags_table(cli.build_parser()),
        "ctl-flags": flags_table(ctl.build_parser()),
    }
    try:
        wanted = generated(root, regions)
    except DocsError as error:
        print(error, file=sys.stderr)
        return 1
    schema = f"{json.dumps(json_schema(), indent=2, ensure_ascii=False)}\n"
    complaints = settle(root, {**wanted, SCHEMA: schema}, check=check)
    complaints += broken_links(root, wanted)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
