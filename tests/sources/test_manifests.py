from __future__ import annotations

import codecs
import io
import os
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook.sources import manifests
from webhook.sources.manifests import NoInput, Wanted, ignores, places, read

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: Foo/Bar}]}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def files(found):
    return [text.file for text in found.texts]


def errors(found):
    return [(one.file, one.document, one.line, one.column, one.message) for one in found.unreadable]


# --- which files -----------------------------------------------------------------------------------------------------


def test_a_folder_is_searched_in_order_and_hidden_folders_are_left_out(folder):
    write(
        folder,
        d__b_yaml=POD,
        d__a__z_yaml=POD,
        **{"d__c.YML": POD, "d__d.json": "{}", "d__.git__x_yaml": POD, "d__t.txt": ""},
    )
    assert files(read(["d"])) == ["d/a/z.yaml", "d/b.yaml", "d/c.YML", "d/d.json"]


def test_links_that_lead_back_end(folder):
    write(folder, d__sub__a_yaml=POD)
    (folder / "d" / "sub" / "up").symlink_to("..")
    (folder / "d" / "self").symlink_to(".")
    (folder / "d" / "dangling.yaml").symlink_to("nowhere")
    assert files(read(["d"])) == ["d/sub/a.yaml"]


def test_a_file_that_is_named_twice_is_read_once(folder):
    write(folder, d__a_yaml=POD)
    (folder / "d" / "b.yaml").symlink_to("a.yaml")
    assert files(read(["d/a.yaml", "d", "d/*.yaml", "./d/../d/a.yaml"])) == ["d/a.yaml"]


def test_globs(folder):
    write(folder, d__a_yaml=POD, d__e__b_yaml=POD)
    assert files(read(["d/**/*.yaml"])) == ["d/a.yaml", "d/e/b.yaml"]
    assert files(read(["d/[ab].yaml", "d/e*"])) == ["d/a.yaml", "d/e/b.yaml"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/*.yaml", ["a.yaml", "d/a.yaml", "d/e/b.yaml", "d/e/f/c.yaml"]),
        ("d/**", ["d/a.yaml", "d/e/b.yaml", "d/e/f/c.yaml", "d/t.txt"]),
        ("d/**/", ["d/a.yaml", "d/e/b.yaml", "d/e/f/c.yaml"]),
        ("**/e/**/*.yaml", ["d/e/b.yaml", "d/e/f/c.yaml"]),
        ("[d]/**/f/c.y*", ["d/e/f/c.yaml"]),
        ("**.yaml", ["a.yaml"]),
        ("{folder}/**/c.yaml", ["{folder}/d/e/f/c.yaml"]),
    ],
)
def test_two_stars_are_any_number_of_folders(folder, pattern, found):
    write(
        folder,
        a_yaml=POD,
        d__a_yaml=POD,
        d__e__b_yaml=POD,
        d__e__f__c_yaml=POD,
        **{"d__t.txt": "", "d__.h__x_yaml": POD},
    )
    assert files(read([pattern.format(folder=folder)])) == [name.format(folder=folder) for name in found]


@pytest.mark.parametrize("name", ["d", "d/**/*.yaml", "**/*.yaml"])
def test_folders_that_link_to_each_other_are_read_once(folder, name):
    write(folder, **{f"d__{number}__{number}.yaml": POD for number in range(10)})
    for number in range(10):
        for other in range(10):
            (folder / "d" / str(number) / f"to-{other}").symlink_to(f"../{other}")
    assert len(files(read([name]))) == 10


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the name of a file is empty"),
        ("nothing.yaml", "nothing.yaml does not exist"),
        ("no\x1b31m\n.yaml", "no\\x1b31m\\n.yaml does not exist"),
        ("a\0b", "a\\x00b does not exist"),
        ("*.nothing", "no file matches *.nothing"),
        ("empty", "empty holds no file that ends in .yaml, .yml, .json"),
    ],
)
def test_a_name_that_leads_nowhere(folder, name, message):
    (folder / "empty").mkdir()
    with pytest.raises(NoInput) as raised:
        read([name])
    assert str(raised.value) == message


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    found = read(["-", "-"])
    assert files(found) == ["<stdin>"]
    assert [one.kind for one in found.manifests] == ["Pod"]


