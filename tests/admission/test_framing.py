"""Requests cut out of bytes that come in any pieces, held against gunicorn's own parser reading them in one go."""

import itertools

import pytest
from gunicorn.config import Config
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import example, given
from hypothesis import strategies as st

from webhook.admission.body import BODY_LIMIT, BodyTooLarge
from webhook.admission.framing import CHUNKS_LIMIT, HEAD_LIMIT, Incoming

CLIENT = ("192.0.2.1", 40000)
LIMIT = 5000


def config():
    cfg = Config()
    cfg.set("http_parser", "python")
    return cfg


CFG = config()


def by_gunicorn(data):
    """What gunicorn's parser makes of the whole: the requests, and whether it then refused something."""
    requests = []
    parser = RequestParser(CFG, iter([data]), CLIENT)
    try:
        for request in parser:
            length = next((int(value) for name, value in request.headers if name == "CONTENT-LENGTH"), None)
            body = request.body.read()
            if length is not None and len(body) < length:
                return requests, False
            requests.append((request.method, request.uri, body))
    except NoMoreData:
        return requests, False
    except ParseException:
        return requests, True
    return requests, False


def by_pieces(pieces):
    requests = []
    incoming = Incoming(CFG, CLIENT, LIMIT)
    try:
        for piece in pieces:
            incoming.take(piece)
            for request in requests_in(incoming):
                requests.append((request.method, request.uri, request.body.read()))
                if request.should_close():
                    return requests, False
    except ParseException:
        return requests, True
    return requests, False


def requests_in(arrived):
    while arrived.complete():
        yield arrived.finish()


def declared(body):
    return b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), len(body), body)


def chunked(parts, extension, trailer):
    body = b"".join(b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part)
    return b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (body, trailer)


bodies = st.binary(max_size=60) | st.just(b"0\r\n\r\n") | st.just(b"\r\n\r\n\r\n")
requests = st.one_of(
    st.just(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
    st.just(b"\r\nGET / HTTP/1.0\r\n\r\n"),
    st.builds(declared, bodies),
    st.builds(
        chunked, st.lists(bodies, max_size=4), st.sampled_from([b"", b";a=b", b' ; a="\r"']),
        st.sampled_from([b"", b"X: y\r\n", b"Host: b\r\n"]),
    ),
)  # fmt: skip
streams = st.lists(requests, max_size=4).map(b"".join)


@st.composite
def mutated(draw):
    data = bytearray(draw(streams))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            data[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from([b"", b"\r", b"\n", b"0", b"f", b" ", b":"]))
    return bytes(data)


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(mutated(), st.lists(st.integers(0, 1000), max_size=12))
@example(chunked([b"abc"], b"", b"X: y\r\n") + declared(b"0\r\n\r\n"), list(range(200)))
def test_any_pieces_give_what_gunicorn_reads_from_the_whole(data, places):
    wanted, refused = by_gunicorn(data)
    got, refused_here = by_pieces(cut(data, places))
    # Never a request that gunicorn would not see there; and all of them, where it saw no mistake.
    assert got == wanted[: len(got)]
    if not refused:
        assert (got, refused_here) == (wanted, False)
    elif refused_here:
        assert got == wanted


def test_one_byte_at_a_time():
    data = declared(b"abc") + chunked([b"de", b"f" * 300], b";x", b"") + declared(b"")
    assert by_pieces([bytes([byte]) for byte in data]) == (
        [("POST", "/3", b"abc"), ("PUT", "/c", b"de" + b"f" * 300), ("POST", "/0", b"")],
        False,
    )


def incoming(data):
    made = Incoming(CFG, CLIENT, LIMIT)
    made.take(data)
    return made


def test_a_declared_body_over_the_limit_is_known_from_the_head():
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    assert incoming(head % LIMIT + b"x" * LIMIT).complete()
    with pytest.raises(BodyTooLarge, match="the request body is larger than 5000 bytes"):
        incoming(head % (LIMIT + 1)).complete()


def test_a_chunked_body_over_the_limit_is_known_from_the_size_of_the_chunk():
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(BodyTooLarge):
        incoming(head + b"%x\r\n" % (LIMIT + 1)).complete()
    with pytest.raises(BodyTooLarge):
        incoming(head + b"f" * 4000 + b"\r\n").complete()
    whole = incoming(head + b"%x\r\n%b\r\n0\r\n\r\n" % (LIMIT, b"x" * LIMIT))
    assert whole.complete()
    assert whole.finish().body.read() == b"x" * LIMIT


CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"1;a=b\r\nx\r\n"], ids=["one byte", "an extension"])
def test_chunks_that_are_mostly_their_sizes_are_refused(chunk):
    most = CHUNKS_LIMIT // (len(chunk) - 1)
    body = Incoming(CFG, CLIENT, BODY_LIMIT)
    body.take(CHUNKED_HEAD + chunk * most)
    assert not body.complete()
    body.take(chunk)
    with pytest.raises(ParseException, match="^the sizes of the chunks take more than 262144 bytes$"):
        body.complete()


def test_gunicorn_copies_little_per_chunk(monkeypatch):
    """It copies all that it was given and has not used, at every chunk: of the whole body that takes minutes."""
    copied = []
    read = ChunkedReader.parse_chunk_size
    monkeypatch.setattr(
        ChunkedReader,
        "parse_chunk_size",
        lambda self, unreader, data=None: copied.append(len(data or b"")) or read(self, unreader, data),
    )
    following = declared(b"abc" * 10_000)
    body = Incoming(CFG, CLIENT, BODY_LIMIT)
    body.take(CHUNKED_HEAD + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n" + following)
    assert body.complete()
    assert body.finish().body.read() == b"x" * 10_000
    assert len(copied) == 10_001
    assert max(copied) <= 8 * 1024
    assert body.held == len(following)
    assert body.complete()
    assert body.finish().body.read() == b"abc" * 10_000


@pytest.mark.parametrize(
    "rest", [b"X: " + b"a" * 70_000, b"1\r\nx\r\n0\r\n" + b"X: a\r\n" * 12_000], ids=["head", "trailers"]
)
def test_what_never_ends_is_refused(rest):
    head = b"POST / HTTP/1.1\r\nHost: a\r\n" + (b"" if rest[:1] == b"X" else b"Transfer-Encoding: chunked\r\n\r\n")
    endless = incoming(head + rest)
    assert endless.held > HEAD_LIMIT
    with pytest.raises((ParseException, BodyTooLarge)):
        list(requests_in(endless))


def test_a_client_that_waits_to_go_on_is_told_once():
    waiting = incoming(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert not waiting.complete()
    assert [waiting.expects_continue(), waiting.expects_continue()] == [True, False]
