"""containerd's choice of a manifest: differential against its own package, and the cases worth reading."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from tests import oracle_client
from webhook.errors import Malformed
from webhook.model.platform import (
    ImageIndex,
    Platform,
    SingleManifest,
    accepts,
    accepts_exactly,
    choose,
    may_pull,
    oldest_windows_build,
    operating_systems,
    read_image,
    read_platform,
)

LINUX_NODES = [
    Platform("linux", arch, variant)
    for arch, variants in {
        "amd64": ["", "v1", "v2", "v3", "v4"],
        "x86_64": [""],
        "386": [""],
        "arm64": ["", "v8", "v8.0", "v8.2", "v8.9", "v9", "v9.0", "v9.4", "v7", "unknown"],
        "aarch64": ["", "8"],
        "arm": ["", "v5", "v6", "v7", "v8", "7"],
        "armhf": [""],
        "armel": [""],
        "ppc64le": [""],
        "s390x": [""],
        "riscv64": [""],
    }.items()
    for variant in variants
]
BUILDS = [
    "10.0.14393",
    "10.0.17763",
    "10.0.17763.5329",
    "10.0.18362",
    "10.0.19042",
    "10.0.20347",
    "10.0.20348",
    "10.0.20348.2227",
    "10.0.22621",
    "10.0.25398",
    "10.0.25398.1",
    "10.0.26099",
    "10.0.26100",
    "10.0.26100.1742",
    "10.0.26200",
    "10.0.65535",
    "10.0.65536",
    "10.1.20348",
    "6.3.9600",
    "256.0.1",
    "0.0.0",
    "10.0",
    "10.0.x",
    "10.0.",
    "10.0.020348",
    "10.0.+20348",
    "v10.0.20348",
    "10.0.20348.1.2.3",
    "",
]
WINDOWS_NODES = [Platform("windows", arch, "", build) for arch in ("amd64", "arm64") for build in BUILDS]
ARCHITECTURES = [
    "amd64",
    "AMD64",
    "x86_64",
    "x86-64",
    "386",
    "i386",
    "arm64",
    "aarch64",
    "ARM64",
    "arm",
    "armhf",
    "armel",
    "ppc64le",
    "s390x",
    "riscv64",
    "unknown",
    "",
]
VARIANTS = [
    "",
    "",
    "",
    "v1",
    "v2",
    "v3",
    "v4",
    "v5",
    "v6",
    "v7",
    "v8",
    "5",
    "6",
    "7",
    "8",
    "V8",
    "v8.0",
    "v8.1",
    "v8.5",
    "v9",
    "9",
    "v9.0",
    "v9.3",
    "bad",
]
FEATURES = [(), (), (), (), ("win32k",), ("sse4",), ("win32k", "win32k"), ("sse4", "win32k"), ("b", "a"), ("a", "a")]


def entry(rng: random.Random, windows_host: bool) -> Platform | None:
    if rng.random() < 0.05:
        return None
    systems = ["linux", "linux", "windows", "windows", "Linux", "WINDOWS", "darwin", "macos", "freebsd", "unknown"]
    if not windows_host:
        systems.append("")  # means the oracle's own system, which is Linux
    system = rng.choice(systems)
    likely = rng.random() < 0.6
    return Platform(
        os=rng.choice(["windows", "linux"]) if likely else system,
        architecture=rng.choice(["amd64", "arm64", "386", "arm"]) if likely else rng.choice(ARCHITECTURES),
        variant=rng.choice(VARIANTS) if rng.random() < 0.5 else "",
        os_version=rng.choice(BUILDS) if rng.random() < 0.6 else "",
        os_features=rng.choice(FEATURES),
    )


def wire(platform: Platform | None) -> dict[str, object] | None:
    if platform is None:
        return None
    full = {
        "os": platform.os,
        "architecture": platform.architecture,
        "variant": platform.variant,
        "os.version": platform.os_version,
        "os.features": list(platform.os_features),
    }
    return {key: value for key, value in full.items() if value or key in {"os", "architecture"}}


def ask_containerd(questions):
    return oracle_client.ask(
        "platforms",
        ({"node": wire(node), "entries": [wire(entry) for entry in entries]} for node, entries in questions),
    )


def differences(questions, answers):
    """What disagrees, and how often each kind of answer occurred."""
    wrong, seen = [], Counter()
    for (node, entries), answer in zip(questions, answers, strict=True):
        only = [entry is None or accepts(node, entry) for entry in entries]
        exact = [entry is None or accepts_exactly(node, entry) for entry in entries]
        choice = choose(node, entries)
        ours = {"only": only, "exact": exact, "choice": choice}
        if ours != answer:
            wrong.append((node, entries, ours, answer))
        seen.update(["chosen" if choice is not None else "no match for platform"])
        seen.update("match" if taken else "no match" for taken in only)
    return wrong, seen


def test_generated_indexes_agree_with_containerd(record_property):
    rng = random.Random(20348)
    nodes = [
        *LINUX_NODES,
        *WINDOWS_NODES,
        Platform("linux", "amd64", "", "", ("a", "b")),
        Platform("linux", "amd64"),
        Platform("windows", "amd64", "", "10.0.20348"),
        Platform("windows", "amd64", "", "10.0.26100", ("sse4",)),
    ]
    questions = []
    for _ in range(20_000):
        node = rng.choice(nodes)
        questions.append((node, [entry(rng, node.os == "windows") for _ in range(rng.randint(0, 7))]))
    wrong, seen = differences(questions, ask_containerd(questions))
    assert wrong == []
    record_property("indexes", len(questions))
    print(f"\n{len(questions)} indexes, {seen.total()} answers, {len(wrong)} disagreements: {dict(seen)}")
    # a generator that never matches, or always does, would prove nothing
    assert min(seen["chosen"], seen["no match for platform"], seen["match"], seen["no match"]) > 2_000


def test_every_pair_of_windows_builds_agrees_with_containerd():
    numbers = [
        0,
        14393,
        17762,
        17763,
        17764,
        18363,
        19041,
        20347,
        20348,
        20349,
        22000,
        22621,
        25398,
        26099,
        26100,
        26101,
        26200,
        30000,
        65535,
    ]
    builds = [f"10.0.{number}" for number in numbers]
    questions = [
        (Platform("windows", "amd64", "", host), [Platform("windows", "amd64", "", f"{container}.1")])
        for host, container in itertools.product(builds, builds)
    ]
    wrong, seen = differences(questions, ask_containerd(questions))
    assert wrong == []
    assert seen["match"] > 60
    assert seen["no match"] > 200


@pytest.mark.parametrize(
    ("host", "container", "taken"),
    [
        pytest.param("10.0.17763", "10.0.17763.5329", True, id="2019 takes 2019"),
        pytest.param("10.0.17763", "10.0.20348.1", False, id="2019: too new"),
        pytest.param("10.0.20348", "10.0.17763.1", False, id="2022: too old"),
        pytest.param("10.0.20348", "10.0.20348.1", True, id="2022 takes 2022"),
        pytest.param("10.0.25398", "10.0.20348.1", True, id="23H2 takes 2022"),
        pytest.param("10.0.26100", "10.0.20348.1", True, id="2025 takes 2022"),
        pytest.param("10.0.26100", "10.0.25398.1", True, id="2025 takes 23H2"),
        pytest.param("10.0.20348", "10.0.26100.1", False, id="2022: 2025 is too new"),
        pytest.param("10.0.26100", "10.0.17763.1", False, id="2025: 2019 is too old"),
        pytest.param("10.0.20348", "", True, id="a host process container names no version"),
        pytest.param("", "10.0.17763.1", True, id="a node whose build is unknown"),
    ],
)
def test_windows_builds(host, container, taken):
    node = Platform("windows", "amd64", "", host)
    assert accepts(node, Platform("windows", "amd64", "", container)) is taken


@pytest.mark.parametrize(
    ("host", "oldest"),
    [
        ("10.0.17763", "10.0.17763"),
        ("10.0.20348", "10.0.20348"),
        ("10.0.25398", "10.0.20348"),
        ("10.0.26100", "10.0.20348"),
        ("10.0.30000", "10.0.20348"),
        ("", ""),
        ("weird", "weird"),
    ],
)
def test_oldest_windows_build(host, oldest):
    assert oldest_windows_build(host) == oldest


@pytest.mark.parametrize("host", [build for build in BUILDS if build.count(".") >= 2 and build.startswith("10.0.2")])
def test_the_oldest_build_is_taken_and_the_one_before_is_not(host):
    node = Platform("windows", "amd64", "", host)
    major, minor, build = oldest_windows_build(host).split(".")[:3]
    assert accepts(node, Platform("windows", "amd64", "", f"{major}.{minor}.{build}"))
    assert not accepts(node, Platform("windows", "amd64", "", f"{major}.{minor}.{int(build) - 1}"))


def test_an_entry_without_os_is_the_hosts_own():
    # platforms.Normalize takes runtime.GOOS; the oracle runs on Linux, so only this test holds it for Windows
    assert accepts(Platform("windows", "amd64", "", "10.0.20348"), Platform("", "amd64"))
    assert accepts(Platform("linux", "amd64"), Platform("", "amd64"))


AMD64 = Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("node", "image", "expected"),
    [
        pytest.param(
            AMD64, SingleManifest(Platform("linux", "arm64")), True, id="a single manifest of another CPU pulls"
        ),
        pytest.param(AMD64, SingleManifest(None), True, id="a single manifest whose config is not read"),
        pytest.param(AMD64, ImageIndex((Platform("linux", "arm64"),)), False, id="an index without this CPU"),
        pytest.param(AMD64, ImageIndex((Platform("linux", "386"),)), True, id="amd64 takes 386"),
        pytest.param(AMD64, ImageIndex((Platform("windows", "amd64"),)), False, id="an index of another system"),
        pytest.param(AMD64, ImageIndex((Platform("windows", "amd64"), None)), True, id="an entry without platform"),
        pytest.param(AMD64, ImageIndex(()), False, id="an empty index"),
        pytest.param(AMD64, ImageIndex((Platform("unknown", "unknown"),)), False, id="attestations only"),
        pytest.param(AMD64, ImageIndex((Platform("linux", "amd64", "v3"),)), False, id="a variant no node claims"),
        pytest.param(
            AMD64, ImageIndex((Platform("linux", "amd64", "", "", ("sse4",)),)), True, id="1.7 ignores features"
        ),
    ],
)
def test_may_pull(node, image, expected):
    assert may_pull(node, image) is expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (SingleManifest(None), None),
        (SingleManifest(Platform("Windows", "amd64")), {"windows"}),
        (ImageIndex((Platform("linux", "amd64"), Platform("windows", "amd64"))), {"linux", "windows"}),
        (ImageIndex((Platform("linux", "amd64"), Platform("unknown", "unknown"))), {"linux"}),
        (ImageIndex((Platform("linux", "amd64"), None)), None),
        (ImageIndex((Platform("", "amd64"),)), None),
        (ImageIndex(()), None),
    ],
)
def test_operating_systems(image, expected):
    assert operating_systems(image) == expected


def test_read_image():
    document = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "digest": "sha256:1",
                "platform": {
                    "os": "windows",
                    "architecture": "amd64",
                    "os.version": "10.0.20348.1",
                    "os.features": ["win32k"],
                },
            },
            {"digest": "sha256:2", "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
            {"digest": "sha256:3"},
        ],
    }
    assert read_image(document) == ImageIndex(
        (
            Platform("windows", "amd64", "", "10.0.20348.1", ("win32k",)),
            Platform("linux", "arm", "v7"),
            None,
        )
    )
    assert read_image({"config": {}, "layers": []}) is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"manifests": "x"}, "manifests: no list"),
        ({"manifests": [1]}, "manifests[0]: no map"),
        ({"manifests": [{"platform": []}]}, "manifests[0].platform: no map"),
        ({"manifests": [{}, {"platform": {"os": 1}}]}, "manifests[1].platform.os: no string"),
        ({"manifests": [{"platform": {"os.features": [1]}}]}, "manifests[0].platform.os.features: no list of strings"),
        ({"manifests": [{"platform": {"os.features": "ab"}}]}, "manifests[0].platform.os.features: no list of strings"),
    ],
)
def test_what_is_no_index_is_malformed(document, message):
    with pytest.raises(Malformed) as error:
        read_image(document)
    assert str(error.value) == message


def test_read_platform_of_a_config():
    assert read_platform({"os": "linux", "architecture": "amd64", "rootfs": {}}) == AMD64


def test_a_platform_as_text():
    assert str(Platform("windows", "amd64", "", "10.0.20348.1")) == "windows(10.0.20348.1)/amd64"
    assert str(Platform("linux", "arm", "v7")) == "linux/arm/v7"


def test_a_strange_variant_costs_no_time():
    assert not accepts(Platform("linux", "amd64", "v" + "9" * 5000), Platform("linux", "amd64", "v8"))
    assert not accepts(
        Platform("windows", "amd64", "", "10.0.20348"), Platform("windows", "amd64", "", "10.0." + "9" * 5000)
    )
