"""Whatever arrives at the exporter's sockets, it answers in good HTTP or hangs up, says nothing of itself or of what it
was sent, logs one line for each event, and goes on.
"""

import gzip
import json
import re

import pytest
from bounds import examples
from hostile import KEY, MARK, RID, TOKEN, requests
from hypothesis import given
from hypothesis import strategies as st
from scraping import check_page
from wire import WireAnswer, answers, exchange

from exporter.logs import LogFormat

from .conftest import Journal, Target

LAST = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
STATUSES = {100, 200, 204, 400, 404, 405, 408, 413, 417, 431}
LEAKS = re.compile(r"traceback|\.py\b|exception|\b[a-z]*error\b|aiohttp|python/", re.IGNORECASE)

forms = st.sampled_from(LogFormat)


def check_answers(heard: bytes) -> list[WireAnswer]:
    """The answers, once none of them says anything that it should not."""
    found = list(answers(heard))
    for answer in found:
        assert answer.status in STATUSES, answer
        said = answer.raw.decode("latin-1")
        assert MARK not in said.lower(), answer
        assert "x-forged" not in answer.headers, answer
        assert TOKEN not in said, answer
        assert KEY not in said, answer
        if answer.status not in (200, 100):
            assert not LEAKS.search(answer.body.decode("latin-1")), answer
            assert len(answer.body) < 100, answer
    return found


def level_of(line: str, form: LogFormat) -> str:
    if form is LogFormat.JSON:
        return str(json.loads(line)["level"])
    found = re.match(r"ts=\S+ level=(\w+) msg=", line)
    assert found is not None, line
    return found[1]


def check_journal(journal: Journal, form: LogFormat) -> None:
    """Every line is whole and one event, and none is of a fault of our own."""
    text = journal.text()
    lines = text.splitlines()
    assert text.count("\n") == len(lines), "something else than our own ends of lines parts the lines"
    for line in lines:
        assert line.isprintable(), ascii(line)
        assert level_of(line, form) in ("debug", "info"), line
        assert "Traceback" not in line, line
        assert TOKEN not in line, line
        assert KEY not in line, line


def check_exchange(
    target: Target, journal: Journal, form: LogFormat, sent: bytes, *, whole: bool = False
) -> list[WireAnswer]:
    journal.begin(form)
    found = check_answers(exchange(target.address, sent, whole=whole))
    check_journal(journal, form)
    return found


def counted(target: Target) -> tuple[int, int]:
    """How many pings came, and how many were taken or refused, on a page that passes the strict parser."""
    values = target.page()
    assert MARK not in " ".join(values)
    came = values["heartbeat_exporter_pings_received_total"]
    refused = sum(
        value for series, value in values.items() if series.startswith("heartbeat_exporter_pings_rejected_total{")
    )
    taken = values["heartbeat_exporter_store_commit_pings_sum"]
    return int(came), int(refused + taken)


@examples(300)
@given(sent=st.binary(max_size=300), form=forms)
def test_any_bytes(target: Target, journal: Journal, sent: bytes, form: LogFormat) -> None:
    check_exchange(target, journal, form, sent + b"\r\n\r\n")


@examples(1500)
@given(sent=st.lists(requests, min_size=1, max_size=3), form=forms)
def test_any_requests_one_after_another(target: Target, journal: Journal, sent: list[bytes], form: LogFormat) -> None:
    check_exchange(target, journal, form, b"".join(sent) + LAST)


def test_nothing_is_left_of_them_but_their_counts(target: Target) -> None:
    tasks = target.at_rest()
    came, accounted = counted(target)
    for sent in (
        b"",
        b"GET",
        b"POST /ping/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nfour",
        b"\x00" * 100,
        LAST,
    ):
        exchange(target.address, sent)
    assert target.at_rest() == tasks
    assert came >= accounted > 0


