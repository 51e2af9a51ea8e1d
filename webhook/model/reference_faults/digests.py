"""Finds what is wrong with a digest: how it is attached, which algorithm it names, how many digits it has.

The lengths are those of go-digest v1.0.0, which knows sha256, sha384 and sha512 and takes lower case only.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final

from webhook.model.reference import DIGEST, DIGEST_LENGTHS, TAG, Fault
from webhook.model.reference_faults.problem import Problem, quoted

_ALGORITHM: Final = "(?:" + "|".join(DIGEST_LENGTHS) + ")"

_is_tag = re.compile(TAG).fullmatch
_is_digest = re.compile(DIGEST).fullmatch
_is_identifier = re.compile(r"[a-f0-9]{64}").fullmatch
_is_cut_digest = re.compile(rf"[0-9A-Fa-f]{{7,}}|{_ALGORITHM}.*", re.IGNORECASE).fullmatch
_is_sha256_hex = re.compile(r"[0-9A-Fa-f]{64}").fullmatch

_REPEATED = re.compile(rf"({_ALGORITHM}:)\1+", re.IGNORECASE)
_NO_COLON = re.compile(rf"({_ALGORITHM})([-_=.]?)([0-9A-Fa-f]+)", re.IGNORECASE)
_AFTER_COLON = re.compile(rf":({_ALGORITHM}:[^:/]*)\Z", re.IGNORECASE)
_LIKE_SHA256: Final = 0.82  # `ha256`, `sha265`, `sah256`, `sha2566`; not `sha512256`


def identifier(image: str) -> Problem | None:
    """An image's ID alone, which a reference may not be."""
    if not _is_identifier(image):
        return None
    message = "64 hex digits alone are an image's ID"
    return Problem(Fault.DIGEST, 0, len(image), message, "write `name@sha256:` in front of them")


def digest(image: str) -> Problem | None:
    name, at_sign, text = image.partition("@")
    if not at_sign:
        hit = _AFTER_COLON.search(image)
        if hit is None:
            return None
        start = hit.start()
        mended = f"{image[:start]}@{hit[1]}"
        return Problem(Fault.DIGEST, start, start + 1, "a digest follows `@`, not `:`", "write `@`", mended)
    if not name:
        return Problem(Fault.PATH, 0, 1, "no name stands in front of `@`", "write the image's name in front of it")
    return None if _is_digest(text) else _Attached(name, text).problem()


