"""Requests as no good client sends them: strategies for hypothesis."""

from hypothesis import strategies as st

KEY = "shared-key-0123456789"
TOKEN = "own-token-0123456789"
MARK = "zq7mark"
"""Stands in every part of a request that is a client's to choose, and comes back in nothing."""

RID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"

noise = st.sampled_from(
    [
        *(
            "%00",
            "%0d%0a",
            "%0d%0aX-Forged:%20yes%0d%0a%0d%0a",
            "%",
            "%zz",
            "%f",
            "%ff%fe",
            "%ed%a0%80",
            "%2e%2e",
            "%2f",
        ),
        *(
            "/",
            "//",
            "/../",
            "/./",
            ";",
            "?",
            "??",
            "#",
            "&&",
            "=",
            "+",
            "*",
            "\\",
            "@",
            ":",
            "[",
            "]",
            "ü",
            "☃",
            "\x7f",
        ),
        *("\x00", "\t", " ", "\x1b[2J", "<script>", "{{7*7}}", "'\"", "x" * 300, MARK, "256", "007", "FAIL", "success"),
    ]
)
openers = st.sampled_from(["/", "//", "/ping/", "/heartbeat/", "/Ping/", "/%70ing/", "/ping//", "/-/", "/metrics/", ""])
secrets = st.sampled_from([TOKEN, KEY, f"{KEY}/job", f"{KEY}/other", f"{KEY}/{MARK}", TOKEN[:-1], TOKEN.upper(), MARK])
signals = st.sampled_from(["", "", "/", "/fail", "/start", "/log", "/0", "/255", "/256", "/start/fail", f"/{MARK}"])
queries = st.sampled_from(
    ["", "", f"?rid={RID}", "?rid=", f"?rid={MARK}", f"?rid={RID}&rid=x", "?rid", f"?name[]={MARK}"]
)
pages = st.sampled_from(["/", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/metrics?name[]=heartbeat_overdue"])
plain_targets = st.builds("{}{}{}{}".format, openers, secrets, signals, queries) | pages
targets = st.one_of(
    plain_targets,
    st.builds("{}{}".format, plain_targets, noise),
    st.builds("{}{}{}".format, noise, plain_targets, noise),
    st.builds(
        "{}{}".format, st.sampled_from(["http://x", "https://u:p@x:1", "http://[::1", "ftp://x", "x:"]), plain_targets
    ),
    st.lists(noise, max_size=5).map("".join),
).map(lambda text: text.encode())

methods = st.sampled_from(
    [
        *(
            b"GET",
            b"GET",
            b"GET",
            b"POST",
            b"POST",
            b"HEAD",
            b"OPTIONS",
            b"PUT",
            b"DELETE",
            b"CONNECT",
            b"TRACE",
            b"PRI",
        ),
        *(b"get", b"", b"G\x00T", b"G@T", b"\xff", b"X" * 40, MARK.encode()),
    ]
)
versions = st.sampled_from(
    [
        *([b"HTTP/1.1"] * 6),
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"HTTP/1.10",
        b"HTTP/11",
        b"",
        b"http/1.1",
        b"HTTP/1.1 x",
    ]
)
framings = st.sampled_from(
    [
        *(
            b"Content-Length: 4",
            b"Content-Length: 0",
            b"Content-Length: -1",
            b"Content-Length: +4",
            b"Content-Length: 4, 4",
        ),
        *(
            b"Content-Length: 5\r\nContent-Length: 4",
            b"Content-Length: 0x4",
            b"Content-Length: 99999999999999999999999",
        ),
        *(
            b"Content-Length: ",
            b"Content-Length: 4 4",
            b"Content-Length : 4",
            b"Content-Length: \xb2",
            b"Content-Length: 1_0",
        ),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"Transfer-Encoding: x"),
        *(
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding:\x0bchunked",
        ),
        *(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"TE: trailers"),
        *(b"Expect: 100-continue", b"Expect: 200-ok", b"Upgrade: websocket\r\nConnection: Upgrade", b"Upgrade: h2c"),
        *(b"Connection: close", b"Connection: keep-alive", b"Connection: " + MARK.encode(), b"Content-Encoding: gzip"),
        *(b"Content-Encoding: br", b"Content-Type: application/json", b"Content-Type: " + MARK.encode()),
    ]
)
oddities = st.sampled_from(
    [
        *(
            b"X: a\x00b",
            b"X: a\rb",
            b"X: a\n b",
            b" folded: yes",
            b"X:\r\n\tfolded",
            b"X Y: z",
            b": nameless",
            b"nothing",
        ),
        *(b"X: \xff\xfe", b"\xff: x", b"X: \xed\xa0\x80", b"X: " + b"y" * 9_000, b"X" * 9_000 + b": y", b"X: \x1b[2J"),
        *(b"Host: a\r\nHost: b", b"Host: \r\n", b"Host: " + MARK.encode(), b"Host: [", b"Cookie: a=" + MARK.encode()),
        *(
            b"User-Agent: " + MARK.encode(),
            b"X-Forwarded-For: " + MARK.encode(),
            b"X-Forwarded-For: ,,, 1.2.3.4, ::1%x",
        ),
        *(
            b"Accept: " + MARK.encode() + b"/*;q=2",
            b"Accept: application/openmetrics-text;q=1e9",
            b"Accept-Encoding: *;q=x",
        ),
        *(
            b"Authorization: Basic " + MARK.encode(),
            b"Range: bytes=0-",
            b"If-None-Match: *",
            b"Referer: " + MARK.encode(),
        ),
    ]
)
bodies = st.sampled_from(
    [
        *(
            b"",
            b"",
            b"four",
            MARK.encode(),
            b"4\r\nfour\r\n0\r\n\r\n",
            b"zz\r\n",
            b"0\r\n\r\n",
            b"-4\r\nfour\r\n0\r\n\r\n",
        ),
        *(
            b"4;" + b"x" * 9_000 + b"\r\nfour\r\n0\r\n\r\n",
            b"4\nfour\n0\n\n",
            b"ffffffffffffffffff\r\nfour",
            b"4\r\nfourX0\r\n\r\n",
        ),
        *(
            b"0\r\nTrailer: " + MARK.encode() + b"\r\n\r\n",
            b"0\r\nbad trailer\r\n\r\n",
            b"\x1f\x8b\x08\x00garbage",
            b"\r\n\r\n",
        ),
    ]
)


def request(
    method: bytes, target: bytes, version: bytes, headers: list[bytes], host: bool, ends: bytes, body: bytes
) -> bytes:
    lines = [method + b" " + target + b" " + version, *([b"Host: x"] if host else []), *headers]
    return ends.join([*lines, b"", b""]) + body


usual_methods = st.sampled_from([b"GET", b"POST", b"POST", b"HEAD", b"OPTIONS", b"PUT"])
good_pings = st.sampled_from(
    [f"/ping/{TOKEN}", f"/heartbeat/{TOKEN}/log", f"/ping/{KEY}/job/0", f"/ping/{KEY}/other?rid={RID}"]
)
usual_targets = st.one_of(good_pings, good_pings, good_pings, plain_targets).map(str.encode)
usual_version = st.just(b"HTTP/1.1")
usual_ends = st.just(b"\r\n")
no_headers: st.SearchStrategy[list[bytes]] = st.just([])
no_body = st.just(b"")


def requests_with(
    method: st.SearchStrategy[bytes] = usual_methods,
    target: st.SearchStrategy[bytes] = usual_targets,
    version: st.SearchStrategy[bytes] = usual_version,
    headers: st.SearchStrategy[list[bytes]] = no_headers,
    body: st.SearchStrategy[bytes] = no_body,
) -> st.SearchStrategy[bytes]:
    """Requests that are good but for the parts that are given."""
    return st.builds(request, method, target, version, headers, st.just(True), usual_ends, body)


def _framed(target: bytes, body: bytes, chunked: bool) -> bytes:
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    return request(b"POST", target, b"HTTP/1.1", [framing], True, b"\r\n", body)


framed = st.builds(_framed, usual_targets, bodies, st.booleans())
line_ends = st.sampled_from([b"\r\n", b"\n", b"\r"])
requests = st.one_of(
    framed,
    framed,
    framed,
    requests_with(),
    requests_with(target=targets),
    requests_with(method=methods),
    requests_with(version=versions),
    requests_with(headers=oddities.map(lambda header: [header])),
    requests_with(headers=framings.map(lambda header: [header]), body=bodies),
    requests_with(headers=st.lists(framings, max_size=3), body=bodies),
    st.builds(
        request,
        methods,
        targets,
        versions,
        st.lists(framings | oddities, max_size=3),
        st.booleans(),
        line_ends,
        bodies,
    ),
)