def ping(opener: str = f"/heartbeat/{TOKEN}", *headers: str) -> bytes:
    return "\r\n".join([f"POST {opener} HTTP/1.1", "Host: x", *headers, "\r\n"]).encode()


FAILURES = 'heartbeat_consecutive_failures{heartbeat="job",team="a"}'
SMUGGLED = ping(f"/ping/{KEY}/job/fail", "Content-Length: 0")
AMBIGUOUS = {
    "both framings, chunks first": (["Transfer-Encoding: chunked", "Content-Length: 4"], b"0\r\n\r\n"),
    "both framings, length first": (["Content-Length: 4", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    "two lengths": (["Content-Length: 0", f"Content-Length: {len(SMUGGLED)}"], b""),
    "a list of lengths": ([f"Content-Length: 0, {len(SMUGGLED)}"], b""),
    "a signed length": (["Content-Length: +0"], b""),
    "a negative length": (["Content-Length: -1"], b""),
    "a length of another base": (["Content-Length: 0x0"], b""),
    "a length with a space before its colon": (["Content-Length : 0"], b""),
    "a length that is no ASCII": (["Content-Length: ²"], b""),
    "chunks that are not the last coding": (["Transfer-Encoding: chunked, identity"], b"0\r\n\r\n"),
    "chunks under a folded header": (["Transfer-Encoding:", " chunked"], b"0\r\n\r\n"),
    "chunks of a negative size": (["Transfer-Encoding: chunked"], b"-1\r\n\r\n"),
    "chunks of a size with a prefix": (["Transfer-Encoding: chunked"], b"0x0\r\n\r\n"),
    "chunks without an end of their own": (["Transfer-Encoding: chunked"], b"4\r\nfour0\r\n\r\n"),
    "chunks that end in bare line feeds": (["Transfer-Encoding: chunked"], b"0\n\n"),
    "a coding nobody knows": (["Transfer-Encoding: xchunked"], b""),
    "a header's name with a space": (["Content Length: 0"], b""),
    "a NUL in a header": (["X: a\0b", "Content-Length: 0"], b""),
    "a carriage return in a header": (["X: a\rContent-Length: 0"], b""),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_follows_an_ambiguous_request_is_never_taken_for_another(
    target: Target, journal: Journal, case: str
) -> None:
    headers, body = AMBIGUOUS[case]
    before = target.page()[FAILURES]
    found = check_exchange(
        target, journal, LogFormat.LOGFMT, ping(f"/heartbeat/{TOKEN}/log", *headers) + body + SMUGGLED
    )
    assert [answer.status for answer in found] in ([], [400], [408])
    after = target.page()[FAILURES]
    assert after == before


def test_requests_that_follow_each_other_by_the_letter_are_all_answered(target: Target, journal: Journal) -> None:
    chunked = ping(f"/heartbeat/{TOKEN}", "Transfer-Encoding: chunked") + b"4;x=y\r\nfour\r\n0\r\nTrailer: x\r\n\r\n"
    sized = ping(f"/ping/{KEY}/job", "Content-Length: 4") + b"GET "
    found = check_exchange(target, journal, LogFormat.JSON, chunked + sized + LAST, whole=True)
    assert [(answer.status, answer.body) for answer in found] == [(200, b"OK"), (200, b"OK"), (200, b"healthy\n")]
    assert [kept.body for kept in target.history("job")[:2]] == [b"GET ", b"four"]


@pytest.mark.parametrize(
    "line", [b"GET /-/healthy HTTP/0.9", b"GET /-/healthy HTTP/2.0", b"CONNECT  HTTP/1.1", b"GET /-/healthy HTTP/1.9"]
)
def test_answers_are_in_a_version_that_is_spoken_here(target: Target, line: bytes) -> None:
    heard = exchange(target.address, line + b"\r\nHost: x\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] (400|505) ", heard), heard


HUGE = {
    "a request line": b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a query": b"GET /metrics?name[]=" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "a header's name": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x" * 1_000_000 + b": x\r\n\r\n",
    "headers beyond number": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    "a method": b"X" * 1_000_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("what", HUGE)
def test_what_is_too_large_is_refused(target: Target, journal: Journal, what: str) -> None:
    found = check_exchange(target, journal, LogFormat.LOGFMT, HUGE[what])
    assert [answer.status for answer in found] in ([], [400], [413], [431])


texts = st.text(alphabet=st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=60)
values = st.one_of(
    texts.map(str.encode),
    st.binary(max_size=60).map(lambda data: bytes(byte for byte in data if byte not in b"\r\n\0")),
    st.sampled_from([b"\xed\xa0\x80", b"\xff" * 600, b"a" * 2_000, b'"\\\\n{}=', b"\xc2\x85\xe2\x80\xa8"]),
).map(lambda value: bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F))
contents = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"\0" * 50_000, b"\xed\xa0\x80", b"# EOF\n", b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", b'"} 1\nx{y="z"} 2\n']
    ),
)


