"""YAML texts as values that know where they were written."""

import codecs
import time

import pytest
import yaml

from exporter.config.document import DEEPEST, LOADERS, Document, Unread
from exporter.config.model import MainFile
from exporter.config.validate import check

both_parsers = pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__mro__[2].__name__)


def parse(text: str | bytes, loader: type[yaml.SafeLoader] = LOADERS[0]) -> Document:
    return Document.parse("c.yaml", text if isinstance(text, bytes) else text.encode(), loader)


def said_of(text: str | bytes, loader: type[yaml.SafeLoader] = LOADERS[0]) -> list[str]:
    return [str(problem) for problem in parse(text, loader).problems]


@both_parsers
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("a: 1\nb: two", {"a": 1, "b": "two"}),
        ("a: [yes, off, True]", {"a": [True, False, True]}),
        ("a: [-3, +4, 0, 1_000]", {"a": [-3, 4, 0, 1000]}),
        ("a: ['1', \"1.0\", !!str 5]", {"a": ["1", "1.0", "5"]}),
        ("a:\nb: [~, null]", {"a": Unread.NULL, "b": [Unread.NULL, Unread.NULL]}),
        ("a: [1.5, 010, 0x1, 1:30, 2026-01-31, =, !x y, !!binary aa]", {"a": [Unread.OTHER] * 8}),
        ("\ufeffa: 1", {"a": 1}),
        ("%YAML 1.1\n---\na: 1\n...\n", {"a": 1}),
    ],
)
def test_values_are_what_the_text_says(text: str, value: object, loader: type[yaml.SafeLoader]) -> None:
    document = parse(text, loader)
    assert (document.value, document.problems) == (value, ())


@both_parsers
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {k: 1}\nb: *x", {"a": {"k": 1}, "b": {"k": 1}}),
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}", {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}),
        ("a: {k: 3, <<: {k: 1, l: 2}}", {"a": {"k": 3, "l": 2}}),
        ("a: {<<: [{k: 1}, {k: 2, l: 2}]}", {"a": {"k": 1, "l": 2}}),
        ("a: {<<: {<<: {k: 1}, l: 2}}", {"a": {"k": 1, "l": 2}}),
    ],
)
def test_aliases_and_merges_bring_in_what_they_name(text: str, value: object, loader: type[yaml.SafeLoader]) -> None:
    document = parse(text, loader)
    assert (document.value, document.problems) == (value, ())


