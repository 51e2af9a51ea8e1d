"""References are read as distribution/reference and the kubelet read them: a table, properties, the packages."""

from __future__ import annotations

import base64
import os
import random
import string
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle_client import ask
from webhook.errors import PullproofError
from webhook.model.reference import Fault, InvalidReference, Reference, match, parse
from webhook.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

HEX = "0123456789abcdef" * 4
SHA256 = f"sha256:{HEX}"
SHA384 = f"sha384:{HEX}{HEX[:32]}"
SHA512 = f"sha512:{HEX}{HEX}"
IMAGES = Path(__file__).parents[2].parent / "shared" / "data" / "images.tsv"
# another seed makes another 40,000: PULLPROOF_SEED=1 pytest …
SEED = int(os.environ.get("PULLPROOF_SEED", "20250"))


@pytest.mark.parametrize(
    ("image", "domain", "path", "tag", "digest"),
    [
        pytest.param("nginx", "docker.io", "library/nginx", None, None, id="bare"),
        pytest.param("nginx:1.27", "docker.io", "library/nginx", "1.27", None, id="tag"),
        pytest.param(f"nginx@{SHA256}", "docker.io", "library/nginx", None, SHA256, id="digest"),
        pytest.param(f"nginx:1@{SHA256}", "docker.io", "library/nginx", "1", SHA256, id="tag-and-digest"),
        pytest.param(f"nginx@{SHA384}", "docker.io", "library/nginx", None, SHA384, id="sha384"),
        pytest.param(f"nginx@{SHA512}", "docker.io", "library/nginx", None, SHA512, id="sha512"),
        pytest.param("org/app", "docker.io", "org/app", None, None, id="organisation"),
        pytest.param("docker.io/nginx", "docker.io", "library/nginx", None, None, id="docker.io"),
        pytest.param("index.docker.io/nginx", "docker.io", "library/nginx", None, None, id="legacy-domain"),
        pytest.param("index.docker.io/org/app", "docker.io", "org/app", None, None, id="legacy-domain-organisation"),
        pytest.param("docker.io:443/nginx", "docker.io:443", "nginx", None, None, id="docker.io-with-a-port"),
        pytest.param("registry-1.docker.io/nginx", "registry-1.docker.io", "nginx", None, None, id="not-normalised"),
        pytest.param("myreg.azurecr.io/app:1", "myreg.azurecr.io", "app", "1", None, id="host"),
        pytest.param("host:5000/app", "host:5000", "app", None, None, id="port"),
        pytest.param("host:5000", "docker.io", "library/host", "5000", None, id="a-port-without-a-path-is-a-tag"),
        pytest.param("localhost/app", "localhost", "app", None, None, id="localhost"),
        pytest.param("localhost", "docker.io", "library/localhost", None, None, id="localhost-alone"),
        pytest.param("A/b", "A", "b", None, None, id="upper-case-makes-a-domain"),
        pytest.param("127.0.0.1/a/b/c", "127.0.0.1", "a/b/c", None, None, id="ipv4"),
        pytest.param("[::1]:5000/x", "[::1]:5000", "x", None, None, id="ipv6-and-port"),
        pytest.param("[2001:DB8::1]/x", "[2001:DB8::1]", "x", None, None, id="ipv6"),
        pytest.param("my_org/app", "docker.io", "my_org/app", None, None, id="underscore-in-a-path"),
        pytest.param("my_host.io/app", "", "my_host.io/app", None, None, id="underscore-in-a-host"),
        pytest.param("a--b__c.d_e/f", "", "a--b__c.d_e/f", None, None, id="separators"),
        pytest.param("xn--bcher-kva.example/app", "xn--bcher-kva.example", "app", None, None, id="punycode"),
        pytest.param("nginx:_A-.", "docker.io", "library/nginx", "_A-.", None, id="tag-characters"),
        pytest.param(f"{HEX}:1", "docker.io", f"library/{HEX}", "1", None, id="an-id-with-a-tag-is-a-name"),
        pytest.param(SHA256, "docker.io", "library/sha256", HEX, None, id="a-digest-alone-is-a-name-and-tag"),
        pytest.param("x.io/" + "a" * 255, "x.io", "a" * 255, None, None, id="longest-path"),
        pytest.param("a" * 247, "docker.io", "library/" + "a" * 247, None, None, id="longest-official-path"),
        pytest.param("a:" + "b" * 128, "docker.io", "library/a", "b" * 128, None, id="longest-tag"),
        pytest.param("h.io:99999/x", "h.io:99999", "x", None, None, id="ports-have-no-bound"),
    ],
)
def test_parse(image, domain, path, tag, digest):
    assert parse(image) == Reference(domain, path, tag, digest)


