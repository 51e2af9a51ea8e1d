"""Which entry of an image index a node takes, as containerd decides it.

A pull fails with "no match for platform in manifest" only inside an image index: a single manifest is taken whatever
its platform says. The rules are containerd's (github.com/containerd/platforms v1.0.0-rc.5, which containerd 2.4 uses;
v0.2.1, which 1.7 uses, where it takes more), and a differential test holds them to that package itself.
Must not: fetch anything, or guess a platform from an image's name (catalogue/image_os does that).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from webhook.errors import Malformed

WINDOWS: Final = "windows"
LINUX: Final = "linux"


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image is built for, or what a node is; names are Go's (`linux`, `amd64`), the rest as the OCI has it.

    `variant` is the CPU's (`v7`), `os_version` a Windows build (`10.0.20348.2227`); empty where unsaid.
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As containerd prints one: `windows(10.0.20348.2227)/amd64`, `linux/arm/v7`."""
        version = f"({self.os_version})" if self.os_version else ""
        return "/".join(filter(None, (f"{self.os}{version}", self.architecture, self.variant)))


@dataclass(frozen=True, slots=True)
class SingleManifest:
    """The reference names one manifest; `platform` is what its config says, None where that was not read."""

    platform: Platform | None


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """The reference names an index; an entry is None where its descriptor has no platform (every node takes those)."""

    entries: tuple[Platform | None, ...]


ImagePlatforms: TypeAlias = SingleManifest | ImageIndex

# A platform that buildkit gives to attestations, which are no images; no node is one.
_NO_IMAGE: Final = "unknown"


def operating_systems(image: ImagePlatforms) -> frozenset[str] | None:
    """The operating systems the image is built for; None when a manifest does not say which it is for."""
    entries = image.entries if isinstance(image, ImageIndex) else (image.platform,)
    found = {"" if entry is None else normalise(entry).os for entry in entries} - {_NO_IMAGE}
    return None if not found or "" in found else frozenset(found)


def may_pull(node: Platform, image: ImagePlatforms) -> bool:
    """Whether some containerd from 1.7 on, on such a node, gets past the choice of a manifest.

    False is a promise: each of them answers "no match for platform in manifest". True is not: containerd 2.2 and later
    take no 386 on amd64, and none runs what is built for another operating system.
    """
    if isinstance(image, SingleManifest):
        return True
    # 1.7 does not look at os.features: an index that only newer ones refuse is not refused everywhere
    return any(entry is None or accepts(node, replace(entry, os_features=())) for entry in image.entries)


def accepts(node: Platform, entry: Platform) -> bool:
    """Whether a node takes an index entry: `platforms.Only(node).Match(entry)`."""
    return _rank(_candidates(node), entry, node) is not None


def accepts_exactly(node: Platform, entry: Platform) -> bool:
    """The same without lesser CPUs (no 386 on amd64, no v6 on arm/v7): `platforms.NewMatcher(node).Match(entry)`."""
    return _rank((normalise(node, node.os),), entry, node) is not None


def choose(node: Platform, entries: Sequence[Platform | None]) -> int | None:
    """Which entry of an index a node of that platform unpacks, as an offset, or None when it takes none.

    `images.Manifest` of containerd 2.4 with `platforms.Default()`: the nearest CPU first, then more of the OS features;
    on Windows only the node's own CPU, the highest version (as text) first; entries without a platform last.
    """
    windows = node.os.lower() == WINDOWS
    candidates = (normalise(node, node.os),) if windows else _candidates(node)
    best: tuple[tuple[int, int], int] | None = None
    best_version = ""
    nameless: int | None = None
    for index, entry in enumerate(entries):
        if entry is None:
            nameless = index if nameless is None else nameless
            continue
        rank = _rank(candidates, entry, node)
        if rank is None:
            continue
        if windows:
            if best is None or entry.os_version > best_version:
                best, best_version = ((0, 0), index), entry.os_version
        elif best is None or (rank, -len(entry.os_features)) < best[0]:
            best = ((rank, -len(entry.os_features)), index)
    return nameless if best is None else best[1]