def test_aliases_share_one_value() -> None:
    value = parse("a: &x [1]\nb: *x").value
    assert isinstance(value, dict)
    assert value["a"] is value["b"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("a",), 1),
        (("a", "b"), 2),
        (("a", "b", 1), 4),
        (("c", "k"), 6),
        (("c", "b"), 2),
        (("d",), 7),
        (("d", "b"), 2),
        (("e",), 8),
        (("c", "missing"), 5),
    ],
)
def test_a_line_is_that_of_the_key_wherever_it_was_merged_from(path: tuple[str | int, ...], line: int) -> None:
    text = "a: &x\n  b:\n  - 1\n  - 2\nc: {<<: *x,\n  k: 1}\nd: *x\ne:\n  f: |\n    text\n"
    assert parse(text).line(path) == line


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ((), ""),
        (("heartbeats", 0), "heartbeats.db-backup"),
        (("heartbeats", 0, "labels", "team"), "heartbeats.db-backup.labels.team"),
        (("heartbeats", 1, "grace"), "heartbeats[1].grace"),
        (("heartbeats", 2), "heartbeats[2]"),
        (("heartbeats", 9), "heartbeats[9]"),
        (("pings", "keys", 0, "key"), "pings.keys[0].key"),
        (("a b", 'q"\n'), '["a b"]["q\\"\\n"]'),
    ],
)
def test_a_path_names_a_heartbeat_where_its_name_can_be_one(path: tuple[str | int, ...], spelled: str) -> None:
    text = "heartbeats: [{name: db-backup}, {name: start}, {name: 5}]\npings: {keys: [{name: x, key: y}]}"
    assert parse(text).spell(path) == spelled


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (codecs.BOM_UTF16_LE + "a: 1".encode("utf-16-le"), "c.yaml: is a text in UTF-16; save it as UTF-8"),
        (codecs.BOM_UTF16_BE + "a: 1".encode("utf-16-be"), "c.yaml: is a text in UTF-16; save it as UTF-8"),
        (codecs.BOM_UTF32_LE + "a: 1".encode("utf-32-le"), "c.yaml: is a text in UTF-32; save it as UTF-8"),
        ("a: 1".encode("utf-16-le"), "c.yaml:1: the character U+0000 cannot stand in a YAML file"),
        (b"a: 1\nb: \xff", "c.yaml:2: is no text in UTF-8 (byte 0xff)"),
        (codecs.BOM_UTF8 + b"a: 1\nb: \xff", "c.yaml:2: is no text in UTF-8 (byte 0xff)"),
        (b"a: 1\n\nb: x\x00", "c.yaml:3: the character U+0000 cannot stand in a YAML file"),
        (b"a: \x1b[0m", "c.yaml:1: the character U+001B cannot stand in a YAML file"),
        ("a: \ufeff".encode(), "c.yaml:1: the character U+FEFF cannot stand in a YAML file"),
        (b"\x7fELF\x02\x01", "c.yaml:1: the character U+007F cannot stand in a YAML file"),
        (b"a: [\n\n\n", "c.yaml:1: a value is missing here, or must be quoted"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(data: bytes, said: str) -> None:
    assert said_of(data) == [said]


@both_parsers
@pytest.mark.parametrize(
    "text",
    [
        "cron: */5 * * * *",
        "cron: *foo",
        "cron: @daily",
        "a:\n\tb: 1",
        "a: b: c",
        "a: 'x",
        'a: "\\q"',
        "--- a\n--- b",
        "a: [1, 2",
        "a: {b: 1",
        "a: - b",
        "a: &x 1\nb: &x 2",
        "a\nb: c",
        "a: 1\n b: 2\n",
        "? a\nb",
        "a: ]",
        "&a [*a]",
        "{<<: 1}",
        "[" * 1000,
        "- " * 1000,
        "{a: " * 1000,
    ],
)
def test_both_parsers_lead_to_the_same_words(text: str, loader: type[yaml.SafeLoader]) -> None:
    assert said_of(text, loader) == said_of(text)


@both_parsers
@pytest.mark.parametrize("escape", ["\\ud800", "\\UFFFFFFFF", "\\U00110000"])
def test_an_escape_beyond_unicode_is_no_crash(escape: str, loader: type[yaml.SafeLoader]) -> None:
    document = parse(f'a: "{escape}"', loader)
    assert document.problems or document.value == {"a": "\ud800"}


def test_half_of_a_surrogate_pair_is_an_error_where_the_parser_lets_it_through() -> None:
    document = parse('heartbeats: [{name: a, interval: 1h, description: "\\ud800"}]', LOADERS[-1])
    assert [str(problem) for problem in check(document, MainFile).problems] == [
        "c.yaml:1: heartbeats.a.description: holds half of a surrogate pair, which is no valid UTF-8"
    ]


@both_parsers
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_nesting_is_bounded(opening: str, closing: str, loader: type[yaml.SafeLoader]) -> None:
    fine = opening * (DEEPEST - 1) + "1" + closing * (DEEPEST - 1)
    assert parse(fine, loader).problems == ()
    for depth in (DEEPEST, 100_000):  # the latter overflows the stack of the parser in C, where it may
        assert said_of(opening * depth + "1" + closing * depth, loader) == [
            f"c.yaml: the values in this file are nested more than {DEEPEST} levels deep"
        ]


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 50))
MERGES = "a0: &a0 {k0: x}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: x}}\n" for i in range(1, 5000))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 20_000))
HIDDEN = "? {" + ", ".join(f"a{i}: &a{i} [{f'*a{i - 1}' if i else ''}]" for i in range(400)) + "}\n: x\nb: *a399"


@pytest.mark.parametrize("text", [BOMB, MERGES, CHAIN], ids=["aliases", "merges", "chain"])
def test_aliases_that_multiply_are_refused_at_once(text: str) -> None:
    started = time.monotonic()
    said = said_of(text)
    assert time.monotonic() - started < 5
    assert len(said) == 1
    assert said[0].endswith("the aliases in this file multiply its values beyond reason")


def test_a_chain_of_aliases_does_not_deepen_the_walk() -> None:
    assert said_of(HIDDEN) == ["c.yaml:1: a mapping cannot be a key"]


def test_many_duplicate_keys_do_not_take_long() -> None:
    text = "".join(f"k{i}: 1\n" for i in range(10_000)) + "k9999: 1\n" * 10_000
    started = time.monotonic()
    assert len(said_of(text)) == 10_000
    assert time.monotonic() - started < 5


@both_parsers
def test_values_that_hold_themselves_are_marked(loader: type[yaml.SafeLoader]) -> None:
    assert parse("a: &x [1, *x]\nb: &y {c: *y}", loader).value == {
        "a": [1, Unread.CIRCULAR],
        "b": {"c": Unread.CIRCULAR},
    }


def test_a_mapping_merged_into_itself_is_an_error_and_no_endless_search() -> None:
    document = parse("a: &x\n  <<: [*x, {k: 1}]\n  l: 2\n")
    assert [str(problem) for problem in document.problems] == [
        "c.yaml:2: a: << takes another mapping, or a list of them"
    ]
    assert document.line(("a", "k")) == 2
    assert document.line(("a", "missing")) == 1


def test_a_problem_is_one_line_whatever_it_quotes() -> None:
    problem = parse("a: 1").problem(("a",), "x\ny\u2028z\ud800é")
    assert str(problem) == "c.yaml:1: a: x\\ny\\u2028z\\ud800é"