@pytest.mark.parametrize(
    ("image", "repository", "effective_tag", "host", "port", "familiar", "full"),
    [
        pytest.param(
            "nginx", "docker.io/library/nginx", "latest", "docker.io", None, "nginx", "docker.io/library/nginx",
            id="bare",
        ),
        pytest.param(
            "docker.io/org/app:1", "docker.io/org/app", "1", "docker.io", None, "org/app:1", "docker.io/org/app:1",
            id="docker.io",
        ),
        pytest.param(
            f"h:5000/a@{SHA256}", "h:5000/a", None, "h", "5000", f"h:5000/a@{SHA256}", f"h:5000/a@{SHA256}",
            id="digest-only",
        ),
        pytest.param(
            f"h:5000/a:1@{SHA256}", "h:5000/a", "1", "h", "5000", f"h:5000/a:1@{SHA256}", f"h:5000/a:1@{SHA256}",
            id="tag-and-digest",
        ),
        pytest.param("[::1]:5/a", "[::1]:5/a", "latest", "[::1]", "5", "[::1]:5/a", "[::1]:5/a", id="ipv6-port"),
        pytest.param("[::1]/a", "[::1]/a", "latest", "[::1]", None, "[::1]/a", "[::1]/a", id="ipv6"),
        pytest.param(
            "my_host.io/a", "my_host.io/a", "latest", "my_host.io", None, "my_host.io/a", "my_host.io/a",
            id="no-domain",
        ),
        pytest.param(
            "library/a/b", "docker.io/library/a/b", "latest", "docker.io", None, "library/a/b",
            "docker.io/library/a/b", id="library-with-two-more-parts",
        ),
    ],
)  # fmt: skip
def test_properties(image, repository, effective_tag, host, port, familiar, full):
    reference = parse(image)
    assert reference.repository == repository
    assert reference.effective_tag == effective_tag
    assert reference.host == host
    assert reference.port == port
    assert reference.familiar == familiar
    assert str(reference) == full


def test_an_invalid_reference_is_an_error_and_a_value():
    with pytest.raises(InvalidReference) as caught:
        parse("https://user:secret@x.io/app")
    error = caught.value
    assert isinstance(error, PullproofError)
    assert isinstance(error, ValueError)
    assert error.image == "https://user:secret@x.io/app"
    assert (error.fault, error.column, error.end, error.span) == (Fault.SCHEME, 1, 9, (0, 8))
    assert str(error) == "invalid reference, at character 1: `https://` is no part of a reference"
    assert error.fix == "remove `https://`"


# --- properties

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)  # lone surrogates and NUL included
PIECES = st.lists(
    st.sampled_from([
        *"abAB01._-:/@[]+ ${}<>%\"'`\\#(,;)=\t\n\0",
        "\u200b", "\u0430", "é", "\uff1a", "\u2013", "\ud800",
        "//", "://", "::", "__", "{{", "}}", "%2F",
        "sha256:", SHA256, HEX, "docker.io", "localhost", "https", "x.io/",
    ]),
    max_size=12,
).map("".join)  # fmt: skip
NARROW = st.text("aA1._-:/@[]+", max_size=12)


@settings(max_examples=1000)
@given(ANY_TEXT | PIECES | NARROW)
def test_any_text_is_a_reference_or_an_explained_mistake(text):
    reference = match(text)
    if reference is None:
        with pytest.raises(InvalidReference) as caught:
            parse(text)
        explained(text, caught.value)
        return
    assert parse(text) == reference
    assert parse(str(reference)) == reference
    assert parse(reference.familiar) == reference
    assert reference.repository.startswith(reference.host)


def explained(text: str, error: InvalidReference) -> None:
    assert error.image == text
    assert 1 <= error.column <= error.end <= len(text) + 1
    assert error.column < error.end or not text
    for line in (error.message, error.fix, str(error)):
        assert line
        assert printable(line) == line
    assert len(error.message) <= 80
    assert error.message != "this is no image reference", "a text that no detector explains"
    if error.suggestion is not None:
        assert error.suggestion != text
        assert match(error.suggestion) is not None


# --- the packages themselves


class Read(NamedTuple):
    """What one side makes of one text; the second half is the kubelet's reading."""

    valid: bool
    domain: str = ""
    path: str = ""
    tag: str = ""
    digest: str = ""
    full: str = ""
    familiar: str = ""
    kubelet_valid: bool = False
    kubelet_repository: str = ""
    kubelet_tag: str = ""
    kubelet_digest: str = ""


def ours(image: str) -> Read:
    reference = match(image)
    if reference is None:
        return Read(valid=False)
    tag, digest = reference.tag or "", reference.digest or ""
    return Read(
        True, reference.domain, reference.path, tag, digest, str(reference), reference.familiar,
        True, reference.repository, reference.effective_tag or "", digest,
    )  # fmt: skip


