"""Manifests from files, folders, globs and standard input, to the API objects in them.

What people point a command at may be anything: a chart that was not rendered, a folder that links back to itself, a
device, a picture. So sizes are bounded, and whatever can't be read is an `Unreadable` that names file, document and
line; the rest is read all the same.

Must not: judge an object, or leave out a file that was named.
"""

from __future__ import annotations

import bisect
import codecs
import glob
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from webhook.errors import PullproofError
from webhook.model.place import Place, Region
from webhook.model.text import printable
from webhook.sources.yamlplaces import comments_at, locate, parse_field, span_in_text
from webhook.sources.yamltext import BadText, documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from webhook.sources.yamlplaces import Spot
    from webhook.sources.yamltext import Document

STANDARD_INPUT: Final = "-"
SHOWN_STANDARD_INPUT: Final = "<stdin>"
SUFFIXES: Final = (".yaml", ".yml", ".json")
FILE_LIMIT: Final = 64 << 20
TOTAL_LIMIT: Final = 256 << 20
_DEEPEST_FOLDER: Final = 100
_ANY_FOLDERS: Final = re.compile(r"(?:^|/)\*\*(?:/+|$)")
_LIST_DEPTH: Final = 10


class NoInput(PullproofError):
    """What was named is not there, or holds nothing to read."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that can't be read: `document` and `line` count from 1, 0 where none is known."""

    file: str
    document: int
    line: int
    column: int
    message: str
    fix: str = ""


@dataclass(frozen=True)
class Text:
    """One input: its name as it is shown, its whole text, and the documents that could be read."""

    file: str
    text: str = field(repr=False)
    documents: list[Document] = field(default_factory=list, repr=False)
    _lines: dict[int, str] = field(default_factory=dict, repr=False)

    @cached_property
    def line_starts(self) -> list[int]:
        """The offset of each line; CR LF, LF and CR end one, as editors count."""
        return [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect.bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line without its end; lines outside the text are empty."""
        known = self._lines.get(number)
        if known is None:
            starts = self.line_starts
            begin = starts[number - 1] if 1 <= number <= len(starts) else len(self.text)
            end = starts[number] if number < len(starts) else len(self.text)
            # kept: minified JSON is one line of megabytes, and every finding in it shows that line
            known = self._lines[number] = self.text[begin:end].rstrip("\r\n")
        return known


@dataclass(frozen=True, slots=True)
class Manifest:
    """One API object and where it comes from; `prefix` is its path in the document (`items[3]` of a List)."""

    source: Text = field(repr=False)
    document: Document = field(repr=False)
    prefix: tuple[str | int, ...]
    obj: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.obj.get("kind"))


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth telling that is no finding."""

    file: str
    line: int
    message: str


@dataclass(slots=True)
class Inputs:
    """Everything that was read, in order; `empty` are the files without an object."""

    texts: list[Text] = field(default_factory=list)
    manifests: list[Manifest] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


# --- which files ----------------------------------------------------------------------------------------------------


def read(names: Sequence[str], kinds: frozenset[str] | None = None) -> Inputs:
    """Read files, folders (`*.yaml`, `*.yml`, `*.json` at any depth), globs, and `-` for standard input.

    Only objects of `kinds` are kept: most of a large input is of others. A file that is named twice is read once.
    Raises NoInput where a name leads nowhere.
    """
    found = Inputs()
    left = TOTAL_LIMIT
    for name in _files(names):
        shown = SHOWN_STANDARD_INPUT if name == STANDARD_INPUT else name
        if left <= 0:
            message = f"more than {TOTAL_LIMIT >> 20} MiB of input in all"
            found.unreadable.append(Unreadable(shown, 0, 0, 0, message, "check it in several runs"))
            break
        try:
            content = _content(name, min(FILE_LIMIT, left))
            text = Text(shown, _decoded(content))
        except OSError as error:
            found.unreadable.append(Unreadable(shown, 0, 0, 0, _reason(error)))
        except _Refused as refused:
            found.unreadable.append(Unreadable(shown, refused.document, refused.line, 0, str(refused), refused.fix))
        else:
            left -= len(content)
            _add_text(found, text, kinds)
    # of a folder one line is enough
    named = [file for file in found.empty if file in names or file == SHOWN_STANDARD_INPUT]
    found.notes += [Note(file, 0, "no Kubernetes object in it") for file in named]
    others = [file for file in found.empty if file not in named]
    if others:
        more = f", nor in {len(others) - 1} other file{'s' * (len(others) > 2)}" if len(others) > 1 else ""  # noqa: PLR2004
        found.notes.append(Note(others[0], 0, f"no Kubernetes object in it{more}"))
    return found


def _files(names: Sequence[str]) -> Iterator[str]:
    seen: set[object] = set()
    for name in names:
        for file in _named_files(name):
            identity = _identity(file)
            if identity not in seen:
                seen.add(identity)
                yield file


def _identity(file: str) -> object:
    if file == STANDARD_INPUT:
        return file
    try:
        status = os.stat(file)  # noqa: PTH116 names may be bytes that are no text; a Path would do no more
    except OSError:
        return file
    # a pipe (`<(helm template …)`) has no lasting identity
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else file


def _named_files(name: str) -> Iterator[str]:
    if name == STANDARD_INPUT:
        yield name
        return
    if not name:
        raise NoInput("the name of a file is empty", fix="look at the variable that it is from")
    path = Path(name)
    if _is_folder(path):
        inside = sorted(_in_folder(path), key=str)
        if not inside:
            raise NoInput(
                f"{printable(name)} holds no file that ends in {', '.join(SUFFIXES)}", fix="name the files themselves"
            )
        yield from map(str, inside)
    elif _exists(path):
        yield name
    elif glob.has_magic(name):
        matched = sorted(_matching(name))
        if not matched:
            raise NoInput(f"no file matches {printable(name)}")
        for one in matched:
            if _is_folder(Path(one)):
                yield from map(str, sorted(_in_folder(Path(one)), key=str))
            else:
                yield one
    else:
        raise NoInput(f"{printable(name)} does not exist")


def _matching(pattern: str) -> Iterator[str]:
    """What a glob matches; `**` is any number of folders, each once: `glob` follows links in circles."""
    deep = _ANY_FOLDERS.search(pattern)
    if deep is None:
        yield from glob.glob(pattern)  # noqa: PTH207 a pattern may be absolute
        return
    above, below = pattern[: deep.start()], pattern[deep.end() :] or ("" if deep[0].endswith("/") else "*")
    tops = glob.glob(above) if above else ["/" if deep[0].startswith("/") else "."]  # noqa: PTH207 as above
    for top in tops:
        for folder, _ in _folders(Path(top), set(), 0):
            yield from _matching(below if folder == Path() else f"{glob.escape(str(folder))}/{below}")


def _in_folder(folder: Path) -> Iterator[Path]:
    """The manifests in a folder and below it."""
    for inside, entries in _folders(folder, set(), 0):
        for entry in entries:
            path = inside / entry.name
            if entry.name.lower().endswith(SUFFIXES) and path.is_file():
                yield path


def _folders(folder: Path, seen: set[tuple[int, int]], depth: int) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
    """A folder and those below it, each once whatever links to it, with what is in them; no hidden ones (`.git`)."""
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    here = (status.st_dev, status.st_ino)
    if here in seen or depth > _DEEPEST_FOLDER:
        return
    seen.add(here)
    yield folder, entries
    for entry in entries:
        path = folder / entry.name
        if not entry.name.startswith(".") and _is_folder(path):
            yield from _folders(path, seen, depth + 1)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):
        return False