# --- what is in them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_encodings(folder, mark, encoding):
    write(folder, a_yaml=mark + POD.replace("name: a}", "name: ü}", 1).encode(encoding))
    found = read(["a.yaml"])
    assert [one.obj["metadata"]["name"] for one in found.manifests] == ["ü"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"a: 1\n---\nb: \xff\n", ("a.yaml", 2, 3, 0, "not UTF-8 text")),
        (codecs.BOM_UTF16_LE + b"a", ("a.yaml", 1, 1, 0, "not UTF-16 text")),
        (b"a: 1\n---\nb:\n  \x00\n", ("a.yaml", 1, 4, 3, "a NUL byte: this is no text")),
        (b"a: 1\n---\nb: c: d\n", ("a.yaml", 2, 3, 5, "mapping values are not allowed in this context")),
        (b"a: {{ .x }}\n", ("a.yaml", 1, 1, 10, "a template that was not rendered")),
    ],
)
def test_what_cannot_be_read_names_file_document_and_line(folder, content, error):
    write(folder, a_yaml=content)
    assert errors(read(["a.yaml"])) == [error]


def test_what_cannot_be_read_does_not_hide_the_rest(folder):
    write(folder, a_yaml="a: [\n---\n" + POD, b_yaml=b"\xff", c_yaml=POD)
    found = read(["."])
    assert [(one.source.file, one.document.number) for one in found.manifests] == [("a.yaml", 2), ("c.yaml", 1)]
    assert len(found.unreadable) == 2


def test_sizes_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(manifests, "FILE_LIMIT", 1 << 20)
    monkeypatch.setattr(manifests, "TOTAL_LIMIT", 2 << 20)
    write(
        folder,
        a_yaml=b"#" * (1 << 20) + b"#",
        b_yaml=b"#" * (1 << 20),
        c_yaml=b"#" * (1 << 20),
        d_yaml=b"#",
        e_yaml=b"#",
    )
    found = read(["a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"])
    assert files(found) == ["b.yaml", "c.yaml"]
    assert errors(found) == [
        ("a.yaml", 0, 0, 0, "larger than 1 MiB"),
        ("d.yaml", 0, 0, 0, "more than 2 MiB of input in all"),
    ]


def test_a_device_without_end_is_bounded(monkeypatch):
    monkeypatch.setattr(manifests, "FILE_LIMIT", 1 << 20)
    assert errors(read(["/dev/zero"])) == [("/dev/zero", 0, 0, 0, "larger than 1 MiB")]


def test_a_file_without_the_right_to_read_it(folder, monkeypatch):
    write(folder, a_yaml=POD, b_yaml=POD)

    def refused(name, *_):
        if name == "a.yaml":
            raise PermissionError(13, os.strerror(13))
        return POD.encode()

    monkeypatch.setattr(manifests, "_content", refused)  # root may read everything
    found = read(["a.yaml", "b.yaml"])
    assert errors(found) == [("a.yaml", 0, 0, 0, "permission denied")]
    assert files(found) == ["b.yaml"]


def test_lists_are_opened(folder):
    write(
        folder,
        a_yaml="""\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: a}}
- kind: PodList
  apiVersion: v1
  items: [{metadata: {name: b}}, 7]
- null
""",
    )
    found = read(["a.yaml"])
    assert [(one.kind, one.obj["apiVersion"], one.obj["metadata"]["name"], one.prefix) for one in found.manifests] == [
        ("Pod", "v1", "a", ("items", 0)),
        ("Pod", "v1", "b", ("items", 1, "items", 0)),
    ]


def test_lists_in_lists_end(folder):
    write(folder, a_yaml="kind: List\nitems: [" + "{kind: List, items: [" * 20 + "]}" * 20 + "]\n")
    assert read(["a.yaml"]).manifests == []