def theirs(images: list[str]) -> list[Read]:
    questions = ({"image": base64.b64encode(i.encode("utf-8", "surrogatepass")).decode()} for i in images)
    return [
        Read(
            not answer["error"], answer["domain"], answer["path"], answer["tag"], answer["digest"],
            answer["canonical"], answer["familiar"], not answer["kubelet"]["error"],
            answer["kubelet"]["repo"], answer["kubelet"]["tag"], answer["kubelet"]["digest"],
        )
        for answer in ask("reference", questions)
    ]  # fmt: skip


BASES = [
    "nginx",
    "nginx:1.27",
    "org/app:v1",
    "docker.io/nginx",
    "index.docker.io/org/app",
    "localhost/x:1",
    "localhost:5000/x",
    "myreg.azurecr.io/team/app:1.2-rc.1",
    "my_host.io/a_b/c__d:_1",
    "A/b",
    "[::1]:5000/x:1",
    "[2001:db8::a]/x",
    "10.0.0.1:80/a/b",
    f"a.b/c@{SHA256}",
    f"a:t@{SHA256}",
    HEX,
    f"a@{SHA384}",
]
INSERTED = [
    *"./:@-_[]+ ~!?*%&=,;#\\\"'$(){}|<>^`\t\n\r\0\x7f",
    *"aZ0",
    "//", "::", "..", "__", "___", "--", "@@", "://", ".-", "-.", "_.",
    "sha256:", "/library/", "docker.io/",
    "é", "\u0430", "\u0130", "\u212a", "\uff1a", "\u200b", "\ufeff", "\u00a0", "\u0660", "\ud800", "\udfff",
    "\U0001f433",
]  # fmt: skip


def every_insertion() -> Iterator[str]:
    """Everything of INSERTED at every place of every base: put there, and put in place of what is there."""
    for base in BASES:
        # the inside of a digest is all alike
        places = [at for at in range(len(base) + 1) if HEX[4:-4] not in base or not _in_hex(base, at)]
        for at in places:
            for piece in INSERTED:
                yield base[:at] + piece + base[at:]
                yield base[:at] + piece + base[at + 1 :]


def _in_hex(base: str, at: int) -> bool:
    start = base.index(HEX)
    return start + 2 < at < len(base) - 2


