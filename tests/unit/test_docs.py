"""The documentation is filled in from the code, and its links lead somewhere."""

import argparse
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from docs.generate import ROOT, DocsError, broken_links, fill, flags_table, generated, main, pages
from exporter.config import load

REGION = "before\n<!-- generated: flags -->\nold\n<!-- end generated -->\nafter\n"


def test_a_region_is_filled_and_the_rest_of_the_page_kept() -> None:
    assert fill(REGION, {"flags": "new"}) == REGION.replace("old", "new")


def test_a_region_that_was_never_filled_is_filled() -> None:
    empty = "<!-- generated: flags -->\n<!-- end generated -->\n"
    assert fill(empty, {"flags": "new"}) == "<!-- generated: flags -->\nnew\n<!-- end generated -->\n"


def test_filling_a_page_again_changes_nothing() -> None:
    filled = fill(REGION, {"flags": r"a \1 | b"})
    assert fill(filled, {"flags": r"a \1 | b"}) == filled


def test_every_region_of_a_page_is_filled_with_its_own_text() -> None:
    page = REGION + REGION.replace("flags", "metrics")
    assert fill(page, {"flags": "F", "metrics": "M"}).count("\nF\n") == 1


def test_a_region_that_nothing_fills_is_an_error() -> None:
    with pytest.raises(DocsError, match=r"no such region: flags \(there are metrics\)"):
        fill(REGION, {"metrics": "new"})


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("<!-- generated: flags -->\n", id="never closed"),
        pytest.param("<!-- generated: flags -->\n" + REGION, id="closed by the end of another"),
        pytest.param("<!-- end generated -->\n" + REGION, id="never opened"),
        pytest.param(REGION.replace("generated: flags", "generated flags"), id="misspelt"),
    ],
)
def test_a_region_that_is_not_whole_is_an_error(page: str) -> None:
    with pytest.raises(DocsError, match="a generated region is not whole"):
        fill(page, {"flags": "new"})


def test_an_error_names_its_page(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(REGION)
    with pytest.raises(DocsError, match=r"README\.md: no such region"):
        generated(tmp_path, {})


def test_flags_are_shown_with_their_values_and_purposes() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--web.url", metavar="URL", help="how to reach <us>")
    parser.add_argument("--log.level", choices=["info", "debug"], help="least level | logged")
    parser.add_argument("--check", action="store_true", help="only check")
    parser.add_argument("name", nargs="?", metavar="NAME", help="which one")
    assert flags_table(parser).splitlines() == [
        "| flag | meaning |",
        "|---|---|",
        r"| `--web.url=URL` | how to reach \<us> |",
        r"| `--log.level={info,debug}` | least level \| logged |",
        "| `--check` | only check |",
        "| `[NAME]` | which one |",
    ]


def test_subcommands_are_shown_under_their_own_line() -> None:
    parser = argparse.ArgumentParser(prog="tool")
    commands = parser.add_subparsers()
    commands.add_parser("urls", help="print URLs").add_argument("--all", action="store_true", help="every one")
    assert flags_table(parser) == "`tool urls`: print URLs.\n\n| flag | meaning |\n|---|---|\n| `--all` | every one |"


PAGE = "# Title\n\n## What a `200` means, twice\n\n## Same\n\n## Same\n\n"


@pytest.mark.parametrize(
    "link",
    [
        "https://example.org/nowhere",
        "mailto:somebody@example.org",
        "#title",
        "#what-a-200-means-twice",
        "#same-1",
        "docs/other.md",
        "docs/other.md#there",
        "docs/a%20space.txt",
        "docs",
    ],
)
def test_a_link_that_leads_somewhere_is_good(tmp_path: Path, link: str) -> None:
    assert links_of(tmp_path, f"{PAGE}[text](<{link}>)") == []


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("docs/absent.md", "leads to no file of the project"),
        ("../outside.md", "leads to no file of the project"),
        ("/docs/other.md", "leads to no file of the project"),
        ("#absent", "leads to no heading"),
        ("#same-2", "leads to no heading"),
        ("docs/other.md#title", "leads to no heading"),
        ("docs/a%20space.txt#1", "leads to no heading"),
    ],
)
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, link: str, complaint: str) -> None:
    assert links_of(tmp_path, f"{PAGE}[text](<{link}>)") == [f"README.md: the link {link} {complaint}"]


def test_images_and_links_in_tables_are_checked_and_code_is_not(tmp_path: Path) -> None:
    page = "| a |\n|---|\n| [b](c.md) |\n\n![d](e.png)\n\n`[f](g.md)`\n"
    assert [complaint.split()[3] for complaint in links_of(tmp_path, page)] == ["c.md", "e.png"]


def links_of(folder: Path, readme: str) -> list[str]:
    """What is said about a page in a project that has another one and a text."""
    root = folder / "project"
    (root / "docs").mkdir(parents=True)
    texts = {Path("README.md"): readme, Path("docs", "other.md"): "# There\n"}
    for path, text in texts.items():
        (root / path).write_text(text)
    (root / "docs" / "a space.txt").touch()
    (folder / "outside.md").touch()
    return broken_links(root, texts)


def test_pages_are_those_of_the_project_alone(tmp_path: Path) -> None:
    for folder in ("docs/more", "deploy", ".venv", "tests"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "page.md").touch()
    (tmp_path / "README.md").touch()
    assert [str(page) for page in pages(tmp_path)] == ["README.md", "deploy/page.md", "docs/more/page.md"]


def test_a_check_names_what_is_out_of_date_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "README.md"
    page.write_text(REGION)
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        "README.md is out of date: run `make generated`",
        "docs/config.schema.json is out of date: run `make generated`",
    ]
    assert page.read_text() == REGION


def test_what_was_written_passes_the_check(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(REGION)
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("page", ["[text](absent.md)\n", "<!-- end generated -->\n"], ids=["link", "region"])
def test_a_page_that_is_wrong_fails_the_script(tmp_path: Path, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(page)
    assert main([], tmp_path) == 1
    assert capsys.readouterr().err.startswith("README.md: ")


EXAMPLES = [
    pytest.param(token.content, id=f"{page}:{token.map[0] + 1}")
    for page in pages(ROOT)
    for token in MarkdownIt().parse((ROOT / page).read_text())
    if token.type == "fence" and token.info == "yaml" and token.map and "heartbeats:" in token.content.splitlines()
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_configuration_is_good(tmp_path: Path, example: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(example)
    assert load(file).warnings == ()