# --- from bytes to objects ------------------------------------------------------------------------------------------


class _Refused(Exception):
    def __init__(self, message: str, *, document: int = 0, line: int = 0, fix: str = "") -> None:
        super().__init__(message)
        self.document = document
        self.line = line
        self.fix = fix


def _content(name: str, limit: int) -> bytes:
    if name == STANDARD_INPUT:
        content = sys.stdin.buffer.read(limit + 1)
    else:
        with open(name, "rb") as file:  # noqa: PTH123 as in _identity
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size > limit:
                raise _too_large(limit)
            content = file.read(limit + 1)
    if len(content) > limit:
        raise _too_large(limit)
    return content


def _too_large(limit: int) -> _Refused:
    if limit < FILE_LIMIT:
        return _Refused(f"more than {TOTAL_LIMIT >> 20} MiB of input in all", fix="check it in several runs")
    return _Refused(f"larger than {FILE_LIMIT >> 20} MiB", fix="split it, or name the right file")


# the longer ones first: a UTF-32 mark starts with a UTF-16 one
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _decoded(content: bytes) -> str:
    """The text, by its byte order mark (YAML 1.1, 5.2) or as UTF-8."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        return content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: len(mark) + error.start]
        line = before.count(b"\n") + 1
        number = len(re.findall(rb"^---", before, re.MULTILINE)) + (not before.startswith(b"---"))
        what = encoding.upper().removesuffix("-LE").removesuffix("-BE")
        fix = "save it as UTF-8, or name the right file"
        raise _Refused(f"not {what} text", document=number, line=line, fix=fix) from None


def _reason(error: OSError) -> str:
    return printable((error.strerror or type(error).__name__).lower())


def _add_text(found: Inputs, text: Text, kinds: frozenset[str] | None) -> None:
    found.texts.append(text)
    before = len(found.unreadable)
    objects = 0
    for read_one in documents(text.text):
        if isinstance(read_one, BadText):
            line, column = text.position(read_one.offset)
            found.unreadable.append(Unreadable(text.file, read_one.number, line, column, str(read_one), read_one.fix))
            continue
        document, value = read_one
        text.documents.append(document)
        for key, offset in document.duplicates:
            message = f"the key {printable(key, 60)} stands twice, the last one holds"
            found.notes.append(Note(text.file, text.position(offset)[0], message))
        for manifest in _objects(text, document, value, (), 0):
            objects += 1
            if kinds is None or manifest.kind in kinds:
                found.manifests.append(manifest)
    if objects == 0 and len(found.unreadable) == before:
        found.empty.append(text.file)


def _objects(
    text: Text, document: Document, value: Any, prefix: tuple[str | int, ...], depth: int
) -> Iterator[Manifest]:
    """The API objects of a value: itself, or the items of a List."""
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str) or not value.get("kind"):
        return
    kind, items = value["kind"], value.get("items")
    if not (kind.endswith("List") and isinstance(items, list)):
        yield Manifest(text, document, prefix, value)
        return
    if depth >= _LIST_DEPTH:
        return
    for index, item in enumerate(items):
        if isinstance(item, Mapping) and kind != "List" and "kind" not in item:
            # a typed list (`DeploymentList`) need not repeat on each item what it says itself
            item = {"apiVersion": value.get("apiVersion"), **item, "kind": kind.removesuffix("List")}  # noqa: PLW2901
        yield from _objects(text, document, item, (*prefix, "items", index), depth + 1)


# --- places ---------------------------------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """A field of an object (`spec.containers[0].image`), and which part of its value, as offsets; None is all."""

    manifest: Manifest
    field: str
    span: tuple[int, int] | None = None


def places(wanted: Sequence[Wanted]) -> list[Place]:
    """Where these fields stand, in the same order. Each document is read once more, however many are asked for."""
    by_document: dict[tuple[int, int], list[int]] = {}
    for index, one in enumerate(wanted):
        key = (id(one.manifest.source), one.manifest.document.number)
        by_document.setdefault(key, []).append(index)
    found: dict[int, Place] = {}
    for indices in by_document.values():
        manifest = wanted[indices[0]].manifest
        paths = [(*wanted[index].manifest.prefix, *parse_field(wanted[index].field)) for index in indices]
        spots = locate(manifest.source.text, manifest.document, paths)
        for index, path in zip(indices, paths, strict=True):
            found[index] = _place(manifest.source, spots[path], wanted[index].span)
    return [found[index] for index in range(len(wanted))]


def _place(text: Text, spot: Spot, span: tuple[int, int] | None) -> Place:
    part = span_in_text(text.text, spot, span) if span is not None and spot.exact else None
    first_line = text.position(spot.start)[0]
    line, column = text.position(spot.start if part is None else part[0])
    shown = text.line(line)
    end_line, end_column = text.position(spot.end if part is None else part[1])
    if end_line != line:
        end_column = len(shown) + 1
    region = None
    if spot.exact and not spot.named and spot.style in {None, "'", '"'}:
        region = Region(*text.position(spot.start), *text.position(spot.end), spot.style or "")
    return Place(text.file, line, column, max(end_column, column + 1), shown, region, first_line)


# --- comments -------------------------------------------------------------------------------------------------------

_IGNORE: Final = re.compile(r"(?:^|(?<=[ \t]))#[ \t]*pullproof:[ \t]*ignore\b(?P<rest>[^\r\n]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ignore:
    """A comment `# pullproof: ignore PULL201 -- internal mirror`; `applies_to` are the lines that it speaks of."""

    file: str
    line: int
    codes: tuple[str, ...]
    reason: str
    applies_to: frozenset[int]


def ignores(text: Text) -> list[Ignore]:
    """The ignore comments of a text: on the line of a value, or alone on the lines right above it."""
    left = {match.start() for match in _IGNORE.finditer(text.text)}
    if not left:
        return []
    comments = set()
    for document in text.documents:
        inside = {offset for offset in left if document.start <= offset < document.end}
        left -= inside
        comments |= comments_at(text.text, document, inside)
    if text.documents:
        # in front of the first document nothing but comments stands; in what could not be read nobody can tell
        comments |= {offset for offset in left if offset < text.documents[0].start}
    found = []
    for match in _IGNORE.finditer(text.text):
        if match.start() not in comments:
            continue
        codes, _, reason = match["rest"].partition("--")
        line = text.position(match.start())[0]
        found.append(
            Ignore(
                text.file,
                line,
                tuple(re.split(r"[\s,]+", codes.strip())) if codes.strip() else (),
                reason.strip(),
                frozenset({line, _line_below(text, line)}) if _is_comment(text.line(line)) else frozenset({line}),
            )
        )
    return found


def _is_comment(line: str) -> bool:
    return line.lstrip(" \t").startswith("#")


def _line_below(text: Text, line: int) -> int:
    line += 1
    while _is_comment(text.line(line)):
        line += 1
    return line
