import io

import pytest

from webhook.admission.body import BODY_LIMIT, BodyTooLarge, read_body


class Untouchable:
    def read(self, _size):
        raise AssertionError("the body was read")


CASES = {
    "no body": ({}, b"left alone", b""),
    "empty length": ({"CONTENT_LENGTH": ""}, b"left alone", b""),
    "declared": ({"CONTENT_LENGTH": "3"}, b"abcdef", b"abc"),
    "declared, at the limit": ({"CONTENT_LENGTH": "5"}, b"abcde", b"abcde"),
    "chunked": ({"HTTP_TRANSFER_ENCODING": "chunked"}, b"abc", b"abc"),
    "chunked, at the limit": ({"HTTP_TRANSFER_ENCODING": "chunked"}, b"abcde", b"abcde"),
}


@pytest.mark.parametrize(("environ", "stream", "body"), CASES.values(), ids=CASES.keys())
def test_the_body_is_read(environ, stream, body):
    assert read_body({**environ, "wsgi.input": io.BytesIO(stream)}, 5) == body


@pytest.mark.parametrize("length", ["6", "7340033", "9" * 5000])
def test_a_declared_body_over_the_limit_is_not_read(length):
    with pytest.raises(BodyTooLarge, match="the request body is larger than 5 bytes"):
        read_body({"CONTENT_LENGTH": length, "wsgi.input": Untouchable()}, 5)


def test_a_chunked_body_is_read_to_one_byte_over_the_limit():
    stream = io.BytesIO(b"x" * (BODY_LIMIT + 1000))
    with pytest.raises(BodyTooLarge, match="the request body is larger than 7 MiB"):
        read_body({"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": stream})
    assert stream.tell() == BODY_LIMIT + 1
