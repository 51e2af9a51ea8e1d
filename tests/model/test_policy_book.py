"""Which policies are for a namespace, what they come to together, and what of them does not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.model.finding import Confidence, Level
from webhook.model.policy import ClusterPolicy, ImageOsRule, Modes, Override
from webhook.model.policy_book import Conflict, PolicyBook
from webhook.model.policy_spec import read_policy

if TYPE_CHECKING:
    from webhook.model.policy_spec import PolicyObject

BASE = ClusterPolicy()
UNTIL = {"reason": "because", "expires": "2027-01-01T00:00:00Z"}


def clusterwide(name: str, **spec: Any) -> PolicyObject:
    found = read_policy({"kind": "ClusterPullPolicy", "metadata": {"name": name}, "spec": spec})
    assert found.problem is None
    return found


def owners(name: str = "own", namespace: str = "shop", **spec: Any) -> PolicyObject:
    metadata = {"name": name, "namespace": namespace}
    found = read_policy({"kind": "PullPolicy", "metadata": metadata, "spec": spec})
    assert found.problem is None
    return found


def of(*policies: PolicyObject, **labels: str) -> ClusterPolicy:
    return PolicyBook(BASE, policies).cluster_policy("shop", labels)


def conflicts(*policies: PolicyObject) -> list[tuple[str, str, str]]:
    found = PolicyBook(BASE, policies).merged("shop", {}).conflicts
    return [(one.loser, one.setting, one.winner) for one in found]


def test_without_policies_the_flags_hold() -> None:
    assert of() is BASE


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"team": "a"}}, True),
        ({"matchLabels": {"team": "b"}}, False),
        ({"matchLabels": {"team": "a", "stage": "live"}}, False),
        ({"matchLabels": {"kubernetes.io/metadata.name": "shop"}}, True),
        ({"matchLabels": {"kubernetes.io/metadata.name": "other"}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selectors(selector: dict[str, Any], expected: bool) -> None:
    policy = clusterwide("a", namespaceSelector=selector, defaults={"enforce": "off"})
    assert (of(policy, team="a").default.enforce is Level.OFF) is expected


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["", "x", "y"]), st.integers(-3, 3)),
        max_size=12,
    ),
    st.dictionaries(st.sampled_from(["team", "stage"]), st.sampled_from(["a", "b", "x", "y"])),
)
def test_the_index_finds_what_a_look_at_each_would(wanted: list[tuple[str, str, int]], labels: dict[str, str]) -> None:
    policies = []
    for number, (team, stage, priority) in enumerate(wanted):
        match = {key: value for key, value in (("team", team), ("stage", stage)) if value}
        policies.append(clusterwide(f"p{number}", priority=priority, namespaceSelector={"matchLabels": match}))
    expected = [
        f"ClusterPullPolicy/p{number}"
        for number in sorted(range(len(wanted)), key=lambda one: (-wanted[one][2], f"p{one}"))
        if all(
            not value or labels.get(key) == value for key, value in zip(("team", "stage"), wanted[number], strict=False)
        )
    ]
    assert list(PolicyBook(BASE, policies).selecting("shop", labels)) == expected


def test_the_higher_priority_holds_then_the_name() -> None:
    high = clusterwide("z", priority=1, defaults={"enforce": "likely"}, templates="warn")
    low = clusterwide("a", defaults={"enforce": "off", "warn": "off"}, templates="warn")
    same = clusterwide("b", defaults={"warn": "certain"})
    found = of(low, same, high)
    assert found.default == Modes(Level.LIKELY, Level.OFF, Level.ADVISORY, deny_templates=False)
    assert conflicts(low, same, high) == [
        ("ClusterPullPolicy/a", "defaults.enforce", "ClusterPullPolicy/z"),
        ("ClusterPullPolicy/b", "defaults.warn", "ClusterPullPolicy/a"),
    ]


def test_what_no_namespace_has_in_common_is_no_conflict() -> None:
    book = PolicyBook(
        BASE,
        [
            clusterwide("a", namespaceSelector={"matchLabels": {"team": "a"}}, templates="warn"),
            clusterwide("b", namespaceSelector={"matchLabels": {"team": "b"}}, templates="deny"),
        ],
    )
    assert book.conflicts([("one", {"team": "a"}), ("two", {"team": "b"})]) == {}


def test_registries() -> None:
    found = of(
        clusterwide("a", priority=1, registries=[{"match": "*.azurecr.io", "credentials": "nodeIdentity"}]),
        clusterwide(
            "b",
            registries=[
                {"match": "*.azurecr.io", "credentials": "required", "os": "windows"},
                {"match": "old.azurecr.io/win/*", "os": "linux", "credentials": "anonymous"},
            ],
        ),
    )
    assert found.credentials_of("x.azurecr.io/a") == ("ClusterPullPolicy/a", "nodeIdentity")
    assert found.credentials_of("old.azurecr.io/win/a") == ("ClusterPullPolicy/b", "anonymous")
    assert found.credentials_of("ghcr.io/a") is None
    assert found.vouches_for("x.azurecr.io/a") == "ClusterPullPolicy/a"
    assert found.os_rule("old.azurecr.io/win/a") == ImageOsRule("old.azurecr.io/win/*", "linux")
    assert found.os_rule("x.azurecr.io/a") == ImageOsRule("*.azurecr.io", "windows")
    assert found.os_rule("ghcr.io/a") is None


def test_nodes_add_up_and_credentials_are_one_word() -> None:
    found = of(
        clusterwide("a", nodes={"rewrites": ["docker.io"], "credentials": "listed", "credentialHosts": ["ghcr.io"]}),
        clusterwide("b", nodes={"rewrites": ["quay.io"], "preloaded": ["registry.k8s.io"], "credentials": "none"}),
    )
    assert (found.is_pulled_elsewhere("quay.io/a"), found.is_pulled_elsewhere("ghcr.io/a")) == (True, False)
    assert found.vouches_for("docker.io/library/a") == "ClusterPullPolicy/a"
    assert found.preloaded.first("registry.k8s.io/pause") == "ClusterPullPolicy/b"
    assert (found.node_credentials, bool(found.credential_hosts.find("ghcr.io/a"))) == ("listed", True)


class TestDelegation:
    CHECKS = (
        ("PULL201", {"check": "PULL201", "confidence": "advisory"}),
        ("PULL304", {"check": "PULL304", "confidence": "certain"}),
    )

    def test_what_is_stricter_always_holds(self) -> None:
        found = of(
            clusterwide("a", templates="warn", allowedRegistries=["*.azurecr.io"]),
            owners(
                templates="deny",
                allowedRegistries=["contoso.azurecr.io"],
                confidence=[rule for _, rule in self.CHECKS],
                registries=[{"match": "r.example", "credentials": "required"}],
            ),
        )
        assert found.default.deny_templates
        assert [one.source for one in found.allowed] == ["ClusterPullPolicy/a", "PullPolicy/shop/own"]
        assert found.overrides["PULL201"].of(Confidence.CERTAIN) is Confidence.CERTAIN
        assert found.overrides["PULL304"].of(Confidence.LIKELY) is Confidence.CERTAIN
        assert found.credentials_of("r.example/a") == ("PullPolicy/shop/own", "required")

    def test_an_owner_vouches_for_no_registry(self) -> None:
        assert (
            of(owners(registries=[{"match": "azureacr.io", "credentials": "required"}])).vouches_for("azureacr.io/a")
            is None
        )

    def test_what_is_weaker_is_refused_and_told(self) -> None:
        policies = (
            clusterwide("a"),
            owners(
                levels={"enforce": "off", "warn": "advisory"},
                registries=[{"match": "r.example", "credentials": "anonymous"}],
                exemptions=[{"name": "x", "images": ["ghcr.io"], **UNTIL}],
            ),
        )
        found = of(*policies)
        assert (found.credentials_of("r.example/a"), bool(found.exemptions)) == (None, False)
        assert conflicts(*policies) == [
            ("PullPolicy/shop/own", "registries[r.example]", "no ClusterPullPolicy delegates it"),
            ("PullPolicy/shop/own", "exemptions", "no ClusterPullPolicy delegates it"),
            ("PullPolicy/shop/own", "levels.enforce", "no ClusterPullPolicy delegates it"),
        ]

    def test_what_is_delegated_holds(self) -> None:
        policies = (
            clusterwide("a", delegate=["levels", "confidence", "registries", "exemptions"]),
            owners(
                levels={"enforce": "off"},
                registries=[{"match": "r.example", "credentials": "anonymous", "os": "windows"}],
                confidence=[{"check": "PULL201", "confidence": "advisory"}],
                exemptions=[{"name": "x", "images": ["ghcr.io"], **UNTIL}],
            ),
        )
        found = of(*policies)
        assert found.credentials_of("r.example/a") == ("PullPolicy/shop/own", "anonymous")
        assert found.overrides == {"PULL201": Override(exactly=Confidence.ADVISORY)}
        assert [one.source for one in found.exemptions.all] == ["PullPolicy/shop/own"]
        assert conflicts(*policies) == []
        assert PolicyBook(BASE, policies).policy("shop", {}).modes.enforce is Level.OFF

    def test_the_allow_list_is_never_weakened(self) -> None:
        found = of(
            clusterwide("a", delegate=["confidence"]),
            owners(confidence=[{"check": "PULL802", "confidence": "advisory"}]),
        )
        assert found.overrides["PULL802"].of(Confidence.CERTAIN) is Confidence.CERTAIN

    def test_an_exemption_from_the_allow_list_does_not_hold_and_is_told(self) -> None:
        policies = (
            clusterwide("a", delegate=["exemptions"]),
            owners(exemptions=[{"name": "x", "checks": ["PULL304", "PULL802"], **UNTIL}]),
        )
        assert conflicts(*policies) == [
            ("PullPolicy/shop/own", "exemptions[x].checks[PULL802]", "no ClusterPullPolicy delegates it")
        ]

    @pytest.mark.parametrize(
        ("cluster", "own", "delegated", "source"),
        [
            (None, "likely", (), "PullPolicy/shop/own"),
            ("likely", "certain", (), "PullPolicy/shop/own"),
            ("certain", "likely", (), "ClusterPullPolicy/a"),
            ("certain", "likely", ("confidence",), "PullPolicy/shop/own"),
        ],
    )
    def test_how_sure_a_check_is_has_the_source_whose_word_holds(
        self, cluster: str | None, own: str, delegated: tuple[str, ...], source: str
    ) -> None:
        said = [{"check": "PULL304", "confidence": cluster}] if cluster else []
        found = of(
            clusterwide("a", confidence=said, delegate=list(delegated)),
            owners(confidence=[{"check": "PULL304", "confidence": own}]),
        )
        assert found.sources["confidence.PULL304"] == source

    def test_templates_that_the_owners_deny_are_their_word(self) -> None:
        assert of(clusterwide("a", templates="warn"), owners(templates="deny")).sources["templates"] == (
            "PullPolicy/shop/own"
        )
        assert of(clusterwide("a", templates="deny"), owners(templates="deny")).sources["templates"] == (
            "ClusterPullPolicy/a"
        )

    def test_another_namespace_is_not_meant(self) -> None:
        assert of(owners(namespace="other", levels={"enforce": "advisory"})) == BASE


def test_a_namespace_that_could_not_be_read_keeps_the_strictest_floor_it_may_have() -> None:
    book = PolicyBook(
        BASE,
        [
            clusterwide("a", namespaceSelector={"matchLabels": {"team": "a"}}, floor={"enforce": "likely"}),
            clusterwide(
                "b",
                namespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "other"}},
                floor={"enforce": "advisory"},
            ),
            clusterwide("c", floor={"enforce": "certain"}, templates="warn"),
        ],
    )
    assert book.unread("shop").modes == Modes(Level.LIKELY, Level.LIKELY, Level.ADVISORY, deny_templates=False)
    assert book.unread("other").modes.enforce is Level.ADVISORY


def test_a_namespace_is_worked_out_once() -> None:
    book, labels = PolicyBook(BASE, [clusterwide("a", templates="warn")]), {"team": "a"}
    assert book.policy("shop", labels) is book.policy("shop", labels)
    assert book.policy("shop", {"team": "a"}).cluster is book.policy("other", {"team": "b"}).cluster


def test_conflicts_are_told_once_however_many_namespaces() -> None:
    book = PolicyBook(BASE, [clusterwide("a", templates="warn"), clusterwide("b", templates="deny")])
    assert book.conflicts((f"n{number}", {}) for number in range(50)) == {
        "ClusterPullPolicy/b": (Conflict("ClusterPullPolicy/b", "templates", "ClusterPullPolicy/a"),)
    }