def test_only_the_kinds_that_are_asked_for_are_kept(folder):
    write(folder, a_yaml=POD + "---\napiVersion: v1\nkind: ConfigMap\n")
    found = read(["a.yaml"], frozenset({"Secret"}))
    assert found.manifests == []
    assert found.notes == []


def test_files_without_an_object_are_told(folder):
    write(folder, values_yaml="a: 1\n", b_yaml="- 1\n", c_yaml="", d_yaml=POD)
    told = [(note.file, note.message) for note in read(["values.yaml", "b.yaml", "c.yaml", "d.yaml"]).notes]
    assert told == [
        ("values.yaml", "no Kubernetes object in it"),
        ("b.yaml", "no Kubernetes object in it"),
        ("c.yaml", "no Kubernetes object in it"),
    ]
    told = [(note.file, note.message) for note in read(["."]).notes]
    assert told == [("b.yaml", "no Kubernetes object in it, nor in 2 other files")]


def test_keys_that_stand_twice_are_told(folder):
    write(folder, a_yaml=POD + "kind: Pod\n")
    assert [(note.line, note.message) for note in read(["a.yaml"]).notes] == [
        (5, "the key kind stands twice, the last one holds")
    ]


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_and_columns_count_as_editors_do(folder, newline):
    write(folder, a_yaml="# ü\u2028\n---\n".replace("\n", newline) + POD.replace("\n", newline))
    found = read(["a.yaml"])
    (place,) = places([Wanted(found.manifests[0], "spec.containers[0].image", (4, 7))])
    assert (place.line, place.column, place.end_column) == (6, 42, 45)
    assert place.text == "spec: {containers: [{name: a, image: Foo/Bar}]}"
    assert (place.value.line, place.value.column, place.value.end_column, place.value.quote) == (6, 38, 45, "")


def test_many_places_of_one_document_are_found_in_one_reading(folder, monkeypatch):
    pods = ", ".join(f'{{"kind": "Pod", "n": "{n}"}}' for n in range(50))
    write(folder, a_yaml='{"kind": "List", "items": [' + pods + "]}")
    found = read(["a.yaml"])
    calls = []
    original = manifests.locate
    monkeypatch.setattr(manifests, "locate", lambda *args: calls.append(args) or original(*args))
    at = places([Wanted(one, "n", (0, len(one.obj["n"]))) for one in found.manifests])
    assert len(calls) == 1
    assert [place.text[place.column - 1 : place.end_column - 1] for place in at] == [str(n) for n in range(50)]
    assert places([]) == []


# --- ignores ---------------------------------------------------------------------------------------------------------


def test_ignores(folder):
    write(
        folder,
        a_yaml="""\
# pullproof: ignore PULL101 -- in front of everything
---
a: b  # pullproof: ignore PULL102,PULL103 -- a reason -- with dashes
# pullproof: ignore some-name -- alone
# another comment
c: d
e: '# pullproof: ignore PULL104 -- in a value'
f: |
  # pullproof: ignore PULL105 -- in a block
g: h  #pullproof:ignore PULL106
i: j#pullproof:ignore PULL107 -- no comment
k: l  # pullproof: ignore
---
m: [
# pullproof: ignore PULL108 -- in what could not be read
""",
    )
    found = [(one.line, one.codes, one.reason, sorted(one.applies_to)) for one in ignores(read(["a.yaml"]).texts[0])]
    assert found == [
        (1, ("PULL101",), "in front of everything", [1, 2]),
        (3, ("PULL102", "PULL103"), "a reason -- with dashes", [3]),
        (4, ("some-name",), "alone", [4, 6]),
        (10, ("PULL106",), "", [10]),
        (12, (), "", [12]),
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-16")))
def test_any_bytes_are_read_or_refused(folder, content):
    write(folder, a_yaml=content)
    found = read(["a.yaml"])
    assert found.manifests or found.unreadable or found.notes
    for text in found.texts:
        ignores(text)
