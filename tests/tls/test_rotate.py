"""Certificates that stay valid: each step by itself, and years of them on a real API server with a clock of our own.

The judge is always the same: would an API server that trusts the caBundle take what the webhook serves, now.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from tests.waiting import eventually
from webhook.sources.connection import connect
from webhook.sources.errors import ConflictError, NotFoundError
from webhook.sources.writing import MANAGER, NotLeading, Writer
from webhook.tls.issue import Pair, check_pair, issue_serving, new_authority
from webhook.tls.rotate import RENEW, Rotation, Settings, Step, Stored, bundle, plan, read_status
from webhook.tls.secret import PairMissing, pair_from_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.controlplane.controlplane import ControlPlane
    from webhook.sources.connection import Connection

NOW = dt.datetime(2026, 5, 17, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
NAMES = ("pullproof.pullproof.svc",)
AUTHORITY = new_authority(NOW)
OTHER = new_authority(NOW)
EXPIRED_AUTHORITY = new_authority(NOW - 20 * DAY, 10 * DAY)
SETTINGS = Settings("pullproof/pullproof-tls", "pullproof/pullproof-ca", "pullproof", NAMES)


def serving(authority: Pair = AUTHORITY, now: dt.datetime = NOW, names: tuple[str, ...] = NAMES) -> Pair:
    return issue_serving(authority, names, (), now)


GOOD = Stored(authority=AUTHORITY, serving=serving(), serving_ca=AUTHORITY.cert_pem)
BROKEN_KEY = Pair(AUTHORITY.cert_pem, OTHER.key_pem)
JOINING = replace(GOOD, next=OTHER)
LEAVING = replace(GOOD, authority=OTHER, serving=serving(OTHER), old_pem=AUTHORITY.cert_pem)


@pytest.mark.parametrize(
    ("stored", "now", "trusted", "step"),
    [
        pytest.param(Stored(), NOW, -1, Step.NEW_AUTHORITY, id="nothing-yet"),
        pytest.param(Stored(authority=AUTHORITY), NOW, -1, Step.NEW_SERVING, id="authority-only"),
        pytest.param(GOOD, NOW, 9999, Step.NOTHING, id="all-good"),
        pytest.param(GOOD, NOW + 59 * DAY, 9999, Step.NOTHING, id="before-two-thirds"),
        pytest.param(GOOD, NOW + 60 * DAY, 9999, Step.NEW_SERVING, id="at-two-thirds"),
        pytest.param(GOOD, NOW + 91 * DAY, 9999, Step.NEW_SERVING, id="expired"),
        pytest.param(replace(GOOD, serving=None), NOW, 0, Step.NEW_SERVING, id="serving-gone"),
        pytest.param(replace(GOOD, serving=Pair(b"x", b"y")), NOW, 0, Step.NEW_SERVING, id="serving-garbage"),
        pytest.param(replace(GOOD, serving=serving(OTHER)), NOW, 0, Step.NEW_SERVING, id="signed-by-a-stranger"),
        pytest.param(replace(GOOD, serving=serving(names=("other.svc",))), NOW, 0, Step.NEW_SERVING, id="other-name"),
        pytest.param(replace(GOOD, asked="serving"), NOW, 0, Step.NEW_SERVING, id="asked-serving"),
        pytest.param(replace(GOOD, asked="authority"), NOW, 0, Step.NEXT_AUTHORITY, id="asked-authority"),
        pytest.param(replace(GOOD, asked="whatever"), NOW, 0, Step.NOTHING, id="asked-nonsense"),
        pytest.param(JOINING, NOW, 0, Step.NOTHING, id="joins-just-now"),
        pytest.param(JOINING, NOW, -1, Step.NOTHING, id="joins-not-everywhere"),
        pytest.param(JOINING, NOW, 60, Step.PROMOTE, id="joined"),
        pytest.param(replace(JOINING, authority=OTHER, next=None), NOW, 60, Step.NEW_SERVING, id="promoted"),
        pytest.param(replace(JOINING, next=BROKEN_KEY), NOW, 60, Step.NEXT_AUTHORITY, id="joins-broken"),
        pytest.param(JOINING, NOW + 60 * DAY, 0, Step.NEW_SERVING, id="renewal-while-one-joins"),
        pytest.param(LEAVING, NOW, 60, Step.NOTHING, id="leaves-later"),
        pytest.param(LEAVING, NOW, 3600, Step.DROP_OLD, id="leaves"),
        pytest.param(LEAVING, NOW, -1, Step.NOTHING, id="leaves-not-everywhere"),
        # a broken authority whose certificate still vouches for what is served: nothing may break
        pytest.param(replace(GOOD, authority=BROKEN_KEY), NOW, 9999, Step.NEXT_AUTHORITY, id="authority-key-broken"),
        pytest.param(replace(GOOD, authority=None), NOW, 9999, Step.NEXT_AUTHORITY, id="authority-secret-lost"),
        pytest.param(replace(JOINING, authority=None), NOW, 0, Step.NOTHING, id="lost-and-next-joins"),
        pytest.param(replace(JOINING, authority=None), NOW, 60, Step.PROMOTE, id="lost-and-next-joined"),
        # nothing works as it is: no waiting
        pytest.param(replace(GOOD, authority=EXPIRED_AUTHORITY), NOW, 0, Step.NEW_AUTHORITY, id="authority-expired"),
        pytest.param(Stored(authority=BROKEN_KEY), NOW, 0, Step.NEW_AUTHORITY, id="broken-and-nothing-served"),
        pytest.param(Stored(next=OTHER), NOW, -1, Step.PROMOTE, id="only-next-is-there"),
    ],
)
def test_the_next_step(stored: Stored, now: dt.datetime, trusted: float, step: Step) -> None:
    assert plan(stored, NAMES, now, trusted=trusted, settings=SETTINGS) is step


def test_an_authority_is_replaced_at_two_thirds_of_its_life() -> None:
    now = NOW + 2434 * DAY
    stored = replace(GOOD, serving=serving(now=now))
    assert plan(stored, NAMES, now, trusted=0, settings=SETTINGS) is Step.NEXT_AUTHORITY


def test_the_bundle_has_each_authority_once_and_nothing_that_is_none() -> None:
    stored = replace(LEAVING, next=AUTHORITY, old_pem=AUTHORITY.cert_pem + EXPIRED_AUTHORITY.cert_pem)
    assert [str(one.subject) for one in x509.load_pem_x509_certificates(bundle(stored))] == [
        str(x509.load_pem_x509_certificate(pem).subject)
        for pem in (OTHER.cert_pem, AUTHORITY.cert_pem, EXPIRED_AUTHORITY.cert_pem)
    ]
    assert bundle(replace(GOOD, old_pem=b"no certificate")) == AUTHORITY.cert_pem
    assert bundle(Stored()) == b""


# On a real API server


class Place:
    """A namespace and a pair of webhook configurations of a test's own, and a clock that it moves."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self.configuration = namespace
        self.names = (f"pullproof.{namespace}.svc",)
        self.now = dt.datetime.now(dt.UTC)
        self.seconds = 0.0
        self.allowed = True
        self.settings = Settings(
            f"{namespace}/pullproof-tls", f"{namespace}/pullproof-ca", self.configuration, self.names
        )
        self.connection = connect(str(plane.kubeconfig))
        self.rotation = self.new_rotation()

    def new_rotation(self) -> Rotation:
        """As another process would start."""
        return Rotation(
            self.connection,
            Writer(self.connection, lambda: self.allowed),
            self.settings,
            clock=lambda: self.seconds,
            wall=lambda: self.now,
        )

    def wait(self, seconds: float) -> Step:
        """Let time go by, in steps of a minute at most, with a look after each."""
        steps = [Step.NOTHING]
        while seconds > 0:
            part = min(seconds, 60.0)
            seconds -= part
            self.seconds += part
            self.now += dt.timedelta(seconds=part)
            steps.append(self.rotation.run())
            self.check()
        return steps[-1]

    def secret(self, name: str = "pullproof-tls") -> dict[str, bytes]:
        found = json.loads(self.plane.kubectl("-n", self.namespace, "get", "secret", name, "-o", "json").stdout)
        return {key: base64.b64decode(value) for key, value in found["data"].items()}

    def configuration_of(self, kind: str) -> dict[str, Any]:
        found = self.plane.kubectl("get", kind, self.configuration, "-o", "json", "--show-managed-fields").stdout
        return json.loads(found)

    def bundles(self) -> list[bytes]:
        return [
            base64.b64decode(hook["clientConfig"].get("caBundle", ""))
            for kind in ("validatingwebhookconfiguration", "mutatingwebhookconfiguration")
            for hook in self.configuration_of(kind)["webhooks"]
        ]

    def check(self) -> None:
        """What is served is trusted through every configuration: the promise, at any moment."""
        pair = self.secret()
        for ca_pem in self.bundles():
            assert check_pair(pair["tls.crt"], pair["tls.key"], ca_pem, self.names, self.now) == ()

    def overwrite(self, value: bytes, manager: str = "somebody") -> None:
        patch = [
            {"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": base64.b64encode(value).decode()}
        ]
        self.plane.kubectl(
            "patch", "validatingwebhookconfiguration", self.configuration, "--type=json", "-p", json.dumps(patch),
            f"--field-manager={manager}",
        )  # fmt: skip


