"""The guess from an image's name, measured on references that public manifests and Dockerfiles use."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.catalogue.image_os import DATA, ImageOs, image_os
from webhook.model.finding import Confidence
from webhook.model.reference import InvalidReference, Reference, parse

with Path(__file__).with_name("image_os.tsv").open(encoding="utf-8", newline="") as file:
    KNOWN = [(row["reference"], row["truth"]) for row in csv.DictReader(file, delimiter="\t")]
IMAGES = Path(__file__).parents[2].parent / "shared" / "data" / "images.tsv"
LISTS = json.loads(DATA.read_text(encoding="utf-8"))

# What no name tells, kept here so that nobody takes the lists for complete.
UNTOLD = {"wincustombasecontainer", "eventlogger:2019"}


def test_windows_images_are_told_and_look_alikes_are_not():
    told = Counter((truth, image_os(parse(text)).value) for text, truth in KNOWN)
    of = Counter(truth for _, truth in KNOWN)
    print(f"\n{dict(of)}: {dict(told)}")
    assert of["windows"] > 300
    assert of["linux"] > 100
    assert told["windows", "windows"] == of["windows"] - len(UNTOLD)
    assert told["windows", "linux"] == told["linux", "windows"] == 0
    assert told["both", "windows"] == told["both", "linux"] == 0
    assert told["linux", "linux"] > 80  # most Linux images don't say so: silence is the honest answer


def test_of_the_corpus_only_real_windows_images_are_told_as_such():
    assert IMAGES.is_file(), f"the corpus {IMAGES.name} is missing: it belongs in ../shared/data beside the checkout"
    windows = {text for text, truth in KNOWN if truth == "windows"}
    texts = [line.partition("\t")[0] for line in IMAGES.read_text(encoding="utf-8").splitlines()]
    told = Counter()
    for text in texts:
        try:
            value = image_os(parse(text)).value
        except InvalidReference:
            continue
        told[value] += 1
        assert value != "windows" or text in windows, text
        assert value != "linux" or text not in windows, text
    print(f"\n{len(texts)} references: {dict(told)}")
    assert told["windows"] > 100


@pytest.mark.parametrize("text", sorted(UNTOLD))
def test_what_no_name_tells_is_left_open(text):
    assert image_os(parse(text)).value is None


def test_a_name_is_never_certain_and_an_open_one_never_a_guess():
    for text, _ in KNOWN:
        told = image_os(parse(text))
        assert told.confidence < Confidence.CERTAIN
        assert (told.value is None) is (told.confidence is Confidence.UNKNOWN)
        assert told.reason


LIKELY, ADVISORY, UNKNOWN = Confidence.LIKELY, Confidence.ADVISORY, Confidence.UNKNOWN


@pytest.mark.parametrize(
    ("text", "value", "confidence", "reason"),
    [
        (
            "mcr.microsoft.com/dotnet/sdk:8.0-nanoserver-ltsc2022",
            "windows",
            LIKELY,
            "nanoserver is a base of Windows images",
        ),
        ("reg.example.com/mirror/windows/servercore:x", "windows", LIKELY, "servercore is a base of Windows images"),
        ("reg.example.com/app:1.2-ltsc2025", "windows", LIKELY, "ltsc2025 is a release of Windows Server"),
        ("reg.example.com/app:1.2-winltsc2019", "windows", LIKELY, "ltsc2019 is a release of Windows Server"),
        ("reg.example.com/app:1.2-windows-1809-amd64", "windows", LIKELY, "its tag says windows-1809"),
        ("reg.example.com/app:1.2-win2019", "windows", LIKELY, "its tag says win2019"),
        ("reg.example.com/app:10.0.20348.2227", "windows", LIKELY, "10.0.20348 is a build of Windows"),
        ("reg.example.com/app:v1-hostprocess", "windows", LIKELY, "only Windows has host process containers"),
        ("reg.example.com/dotnet/framework/aspnet:4.8", "windows", LIKELY, "Microsoft publishes it for Windows only"),
        ("winamd64/python:3", "windows", LIKELY, "this publisher builds for Windows only"),
        ("e2eteam/nginx:1.14-alpine", "windows", LIKELY, "this publisher builds for Windows only"),
        ("microsoft/aspnet", "windows", LIKELY, "it holds the .NET Framework, which only Windows has"),
        ("microsoft/aspnet:1.0.0-beta5", "linux", ADVISORY, "microsoft/aspnet:1 was built on Mono"),
        ("reg.example.com/app:1.2-windows-amd64", "windows", LIKELY, "its tag says windows"),
        ("reg.example.com/app-operator:1.2-windows-amd64", "windows", LIKELY, "its tag says windows"),
        ("reg.example.com/app:windows", "windows", LIKELY, "its tag says windows"),
        ("reg.example.com/app:win-1.2", "windows", ADVISORY, "its tag says win"),
        ("reg.example.com/app-windows:1.2", "windows", ADVISORY, "its path says windows"),
        ("reg.example.com/app-win:1.2", "windows", ADVISORY, "its path says win"),
        (
            "octopusdeploy/octopusdeploy:2018.8.8-1803",
            "windows",
            ADVISORY,
            "its tag ends with 1803, a release of Windows",
        ),
        ("redis:3.0-nanoserver", "windows", LIKELY, "nanoserver is a base of Windows images"),
        ("nginx", "linux", LIKELY, "this official image is built for Linux only"),
        ("dockurr/windows:4.27", "linux", LIKELY, "it is a Linux image that runs Windows in a virtual machine"),
        ("reg.example.com/app:1.2-alpine3.20", "linux", LIKELY, "its name says alpine3"),
        ("reg.example.com/app-linux-amd64", "linux", LIKELY, "its name says linux"),
        ("reg.example.com/app:1.2-bookworm", "linux", LIKELY, "its name says bookworm"),
        ("reg.example.com/app-windows:1.2-alpine", None, UNKNOWN, "its name speaks of both Windows and Linux"),
        (
            "registry.k8s.io/e2e-test-images/jessie-dnsutils:1.3",
            None,
            UNKNOWN,
            "it is built for both Windows and Linux",
        ),
        ("reg.example.com/windows-node-operator:1", None, UNKNOWN, "its name says nothing of an operating system"),
        (
            "registry.ci.openshift.org/ocp/4.19:windows-machine-config-operator",
            None,
            UNKNOWN,
            "its name says nothing of an operating system",
        ),
        ("reg.example.com/build-windows:1", None, UNKNOWN, "its name says nothing of an operating system"),
        ("reg.example.com/app:1809", None, UNKNOWN, "its name says nothing of an operating system"),
        ("reg.example.com/app:build-1809", None, UNKNOWN, "its name says nothing of an operating system"),
        ("reg.example.com/app:2019", None, UNKNOWN, "its name says nothing of an operating system"),
        ("reg.example.com/app:10.0.100", None, UNKNOWN, "its name says nothing of an operating system"),
        ("windows.example.com/app:1", None, UNKNOWN, "its name says nothing of an operating system"),
    ],
)
def test_what_a_name_says(text, value, confidence, reason):
    assert image_os(parse(text)) == ImageOs(value, confidence, reason)


# A word inside another word says nothing.
@pytest.mark.parametrize(
    "text",
    [
        "bitnami/darwin:1",
        "twinproduction/gatus:v5",
        "ghcr.io/windmill-labs/windmill:main",
        "quay.io/x/rewinder:1",
        "samba/winbind:4",
        "summerwind/actions-runner:v2",
        "reg.example.com/swing:1",
        "reg.example.com/window:1",
        "reg.example.com/nanoservice:1",
        "reg.example.com/framework:4.8",
        "reg.example.com/ltsc:1",
        "kubewin/app:1",
        "reg.example.com/app:drwindows7",
        "tailwindcss/app:3",
    ],
)
def test_look_alikes(text):
    assert image_os(parse(text)).value is None


def test_a_digest_changes_nothing():
    digest = "@sha256:" + "0" * 64
    for text, _ in KNOWN:
        if "@" not in text:
            assert image_os(parse(text + digest)) == image_os(parse(text))


@given(
    st.from_regex(r"[a-z0-9.]{1,12}(:[0-9]{1,4})?", fullmatch=True),
    st.from_regex(r"[a-z0-9]+([-_./][a-z0-9]+){0,4}", fullmatch=True),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}", fullmatch=True),
)
def test_any_reference_has_an_answer(domain, path, tag):
    told = image_os(Reference(domain, path, tag, None))
    assert told.confidence <= Confidence.LIKELY
    assert told == image_os(Reference(domain, path, tag and tag.upper(), None))


def repositories():
    for key in ("windows", "linux"):
        for group in LISTS[key]:
            for name in group["repositories"]:
                yield key, name
    for name in LISTS["both"]["repositories"]:
        yield "both", name


def test_the_lists_are_well_formed():
    listed = [name for _, name in repositories()]
    assert len(listed) == len(set(listed))
    for name in listed:
        bare = name.removeprefix("*/").rstrip("/")
        assert bare == bare.lower()
        if not name.startswith("*/") and "/" in bare:
            # a short name would never be found: the look-up is for the whole repository
            assert parse(f"{bare}/x" if name.endswith("/") else bare).repository.startswith(bare), name
    for key in ("linux_words", "linux_tag_words", "managing_words", "making_words"):
        words = LISTS[key]["words"]
        assert words == sorted(set(words)), key
        assert LISTS[key]["about"]


def test_no_list_contradicts_another():
    by_name = {}
    for key, name in repositories():
        assert by_name.setdefault(name, key) == key


def test_the_data_of_this_test_is_well_formed():
    assert len({text for text, _ in KNOWN}) == len(KNOWN)
    assert {truth for _, truth in KNOWN} == {"windows", "linux", "both"}