@dataclass(frozen=True, slots=True)
class _Attached:
    """What stands behind the first `@` and is no digest, and the name in front of it."""

    name: str
    text: str

    def problem(self) -> Problem:
        name, text = self.name, self.text
        if not text:
            return self._at(-1, 0, "nothing follows `@`", "write the digest after it, or remove the `@`")
        if "@" in text:
            return self._second_at()
        if repeated := _REPEATED.match(text):
            start, end = repeated.end(1), repeated.end()
            message = f"{quoted(repeated[1])} stands twice"
            return self._at(start, end, message, "write it once", repeated[1] + text[end:])
        if "/" in text:
            at = text.index("/")
            return self._at(at, at + 1, "`/` cannot stand in a digest", "write the digest at the end")
        algorithm, colon, encoded = text.partition(":")
        if not colon:
            return self._without_colon()
        if ":" in encoded:
            encoded, _, tag = encoded.partition(":")
            at = len(algorithm) + 1 + len(encoded)
            mended = f"{name}:{tag}@{algorithm}:{encoded}" if self._takes_tag(tag) else None
            message = "a second `:` stands in the digest"
            return self._whole(at, at + 1, message, "write it as `name:tag@digest`", mended)
        if algorithm not in DIGEST_LENGTHS:
            return self._algorithm(algorithm, encoded)
        return self._digits(algorithm, encoded)

    def _second_at(self) -> Problem:
        first, _, second = self.text.partition("@")
        if self._takes_tag(first):
            return self._tag(first, f"{self.name}:{first}@{second}")
        mended = first if second == first else None
        message = "a second `@`, and a reference has one digest"
        return self._at(len(first), len(first) + 1, message, "keep one digest", mended)

    def _without_colon(self) -> Problem:
        text = self.text
        if _is_sha256_hex(text):
            message = "the digest names no algorithm"
            return self._at(0, len(text), message, "write `sha256:` in front of it", f"sha256:{text}")
        if joined := _NO_COLON.fullmatch(text):
            algorithm, between, encoded = joined.groups()
            right = len(encoded) == DIGEST_LENGTHS[algorithm.lower()]
            message = f"`:` belongs between {quoted(algorithm)} and its digits"
            start = len(algorithm)
            mended = f"{algorithm}:{encoded}" if right else None
            return self._at(start, start + max(1, len(between)), message, "write `:`", mended)
        if text.lower() in DIGEST_LENGTHS:
            return self._at(0, len(text), f"no digits follow {quoted(text)}", "write the whole digest")
        if self._takes_tag(text):
            return self._tag(text, f"{self.name}:{text}")
        return self._at(0, len(text), f"{quoted(text)} is no digest", "write it as `sha256:` and 64 hex digits")

    def _algorithm(self, algorithm: str, encoded: str) -> Problem:
        sha256 = f"sha256:{encoded}" if _is_sha256_hex(encoded) else None
        if not algorithm:
            return self._at(0, 1, "the digest names no algorithm", "write `sha256` in front of the `:`", sha256)
        plain = re.sub(r"[^a-z0-9]", "", algorithm.lower())
        if plain in DIGEST_LENGTHS:
            message = f"{quoted(algorithm)} is written `{plain}`"
            return self._at(0, len(algorithm), message, f"write `{plain}`", f"{plain}:{encoded}")
        # of what runtimes take only sha256 has 64 digits, but sha3-256 is an algorithm of its own
        misspelled = plain != "sha3256" and difflib.SequenceMatcher(None, plain, "sha256").ratio() >= _LIKE_SHA256
        mended = sha256 if misspelled else None
        message = f"{quoted(algorithm)} is no digest algorithm that runtimes take"
        return self._at(0, len(algorithm), message, "use the sha256 digest", mended)

    def _digits(self, algorithm: str, encoded: str) -> Problem:
        start = len(algorithm) + 1
        if not encoded:
            return self._at(start - 1, start, f"no digits follow `{algorithm}:`", "write the whole digest")
        if wrong := re.search(r"[^0-9A-Fa-f]", encoded):
            at = start + wrong.start()
            return self._at(at, at + 1, f"`{wrong[0]}` is no hex digit", "copy the whole digest again")
        length = DIGEST_LENGTHS[algorithm]
        if len(encoded) != length:
            message = f"{len(encoded)} hex digits, and {algorithm} has {length}"
            return self._at(start, start + len(encoded), message, "copy the whole digest again")
        upper = re.search(r"[A-F]+", encoded)
        at, end = upper.span() if upper else (0, length)
        mended = f"{algorithm}:{encoded.lower()}"
        return self._at(start + at, start + end, "upper case in a digest", "write it in lower case", mended)

    def _takes_tag(self, text: str) -> bool:
        """Whether `text` is a tag, and not a part of a digest, and the name lacks a tag."""
        if _is_tag(text) is None or _is_cut_digest(text):
            return False
        return ":" not in self.name.rpartition("/")[2]

    def _tag(self, tag: str, mended: str) -> Problem:
        return self._whole(-1, 0, f"{quoted(tag)} is a tag, and `@` starts a digest", "write `:`", mended)

    def _at(self, start: int, end: int, message: str, fix: str, mended: str | None = None) -> Problem:
        """A problem whose offsets count from behind the `@`, mended by another text there."""
        return self._whole(start, end, message, fix, None if mended is None else f"{self.name}@{mended}")

    def _whole(self, start: int, end: int, message: str, fix: str, mended: str | None = None) -> Problem:
        offset = len(self.name) + 1
        return Problem(Fault.DIGEST, offset + start, offset + end, message, fix, mended)