def webhook(name: str, namespace: str) -> dict[str, Any]:
    return {
        "name": name,
        "clientConfig": {"service": {"namespace": namespace, "name": "pullproof", "path": "/x", "port": 443}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "namespaceSelector": {"matchLabels": {"nobody": "has-this"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }


@pytest.fixture
def place(control_plane: ControlPlane) -> Iterator[Place]:
    name = f"certs-{secrets.token_hex(4)}"
    control_plane.kubectl("create", "namespace", name)
    for kind, hooks in (("Validating", ["a.pullproof.dev", "b.pullproof.dev"]), ("Mutating", ["m.pullproof.dev"])):
        document = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": f"{kind}WebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [webhook(hook, name) for hook in hooks],
        }
        control_plane.kubectl("apply", "-f", "-", input=json.dumps(document))
    yield Place(control_plane, name)
    control_plane.kubectl("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", name)
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


def test_an_empty_cluster_is_served_and_trusted_after_one_look(place: Place) -> None:
    assert place.rotation.run() is Step.NOTHING
    place.check()
    assert sorted(place.secret()) == ["ca.crt", "tls.crt", "tls.key"]
    assert "ca.key" in place.secret("pullproof-ca")
    assert len(set(place.bundles())) == 1


def test_the_bundle_is_the_only_field_that_is_taken(place: Place) -> None:
    before = [place.configuration_of(kind)["webhooks"] for kind in ("validatingwebhookconfiguration",)]
    place.rotation.run()
    after = place.configuration_of("validatingwebhookconfiguration")
    owned = next(entry for entry in after["metadata"]["managedFields"] if entry["manager"] == MANAGER)
    assert owned["operation"] == "Apply"
    assert owned["fieldsV1"] == {
        "f:webhooks": {
            f'k:{{"name":"{name}"}}': {".": {}, "f:clientConfig": {"f:caBundle": {}}, "f:name": {}}
            for name in ("a.pullproof.dev", "b.pullproof.dev")
        }
    }
    for hook in after["webhooks"]:
        del hook["clientConfig"]["caBundle"]
    assert [after["webhooks"]] == before


def test_an_apply_of_the_manifests_leaves_the_bundle(place: Place) -> None:
    place.rotation.run()
    bundles = place.bundles()
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": place.configuration, "labels": {"upgraded": "yes"}},
        "webhooks": [webhook("m.pullproof.dev", place.namespace)],
    }
    place.plane.kubectl("apply", "-f", "-", input=json.dumps(document))
    place.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(document))
    assert place.bundles() == bundles


