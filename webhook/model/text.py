"""Makes any text safe to show: names from manifests end up in terminals, logs, warnings and SARIF.

Whoever writes a manifest chooses these names, so they may try to move the cursor, fake a log line or reverse the
reading direction. Must not: decide what is valid (the parsers do), or change text that is compared or stored.
"""

from __future__ import annotations

from typing import Final

# `str.isprintable` knows control, format, surrogate, private, unassigned and separator characters. These are letters
# or marks by their category, and yet nothing of them is seen.
_UNSEEN: Final = frozenset(
    "\u034f"  # combining grapheme joiner
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers
    "\u17b4\u17b5"  # Khmer inherent vowels
    "\u180b\u180c\u180d\u180f"  # Mongolian variation selectors
    "\u2800"  # empty Braille pattern
    + "".join(map(chr, range(0xFE00, 0xFE10)))  # variation selectors
    + "".join(map(chr, range(0xE0100, 0xE01F0))),
)


def is_visible(character: str) -> bool:
    """Whether one character shows as itself: the space does; a no-break space, a control or a bidi mark does not."""
    return character.isprintable() and character not in _UNSEEN


def printable(text: str, limit: int | None = None) -> str:
    r"""`text` as one harmless line: what is not visible stands as `\n`, `\x1b`, `\u200b` or `\U000e0001`.

    A backslash of the text itself stays one, so the result is for reading, not for reading back. With `limit`, it has
    at most that many characters, the last of them `…` where something was cut off; an escape is never cut in two.
    """
    if text.isascii() and text.isprintable() and (limit is None or len(text) <= limit):
        return text
    parts: list[str] = []
    size = 0
    cut_at = 0  # how many parts still leave room for the `…`
    for character in text:
        part = character if is_visible(character) else character.encode("unicode_escape").decode()
        parts.append(part)
        size += len(part)
        if limit is not None:
            if size < limit:
                cut_at = len(parts)
            elif size > limit:
                return "".join(parts[:cut_at]) + "…"[:limit]
    return "".join(parts)