@examples(120)
@given(body=contents, agent=values, forwarded=values, rid=st.sampled_from([None, RID.encode()]) | values, form=forms)
def test_whatever_a_ping_holds_is_kept_and_harms_nothing(
    target: Target, journal: Journal, body: bytes, agent: bytes, forwarded: bytes, rid: bytes | None, form: LogFormat
) -> None:
    query = b"" if rid is None else b"?rid=" + b"".join(b"%%%02x" % byte for byte in rid)
    head = b"POST /heartbeat/%s%s HTTP/1.1\r\nHost: x\r\nUser-Agent: %s\r\nX-Forwarded-For: %s\r\n"
    sent = head % (TOKEN.encode(), query, agent, forwarded) + b"Content-Length: %d\r\n\r\n" % len(body) + body
    (answer, _) = check_exchange(target, journal, form, sent + LAST, whole=True)
    assert (answer.status, answer.body) == (
        (200, b"OK") if rid in (None, RID.encode()) else (400, b"invalid uuid format")
    )
    if answer.status == 200:
        (kept, *_) = target.history("job")
        assert kept.body == body[:10_000]
        assert len(kept.user_agent) <= 6 * 512  # what is no character takes six
        assert kept.rid == (rid.decode() if rid else None)
        assert kept.remote.replace(".", "").replace(":", "").isalnum()


@examples(120)
@given(
    accept=values
    | st.lists(
        st.sampled_from(
            [
                "text/plain",
                "application/openmetrics-text",
                "*/*",
                ";q=",
                "0",
                "1",
                ";version=1.0.0",
                ",",
                " ",
                "\t",
                '"',
            ]
        ),
        max_size=12,
    ).map(lambda parts: "".join(parts).strip().encode()),
    encoding=values
    | st.lists(
        st.sampled_from(["gzip", "x-gzip", "identity", "*", ";q=", "0", "0.5", "nan", ",", " "]), max_size=12
    ).map(lambda parts: "".join(parts).strip().encode()),
    name=st.sampled_from([None, b"heartbeat_overdue", b"heartbeat_exporter_store_up"]) | st.binary(max_size=20),
    form=forms,
)
def test_whatever_a_scraper_asks_for_it_gets_a_good_page(
    target: Target, journal: Journal, accept: bytes, encoding: bytes, name: bytes | None, form: LogFormat
) -> None:
    query = b"" if name is None else b"?name[]=" + b"".join(b"%%%02x" % byte for byte in name)
    head = b"GET /metrics%s HTTP/1.1\r\nHost: x\r\nAccept: %s\r\nAccept-Encoding: %s\r\nConnection: close\r\n\r\n"
    (answer,) = check_exchange(target, journal, form, head % (query, accept, encoding), whole=True)
    assert answer.status == 200
    page = gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body
    if answer.headers["content-type"].startswith("application/openmetrics-text"):
        check_page(page.decode(), answer.headers["content-type"])
    else:
        assert name is not None or b"\nheartbeat_overdue{" in page
