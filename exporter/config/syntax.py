"""Bytes that are no YAML: what to tell people, in words that do not depend on which of PyYAML's parsers met them."""

import codecs
import re

import yaml

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7E\x85\xA0-\uD7FF\uE000-\uFEFE\uFF00-\uFFFD\U00010000-\U0010FFFF]")
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_STARRED = re.compile(r"[ \t-]*(cron|oncalendar):[ \t]+(\*[^#\n\"]*)")

_MEANINGS = (
    # a pattern of what PyYAML says, whether to name the line where the construct begins, what to say
    ("scanning an alias", True, "a value that begins with * must be quoted{quoted}"),
    (
        "undefined alias",
        False,
        "no anchor of this name stands above; a value that begins with * must be quoted{quoted}",
    ),
    ("duplicate anchor", False, "an anchor of this name stands above already"),
    ("another document", False, "a second document begins here; a file has one"),
    ("tab character|at \t$", False, "a tab stands where YAML takes only spaces"),
    ("cannot start any token; at [@`%]", False, "a value that begins with {here} must be quoted"),
    ("mapping values are not allowed", False, "the indentation does not fit, or a value with a colon must be quoted"),
    ("sequence entries are not allowed", False, "a list begins on a line of its own"),
    ("quoted scalar; .*unexpected", True, "the quote that opens here is not closed"),
    ("quoted scalar", False, "an unknown escape; in double quotes write \\\\ for \\, or use single quotes"),
    ("parsing a flow sequence", True, "the list that opens here lacks a comma or its ]"),
    ("parsing a flow mapping", True, "the mapping that opens here lacks a comma or its }}"),
    ("parsing a flow node", False, "a value is missing here, or must be quoted"),
    ("could not find expected ':'", True, "a key lacks its colon"),
    ("parsing a block", False, "the indentation does not fit what is above, or a quote ends too early"),
)


class UnreadableText(Exception):
    """A text that is no single YAML document, or one beyond our bounds. Says where, in lines counted from 1."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        self.message = message
        super().__init__(line, message)


def decode(data: bytes) -> str:
    """The text in the bytes of a file, which is in UTF-8 and holds no control characters. Raises UnreadableText."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            raise UnreadableText(0, f"is a text in {encoding}; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        decoded, start = error.object, error.start  # without a byte order mark
        line = decoded.count(b"\n", 0, start) + 1
        raise UnreadableText(line, f"is no text in UTF-8 (byte {decoded[start]:#04x})") from None
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        line = text.count("\n", 0, forbidden.start()) + 1
        raise UnreadableText(line, f"the character U+{ord(forbidden[0]):04X} cannot stand in a YAML file")
    return text


def explain(error: Exception, text: str) -> UnreadableText:
    """What PyYAML's error means, for a text that came from `decode`."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return UnreadableText(0, "is no valid YAML")  # the parser in Python, of an escape beyond Unicode
    mark = error.problem_mark
    here = text[mark.index : mark.index + 1]
    symptom = f"{error.context}; {error.problem}; at {here}"
    for pattern, at_its_beginning, meaning in _MEANINGS:
        if re.search(pattern, symptom) is not None:
            mark = error.context_mark if at_its_beginning and error.context_mark is not None else mark
            starred = _STARRED.match(text, text.rfind("\n", 0, mark.index) + 1)
            quoted = f': {starred[1]}: "{starred[2].rstrip()}"' if starred is not None else ""
            return UnreadableText(_line(mark, text), meaning.format(here=here, quoted=quoted))
    return UnreadableText(_line(mark, text), f"is no valid YAML: {error.problem}")


def _line(mark: yaml.Mark, text: str) -> int:
    """The line of a mark, or the last one: the end of a text, where something is missed, is on the line after it."""
    return min(mark.line, text.rstrip().count("\n")) + 1
