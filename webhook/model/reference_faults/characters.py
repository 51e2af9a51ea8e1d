"""Finds characters that stand in no reference: unseen ones, quotes, white space, look-alikes, punctuation.

These come from copying: out of a chat, a PDF, a web page or a YAML file with one pair of quotes too many.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import lru_cache
from typing import Final

from webhook.model.reference import Fault
from webhook.model.reference_faults.problem import Problem, quoted
from webhook.model.text import is_visible, printable

_WHITE: Final = " \t\r\n\v\f"  # what a person sees as white space; the rarer ones count as invisible
_CONTROLS: Final = "".join(map(chr, range(0x20))) + "\x7f"
_REVERSING: Final = frozenset("\u202b\u202e\u2067")
_ODD = re.compile(r"[^!-~ \t\r\n\v\f]")  # neither visible ASCII nor white space


def empty(image: str) -> Problem | None:
    if image.strip(_WHITE):
        return None
    message = "only white space is given" if image else "no image is given"
    return Problem(Fault.EMPTY, 0, len(image), message, "write the image to run")


# --- unseen


def invisible(image: str) -> Problem | None:
    at = next((hit.start() for hit in _ODD.finditer(image) if not is_visible(hit[0])), None)
    if at is None:
        return None
    character = image[at]
    category = unicodedata.category(character)
    name = "byte order mark" if character == "\ufeff" else unicodedata.name(character, "").lower()
    if category == "Cs":
        message = f"half a character ({_code_point(character)}, an unpaired surrogate)"
    elif category == "Cc":
        message = f"a control character ({_code_point(character)})"
    elif name:
        message = f"an invisible character ({_code_point(character)}, {printable(name, 40)})"
    else:
        message = f"a character without a shape ({_code_point(character)})"
    return Problem(Fault.INVISIBLE, at, at + 1, message, "remove it", _without_invisible(image))


def _without_invisible(image: str) -> str | None:
    """`image` as it looks, or None where that is not certain."""
    kept: list[str] = []
    # a control character at an end is a slip; inside nobody knows what it did, nor what half a character was, nor
    # whether the text behind a mark that reverses it was meant as seen or as stored
    for character in image.strip(_CONTROLS):
        if is_visible(character) or character in _WHITE:
            kept.append(character)
        elif unicodedata.category(character) in ("Zs", "Zl", "Zp"):
            kept.append(" ")
        elif character in _REVERSING or unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn"):
            return None
    return "".join(kept)


def _code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


# --- quotes and white space

_QUOTES: Final = {'"': "a double quote", "'": "a single quote", "`": "a backtick"}


def quotes(image: str) -> Problem | None:
    """Quotes around the whole; those inside are `foreign`."""
    bare = image.strip(_WHITE)
    mended = bare.strip("".join(_QUOTES))
    if len(mended) == len(bare):
        return None
    at = image.index(bare[0]) if bare[0] in _QUOTES else image.rindex(bare[-1])
    message = f"{_QUOTES[image[at]]} is part of the value"
    return Problem(Fault.QUOTES, at, at + 1, message, "remove the quotes", mended)


def outer_space(image: str) -> Problem | None:
    bare = image.strip(_WHITE)
    if len(bare) == len(image):
        return None
    start = image.index(bare[0])
    if start > 0:
        return Problem(Fault.WHITESPACE, 0, start, f"{_white(image[:start])} in front", "remove it", bare)
    end = len(bare)
    return Problem(Fault.WHITESPACE, end, len(image), f"{_white(image[end:])} at the end", "remove it", bare)


def inner_space(image: str) -> Problem | None:
    hit = re.search(rf"[{_WHITE}]+", image)
    if hit is None:
        return None
    # beside a separator it can only be a slip; between words it may stand for anything
    words = image.split()
    slips = all(left[-1] in "/:@" or right[0] in "/:@" for left, right in itertools.pairwise(words))
    mended = "".join(words) if slips else None
    return Problem(Fault.WHITESPACE, *hit.span(), f"{_white(hit[0])} inside", "remove it", mended)


def _white(run: str) -> str:
    if "\n" in run or "\r" in run:
        return "a line break"
    return "a tab" if "\t" in run else "white space"


# --- not ASCII

# meanings that the table of look-alikes lacks, or gives as two characters
_MEANINGS: Final = {
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',  # double quotation marks
    "\u2018": "'", "\u2019": "'", "\u201a": "'",  # single ones
    "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u2212": "-",  # en dash, em dash, bar, minus
    "\u3002": ".", "\uff61": ".",  # ideographic full stops
    "\u0131": "i",  # dotless i
}  # fmt: skip
_LONG_DASHES: Final = frozenset("\u2014\u2015")
_MEANT = re.compile(r"[A-Za-z0-9._:/@'\"-]{1,3}")
_MAX_HOST: Final = 253  # the length of a DNS name, and so
_MAX_LABEL: Final = 63  # that of a part of one


@lru_cache(maxsize=4096)
def _meaning(character: str) -> str | None:
    """The ASCII that a visible character passes for (`a` for the Cyrillic one), or None."""
    if spelled := _MEANINGS.get(character):
        return spelled
    compatible = unicodedata.normalize("NFKC", character)
    if compatible.isascii():
        return compatible if _MEANT.fullmatch(compatible) else None
    from confusable_homoglyphs import confusables  # noqa: PLC0415 - its tables take 50 ms to load

    for found in confusables.is_confusable(compatible, greedy=True, preferred_aliases=[]) or ():
        for twin in found["homoglyphs"]:
            glyph: str = twin["c"]
            if len(glyph) == 1 and glyph.isascii() and _MEANT.fullmatch(glyph):
                return glyph
    return None


def not_ascii(image: str) -> Problem | None:
    hit = _ODD.search(image)
    if hit is None:
        return None
    at, character = hit.start(), hit[0]
    meaning = _meaning(character)
    # in a word of another alphabet some letters look like ours too, but none stands for one
    if meaning is not None and all(_meaning(odd) for odd in _ODD.findall(_word_around(image, at))):
        name = printable(unicodedata.name(character, "a character").lower(), 40)
        message = f"`{character}` is {name} ({_code_point(character)}), not `{meaning}`"
        return Problem(Fault.LOOK_ALIKE, at, at + 1, message, f"type `{meaning}` in its place", _in_ascii(image))
    host, slash, rest = image.partition("/")
    if slash and at < len(host) and "." in host and (ascii_host := _punycode(host)):
        message = f"a host is written in ASCII, and `{character}` ({_code_point(character)}) is not"
        return Problem(
            Fault.HOST, at, at + 1, message, f"write the host as {quoted(ascii_host)}", f"{ascii_host}/{rest}"
        )
    message = f"`{character}` ({_code_point(character)}) cannot stand in a reference"
    return Problem(Fault.OTHER, at, at + 1, message, "write the name with a-z, 0-9, `.`, `_`, `-` and `/`")


def _in_ascii(image: str) -> str | None:
    """What `image` looks like in ASCII, or None where one of its characters has no meaning, or two."""
    parts: list[str] = []
    for character in image:
        meaning = character if character.isascii() else _meaning(character)
        # a long dash is what editors make of two hyphens, or of one
        if meaning is None or character in _LONG_DASHES:
            return None
        parts.append(meaning)
    return "".join(parts)


def _word_around(image: str, at: int) -> str:
    """The run of letters and digits at `at`, as far as a host's label may reach to either side."""
    before = re.search(r"[^\W_]*\Z", image[max(0, at - _MAX_LABEL) : at])
    after = re.match(r"[^\W_]*", image[at + 1 : at + 1 + _MAX_LABEL])
    return (before[0] if before else "") + image[at] + (after[0] if after else "")