def test_a_webhook_that_is_added_later_is_trusted_too(place: Place) -> None:
    place.rotation.run()
    patch = [{"op": "add", "path": "/webhooks/-", "value": webhook("late.pullproof.dev", place.namespace)}]
    place.plane.kubectl(
        "patch", "mutatingwebhookconfiguration", place.configuration, "--type=json", "-p", json.dumps(patch)
    )
    place.rotation.run()
    assert len(set(place.bundles())) == 1


def test_an_overwritten_bundle_is_set_again_ever_more_slowly(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    place.rotation.run()
    good = place.bundles()[0]
    repaired_at = []
    for _ in range(80):  # somebody overwrites it before every look, each 5 s
        if place.bundles()[0] == good:
            place.overwrite(OTHER.cert_pem)
        place.rotation.run()
        if place.bundles()[0] == good:
            repaired_at.append(place.seconds)
        place.seconds += 5
    assert repaired_at == [0, 5, 15, 35, 75, 155, 315]
    assert "the caBundle was overwritten by somebody; it is set again" in caplog.text
    place.seconds += 2000
    place.rotation.run()
    place.check()
    place.overwrite(OTHER.cert_pem)
    place.seconds += 400
    place.rotation.run()
    place.check()


def test_ninety_days_are_renewed_at_two_thirds_and_the_authority_stays(place: Place) -> None:
    place.rotation.run()
    first, bundles = place.secret(), place.bundles()
    place.now += 59 * DAY
    place.rotation.run()
    assert place.secret() == first
    place.now += DAY
    place.rotation.run()
    assert place.secret()["tls.crt"] != first["tls.crt"]
    assert place.bundles() == bundles
    place.check()


def test_an_expired_pair_is_replaced_at_the_first_look(place: Place) -> None:
    place.rotation.run()
    first = place.secret()
    place.now += 200 * DAY
    place.rotation = place.new_rotation()
    place.rotation.run()
    assert place.secret()["tls.crt"] != first["tls.crt"]
    place.check()


def test_after_eleven_years_of_silence_everything_is_new_at_once(place: Place) -> None:
    place.rotation.run()
    place.now += 4015 * DAY
    place.rotation = place.new_rotation()
    place.rotation.run()
    place.check()


def test_an_authority_is_replaced_by_overlap(place: Place) -> None:
    place.rotation.run()
    old = place.secret()
    old_bundle = place.bundles()[0]
    place.plane.kubectl("-n", place.namespace, "annotate", "secret", "pullproof-ca", f"{RENEW}=authority")
    place.rotation.run()
    place.check()
    both = place.bundles()[0]
    assert both.startswith(old_bundle)
    assert both.count(b"BEGIN CERTIFICATE") == 2
    assert place.secret()["tls.crt"] == old["tls.crt"], "what is served changes only when all trust the new authority"
    place.wait(55)
    assert place.secret()["tls.crt"] == old["tls.crt"]
    place.wait(65)
    new = place.secret()
    assert new["tls.crt"] != old["tls.crt"]
    # who still serves the old pair goes on being trusted
    assert check_pair(old["tls.crt"], old["tls.key"], place.bundles()[0], place.names, place.now) == ()
    place.wait(1800)
    assert place.bundles()[0].count(b"BEGIN CERTIFICATE") == 2
    place.wait(2400)
    last = place.bundles()[0]
    assert last.count(b"BEGIN CERTIFICATE") == 1
    assert check_pair(old["tls.crt"], old["tls.key"], last, place.names, place.now) != ()
    assert place.secret()["tls.crt"] == new["tls.crt"]
    assert place.secret()["ca.crt"] == last
    assert sorted(place.secret("pullproof-ca")) == ["ca.crt", "ca.key"]


def test_a_leader_that_takes_over_in_the_middle_waits_anew(place: Place) -> None:
    place.rotation.run()
    old = place.secret()
    place.plane.kubectl("-n", place.namespace, "annotate", "secret", "pullproof-ca", f"{RENEW}=authority")
    place.wait(50)
    place.rotation = place.new_rotation()
    place.wait(50)
    assert place.secret()["tls.crt"] == old["tls.crt"]
    place.wait(70)
    assert place.secret()["tls.crt"] != old["tls.crt"]


def test_an_overwritten_bundle_stops_the_overlap(place: Place) -> None:
    place.rotation.run()
    old = place.secret()
    place.plane.kubectl("-n", place.namespace, "annotate", "secret", "pullproof-ca", f"{RENEW}=authority")
    place.wait(50)
    place.overwrite(bundle(Stored(authority=Pair(place.secret()["ca.crt"], b"x")))[: len(old["ca.crt"])])
    place.wait(20)
    assert place.secret()["tls.crt"] == old["tls.crt"]
    place.wait(120)
    assert place.secret()["tls.crt"] != old["tls.crt"]


@pytest.mark.parametrize("secret", ["pullproof-ca", "pullproof-tls"])
@pytest.mark.parametrize("how", ["deleted", "garbage"])
def test_a_lost_secret_never_breaks_what_is_trusted(place: Place, secret: str, how: str) -> None:
    place.rotation.run()
    if how == "deleted":
        place.plane.kubectl("-n", place.namespace, "delete", "secret", secret)
    else:
        garbage = base64.b64encode(b"garbage").decode()
        data = dict.fromkeys(place.secret(secret), garbage)
        place.plane.kubectl("-n", place.namespace, "patch", "secret", secret, "-p", json.dumps({"data": data}))
    place.rotation.run()
    place.check()
    place.wait(5000)
    assert place.bundles()[0].count(b"BEGIN CERTIFICATE") == 1
    assert plan_is_calm(place)


def plan_is_calm(place: Place) -> bool:
    return place.new_rotation().run() is Step.NOTHING


@pytest.mark.parametrize("minutes", [-10, 10, -50, 50])
def test_a_controller_whose_clock_is_off_is_trusted_at_the_true_time(place: Place, minutes: int) -> None:
    true = place.now
    place.now = true + dt.timedelta(minutes=minutes)
    place.rotation.run()
    place.now = true
    place.check()
    # and a successor whose clock is right has nothing to mend
    assert place.new_rotation().run() is Step.NOTHING


def test_without_configurations_the_pair_is_made_all_the_same(place: Place) -> None:
    place.rotation = Rotation(
        place.connection, Writer(place.connection), replace(place.settings, configuration="not-there"),
    )  # fmt: skip
    place.rotation.run()
    pair = place.secret()
    assert check_pair(pair["tls.crt"], pair["tls.key"], pair["ca.crt"], place.names, dt.datetime.now(dt.UTC)) == ()


def test_two_writers_never_both_win(place: Place) -> None:
    """What the election prevents: even so, the second write of the same state is refused by the API server."""
    place.rotation.run()
    place.now += 61 * DAY
    other = place.new_rotation()
    raced: list[Step] = []
    real_read = other._read

    def read_and_lose_time(path: str) -> dict[str, Any]:
        found = real_read(path)
        if path.endswith("pullproof-tls") and not raced:
            raced.append(place.rotation.run())  # the first one acts between the other's look and its step
        return found

    other._read = read_and_lose_time  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        other.run()
    winner = place.secret()
    assert other.run() is Step.NOTHING
    assert place.secret() == winner
    place.check()


def test_who_does_not_lead_writes_nothing(place: Place) -> None:
    place.allowed = False
    with pytest.raises(NotLeading):
        place.rotation.run()
    with pytest.raises(NotFoundError):
        place.connection.get_json(f"/api/v1/namespaces/{place.namespace}/secrets/pullproof-ca", timeout_seconds=10)


def test_labels_and_other_keys_of_a_secret_stay(place: Place) -> None:
    place.rotation.run()
    for name in ("pullproof-ca", "pullproof-tls"):
        place.plane.kubectl("-n", place.namespace, "label", "secret", name, "team=platform")
        extra = json.dumps({"stringData": {"note": "keep"}, "metadata": {"annotations": {"why": "tested"}}})
        place.plane.kubectl("-n", place.namespace, "patch", "secret", name, "-p", extra)
    place.plane.kubectl("-n", place.namespace, "annotate", "secret", "pullproof-ca", f"{RENEW}=serving")
    place.rotation.run()
    for name in ("pullproof-ca", "pullproof-tls"):
        assert place.secret(name)["note"] == b"keep"
        found = json.loads(place.plane.kubectl("-n", place.namespace, "get", "secret", name, "-o", "json").stdout)
        assert found["metadata"]["labels"]["team"] == "platform"
        assert found["metadata"]["annotations"] == {"why": "tested"}


class TestReader:
    """What the webhook makes of the Secret."""

    @pytest.fixture
    def read(self, place: Place) -> Any:
        place.rotation.run()
        return pair_from_secret(place.connection, place.settings.serving_place, clock=lambda: place.now)

    def test_the_pair_as_it_is_now(self, place: Place, read: Any) -> None:
        assert read().cert_pem == place.secret()["tls.crt"]
        place.plane.kubectl("-n", place.namespace, "annotate", "secret", "pullproof-ca", f"{RENEW}=serving")
        before = read()
        place.rotation.run()
        assert read() != before

    def test_an_expired_pair_is_none(self, place: Place, read: Any) -> None:
        place.now += 91 * DAY
        with pytest.raises(PairMissing, match="the certificate expired at"):
            read()

    def test_a_stranger_is_none(self, place: Place, read: Any) -> None:
        data = {"ca.crt": base64.b64encode(OTHER.cert_pem).decode()}
        place.plane.kubectl("-n", place.namespace, "patch", "secret", "pullproof-tls", "-p", json.dumps({"data": data}))
        with pytest.raises(PairMissing, match="is not signed by the authority"):
            read()

    def test_a_key_that_belongs_to_another_never_shows(self, place: Place, read: Any) -> None:
        data = {"tls.key": base64.b64encode(OTHER.key_pem).decode()}
        place.plane.kubectl("-n", place.namespace, "patch", "secret", "pullproof-tls", "-p", json.dumps({"data": data}))
        with pytest.raises(PairMissing) as caught:
            read()
        assert str(caught.value) == (
            f"secret {place.namespace}/pullproof-tls: the private key does not belong to the certificate"
        )

    def test_no_secret_and_no_such_name(self, place: Place) -> None:
        with pytest.raises(NotFoundError):
            pair_from_secret(place.connection, f"{place.namespace}/pullproof-tls")()
        for text in ("pullproof-tls", "a/b/c", "/x", "x/"):
            with pytest.raises(PairMissing, match="names no Secret"):
                pair_from_secret(place.connection, text)


def test_status_tells_what_an_api_server_would_refuse(place: Place) -> None:
    def look(connection: Connection = place.connection) -> Any:
        return read_status(
            connection, place.settings.serving_place, place.settings.authority_place, place.configuration, place.names,
            place.now,
        )  # fmt: skip

    empty = look()
    assert empty.problems == (f"secret {place.namespace}/pullproof-tls holds no serving certificate",)
    place.rotation.run()
    good = look()
    assert (good.problems, good.phase, good.trusted) == ((), "steady", 1)
    assert good.serving_expires - place.now > 89 * DAY
    assert good.authority_expires - place.now > 3649 * DAY
    place.overwrite(OTHER.cert_pem)
    assert look().problems == (
        f"validatingwebhookconfigurations/{place.configuration}: the caBundle of a.pullproof.dev does not trust the "
        "serving certificate",
    )
    place.rotation.run()
    place.plane.kubectl("-n", place.namespace, "annotate", "secret", "pullproof-ca", f"{RENEW}=authority")
    place.rotation.run()
    joining = look()
    assert (joining.problems, joining.phase, joining.trusted) == ((), "a new authority joins", 2)
    eventually(lambda: place.wait(60) is Step.NOTHING and look().phase == "an old authority leaves")
    assert look().problems == ()