def normalise(platform: Platform, host_os: str = "") -> Platform:
    """One spelling for each platform (`x86_64` is `amd64`); an empty OS is the host's. `platforms.Normalize`."""
    os = platform.os.lower() or host_os
    architecture, variant = platform.architecture.lower(), platform.variant.lower()
    if architecture == "i386":
        architecture, variant = "386", ""
    elif architecture in {"x86_64", "x86-64", "amd64"}:
        architecture = "amd64"
        variant = "" if variant == "v1" else variant
    elif architecture in {"aarch64", "arm64"}:
        architecture = "arm64"
        variant = _ARM64_VARIANTS.get(variant, variant)
    elif architecture in {"armhf", "armel"}:
        architecture, variant = "arm", {"armhf": "v7", "armel": "v6"}[architecture]
    elif architecture == "arm":
        variant = _ARM_VARIANTS.get(variant, variant)
    features = platform.os_features
    return Platform(
        os="darwin" if os == "macos" else os,
        architecture=architecture,
        variant=variant,
        os_version=platform.os_version,
        os_features=tuple(sorted(set(features))) if features else (),
    )


_ARM64_VARIANTS: Final = {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}
_ARM_VARIANTS: Final = {"": "v7", "7": "v7", "5": "v5", "6": "v6", "8": "v8"}

# An arm64 CPU's version → the newest minor version of each major one that it runs; 9.n includes 8.(n+5).
_ARM64_RUNS: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "v8": ((8, 0),),
    **{f"v8.{minor}": ((8, minor),) for minor in range(10)},
    "v9": ((9, 0), (8, 5)),
    **{f"v9.{minor}": ((9, minor), (8, min(minor + 5, 9))) for minor in range(8)},
}


def _candidates(node: Platform) -> tuple[Platform, ...]:
    """What a node of that platform runs, best first."""
    own = normalise(node, node.os)
    if own.architecture == "amd64":
        lesser = [replace(own, variant=f"v{level}" if level > 1 else "") for level in _below(own.variant, 1)]
        return (own, *lesser, replace(own, architecture="386", variant=""))
    if own.architecture == "arm":
        return (own, *_arm(own))
    if own.architecture == "arm64":
        runs = _ARM64_RUNS.get(own.variant or "v8")
        if runs is None:
            return ()
        found = [
            replace(own, variant=_arm64_variant(major, minor))
            for major, newest in runs
            for minor in range(newest, -1, -1)
        ]
        thirty_two_bit = replace(own, architecture="arm", variant="v8")
        return (*found, thirty_two_bit, *_arm(thirty_two_bit))
    return (own,)


def _arm64_variant(major: int, minor: int) -> str:
    """An arm64 variant in its one spelling: 8.0 is the default and stands for nothing, 9.0 is `v9`."""
    text = f"v{major}.{minor}" if minor else f"v{major}"
    return _ARM64_VARIANTS.get(text, text)


def _arm(own: Platform) -> list[Platform]:
    return [replace(own, variant=f"v{level}") for level in _below(own.variant, 5)]


def _below(variant: str, lowest: int) -> range:
    """The CPU levels under `variant`, falling, down to `lowest`."""
    digits = variant.removeprefix("v")
    # beyond two digits no such CPU exists, and a variant from an image must not cost time
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 2):  # noqa: PLR2004 - said above
        return range(0)
    return range(int(digits) - 1, lowest - 1, -1)


def _rank(candidates: tuple[Platform, ...], entry: Platform, node: Platform) -> int | None:
    """The place of the first candidate that the entry equals, if its Windows version and OS features suit the node."""
    features = list(entry.os_features)
    if candidates and candidates[0].os == WINDOWS:
        if "win32k" in features:  # Server Core says it, every Windows node has it
            features.remove("win32k")
        if not _windows_accepts(node.os_version, entry.os_version):
            return None
    wanted = normalise(entry, node.os)
    for rank, candidate in enumerate(candidates):
        if (
            candidate.os == wanted.os
            and candidate.architecture == wanted.architecture
            and candidate.variant == wanted.variant
        ):
            return rank if set(features) <= set(candidate.os_features) else None
    return None