def _punycode(host: str) -> str | None:
    name, colon, port = host.partition(":")
    if len(name) > _MAX_HOST:
        return None
    import idna  # noqa: PLC0415 - tables again, and hosts in another alphabet are rare

    try:
        return idna.encode(name.lower()).decode("ascii") + colon + port
    except idna.IDNAError:
        return None


# --- ASCII that no part of a reference takes

_FOREIGN = re.compile(r"[^A-Za-z0-9._:/@+\[\]-]")
_URL_ESCAPES: Final = {"%2F": "/", "%3A": ":", "%40": "@"}
_URL_ESCAPE = re.compile("|".join(_URL_ESCAPES), re.IGNORECASE)


def foreign(image: str) -> Problem | None:
    hit = _FOREIGN.search(image)
    if hit is None:
        return None
    at, character = hit.start(), hit[0]
    if character == "\\":
        message = "a backslash cannot stand in a reference"
        return Problem(Fault.OTHER, at, at + 1, message, "write `/`", image.replace("\\", "/"))
    if escape := _URL_ESCAPE.match(image, at):
        message = f"`{escape[0]}` is `{_URL_ESCAPES[escape[0].upper()]}` escaped for an address"
        mended = _URL_ESCAPE.sub(lambda one: _URL_ESCAPES[one[0].upper()], image)
        return Problem(Fault.OTHER, at, escape.end(), message, "write the character itself", mended)
    what = _QUOTES.get(character, f"`{character}`")
    return Problem(Fault.OTHER, at, at + 1, f"{what} cannot stand in a reference", "remove it")