def limits() -> Iterator[str]:
    """Texts around each length that counts: tag, path, digest, and an identifier."""
    for size in (1, 126, 127, 128, 129, 130):
        yield f"a:{'t' * size}"
        yield f"x.io/a:{'T' * size}@{SHA256}"
        yield f"a:_{'.' * (size - 1)}"
    for size in (245, 246, 247, 248, 249, 253, 254, 255, 256, 257, 300):
        for front in (
            "",
            "docker.io/",
            "index.docker.io/",
            "x.io/",
            "localhost/",
            "X/",
            "h:1/",
            "library/",
            "a/",
            "h_.x/",
        ):
            yield front + "a" * size
            yield front + "a/" * (size // 2) + "b"
            yield f"{front}{'a' * size}:{'t' * 128}@{SHA256}"
        yield "h_h.x/" + "a" * (size - 6)
        yield f"{'a' * size}.io/x"
    for algorithm in (
        "sha256",
        "sha384",
        "sha512",
        "sha224",
        "sha1",
        "md5",
        "SHA256",
        "sha256+b64",
        "blake3",
        "sha-256",
        "",
    ):
        for size in (0, 1, 31, 32, 33, 40, 63, 64, 65, 95, 96, 97, 127, 128, 129):
            yield f"a@{algorithm}:{'a' * size}"
            yield f"x.io/a:1@{algorithm}:{'A' * size}"
            yield f"a:{algorithm}:{'0' * size}"
    for size in (63, 64, 65):
        for text in ("a" * size, "A" * size, "g" * size, "0" * size):
            yield from (text, f"{text}:1", f"docker.io/{text}", f"{text}/x", f"x/{text}", f"{text}@{SHA256}")


def generated(random_: random.Random) -> Iterator[str]:
    """References from the grammar's parts, each part sometimes a little wrong, and the whole then mutated or not."""
    choice, chance = random_.choice, random_.random
    lower, word = string.ascii_lowercase + string.digits, string.ascii_letters + string.digits

    def text(alphabet: str, most: int) -> str:
        return "".join(choice(alphabet) for _ in range(random_.randint(1, most)))

    def label() -> str:
        odd = [text(lower + "-", 8), text(word + "-_", 8), text(lower + "_", 5)]
        return choice([text(lower, 8)] * 12 + [text(word, 6)] * 6 + odd)

    def host() -> str:
        kind = chance()
        if kind < 0.1:
            return choice(["docker.io", "index.docker.io", "localhost", "Docker.io", "LOCALHOST", "docker.IO"])
        if kind < 0.2:
            return f"[{text('0123456789abcdefABCDEF:', 12)}]" if chance() < 0.8 else f"[{text('abg.:%[', 6)}]"
        if kind < 0.3:
            return ".".join(str(random_.randint(0, 300)) for _ in range(4))
        return ".".join(label() for _ in range(random_.randint(1, 4)))

    def port() -> str:
        return choice(["", "", "", "", ":5000", ":443", ":", f":{text(string.digits, 6)}", f":{text(word, 3)}"])

    def component() -> str:
        separators = [".", "_", "__", "-", "--", "---"] if chance() < 0.97 else ["..", "___", "._", "-.", "", "A", "é"]
        parts = [text(lower, 6) for _ in range(random_.randint(1, 3))]
        joined = parts[0] + "".join(choice(separators) + part for part in parts[1:])
        return choice([joined] * 40 + [f"_{joined}", f"{joined}-", joined.upper(), joined.title(), "", f".{joined}"])

    def tag() -> str:
        return choice(
            [text(word + "_", 1) + text(word + "_.-", 12)] * 20 + ["", "latest", text(word + "_.-+", 130), "-x"]
        )

    def digest() -> str:
        algorithm, size = choice([("sha256", 64)] * 8 + [("sha384", 96), ("sha512", 128), ("sha512", 64), ("md5", 32)])
        digits = "".join(choice("0123456789abcdef" if chance() < 0.9995 else "gABC-") for _ in range(size))
        return choice(
            [f"{algorithm}:{digits}"] * 8 + [f"{algorithm}:{digits}"[:-1], f"{algorithm}{digits}", digits, ""]
        )

    def mutated(image: str) -> str:
        for _ in range(random_.randint(1, 3)):
            at = random_.randint(0, len(image))
            kind = chance()
            if kind < 0.4:
                image = image[:at] + choice(INSERTED) + image[at:]
            elif kind < 0.6:
                image = image[:at] + image[at + 1 :]
            elif kind < 0.7:
                image = image[:at] + image[at : at + 1].swapcase() + image[at + 1 :]
            elif kind < 0.8:
                end = random_.randint(at, len(image))
                image = image[:at] + image[at:end] * 2 + image[end:]
            elif kind < 0.9:
                image = (
                    image[:at]
                    + chr(random_.choice([random_.randint(0, 0x24F), random_.randint(0, 0x10FFFF)]))
                    + image[at:]
                )
            else:
                image = image[at:] + image[:at]
        return image

    while True:
        image = f"{host()}{port()}/" if chance() < 0.6 else ""
        image += "/".join(component() for _ in range(choice([1, 1, 1, 2, 2, 3, 4])))
        image += f":{tag()}" if chance() < 0.6 else ""
        image += f"@{digest()}" if chance() < 0.3 else ""
        yield image if chance() < 0.6 else mutated(image)


def compare(images: list[str]) -> Counter[str]:
    """How many are valid and invalid. Fails with the first texts that are read differently."""
    counts: Counter[str] = Counter()
    different = []
    for image, expected in zip(images, theirs(images), strict=True):
        got = ours(image)
        counts["valid" if expected.valid else "invalid"] += 1
        if got != expected:
            different.append(f"{image!a}\n  ours   {got}\n  theirs {expected}")
    assert not different, f"seed {SEED}: {len(different)} of {len(images)} differ:\n" + "\n".join(different[:20])
    return counts


def test_generated_and_mutated_references_are_read_as_the_kubelet_reads_them(capsys):
    source = generated(random.Random(SEED))
    made = {next(source) for _ in range(40_000)}
    inserted = set(every_insertion())
    limit = set(limits())
    images = sorted(made | inserted | limit)
    assert len(made) >= 20_000
    counts = compare(images)
    with capsys.disabled():
        print(
            f"\nreferences against distribution/reference and the kubelet: {len(images)} (seed {SEED}: {len(made)} "
            f"generated, {len(inserted)} with an insertion, {len(limit)} at limits), {counts['valid']} valid, "
            f"{counts['invalid']} invalid, 0 disagreements"
        )
    assert min(counts.values()) >= 10_000, "too one-sided to prove anything"


def test_references_of_real_manifests_are_read_as_the_kubelet_reads_them(capsys):
    assert IMAGES.is_file(), f"the corpus {IMAGES.name} is missing: it belongs in ../shared/data beside the checkout"
    images = [line.partition("\t")[0] for line in IMAGES.read_text(encoding="utf-8").splitlines()]
    assert len(images) > 10_000
    counts = compare(images)
    with capsys.disabled():
        print(f"\nreferences of real manifests: {len(images)}, {counts['invalid']} invalid, 0 disagreements")