# Builds whose containers later hosts go on running, oldest first: Windows Server 2022 and 2025.
_STABLE_BUILDS: Final = (20348, 26100)


def _windows_accepts(host: str, container: str) -> bool:
    """Whether a Windows host of that version runs a container built on the other one.

    Before Server 2022 both builds must be equal. From then on a host takes what is not newer than itself, back to the
    long-term release before its own. A host process container names no version, so it suits every host.
    """
    host_version = _windows_version(host)
    if host_version is None or container == "":
        return True
    version = _windows_version(container) or (0, 0, 0)
    if host_version[:2] != version[:2]:
        return False
    build, wanted = host_version[2], version[2]
    if build < _STABLE_BUILDS[0]:
        return build == wanted
    reached = [stable for stable in _STABLE_BUILDS if stable <= build]
    oldest = reached[-2] if len(reached) > 1 else reached[-1]
    return oldest <= wanted <= build


def oldest_windows_build(host: str) -> str:
    """The oldest container version a Windows host of that version takes (`10.0.20348`); the host's own where unsure."""
    version = _windows_version(host)
    if version is None or version[2] < _STABLE_BUILDS[0]:
        return host
    reached = [stable for stable in _STABLE_BUILDS if stable <= version[2]]
    return f"{version[0]}.{version[1]}.{reached[-2] if len(reached) > 1 else reached[-1]}"


def _windows_version(text: str) -> tuple[int, int, int] | None:
    """Major, minor and build of `10.0.20348.2227`; None for what names none, and for 0.0.0, which counts as none."""
    parts = text.split(".")
    if len(parts) < 3:  # noqa: PLR2004 - major, minor and build
        return None
    numbers = []
    for part, limit in zip(parts, (0xFF, 0xFF, 0xFFFF), strict=False):
        if not (part.isascii() and part.isdigit()) or len(part.lstrip("0")) > 5 or int(part) > limit:  # noqa: PLR2004
            return None
        numbers.append(int(part))
    major, minor, build = numbers
    return (major, minor, build) if major or minor or build else None


def read_image(document: Mapping[str, Any]) -> ImageIndex | None:
    """The platforms of an image index's JSON (OCI or Docker), or None when the document is a single manifest.

    Nested indexes keep their entry's own platform. Raises `Malformed` for a shape that is neither.
    """
    manifests = document.get("manifests")
    if manifests is None:
        return None
    if not isinstance(manifests, Sequence) or isinstance(manifests, str):
        raise Malformed("manifests", "no list")
    return ImageIndex(tuple(_read_entry(item, f"manifests[{index}]") for index, item in enumerate(manifests)))


def _read_entry(item: object, at: str) -> Platform | None:
    if not isinstance(item, Mapping):
        raise Malformed(at, "no map")
    platform = item.get("platform")
    return None if platform is None else read_platform(platform, f"{at}.platform")


def read_platform(value: object, at: str = "") -> Platform:
    """A platform from an index entry's `platform`, or from an image config, which has the same keys.

    Raises `Malformed` with the path (below `at`) of the first value of the wrong type.
    """
    if not isinstance(value, Mapping):
        raise Malformed(at, "no map")
    features = value.get("os.features")
    if features is not None and (
        not isinstance(features, Sequence)
        or isinstance(features, str)
        or not all(isinstance(feature, str) for feature in features)
    ):
        raise Malformed(f"{at}.os.features".lstrip("."), "no list of strings")
    return Platform(
        os=_text(value, "os", at),
        architecture=_text(value, "architecture", at),
        variant=_text(value, "variant", at),
        os_version=_text(value, "os.version", at),
        os_features=tuple(features or ()),
    )


def _text(value: Mapping[str, Any], key: str, at: str) -> str:
    text = value.get(key)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise Malformed(f"{at}.{key}".lstrip("."), "no string")
    return text
