"""Certificates judged by those who will judge them: OpenSSL, cryptography's path validation, a TLS handshake."""

import datetime as dt
import os
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from webhook.tls import issue

NOW = dt.datetime(2026, 5, 17, 12, 30, 15, 987654, tzinfo=dt.UTC)
WHOLE = NOW.replace(microsecond=0)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
NAMES = ["webhook.pullproof.svc", "webhook.pullproof.svc.cluster.local"]

AUTHORITY = issue.new_authority(NOW)
SERVING = issue.issue_serving(AUTHORITY, NAMES, ["10.0.0.7", "fd00::7"], NOW)


def loaded(pair):
    return x509.load_pem_x509_certificate(pair.cert_pem)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


def test_the_authority_may_sign_serving_certificates_and_nothing_below():
    certificate = loaded(AUTHORITY)
    assert certificate.not_valid_before_utc == WHOLE - HOUR
    assert certificate.not_valid_after_utc == WHOLE + 3650 * DAY
    constraints = extension(certificate, x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = extension(certificate, x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert certificate.public_key().curve.name == "secp256r1"


def test_the_serving_certificate_is_what_a_go_client_asks_for():
    certificate = loaded(SERVING)
    assert certificate.not_valid_before_utc == WHOLE - HOUR
    assert certificate.not_valid_after_utc == WHOLE + 90 * DAY
    names = extension(certificate, x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == NAMES
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "fd00::7"]
    assert list(extension(certificate, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = extension(certificate, x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
    assert extension(certificate, x509.BasicConstraints).value.ca is False
    key_identifier = extension(loaded(AUTHORITY), x509.SubjectKeyIdentifier).value.digest
    assert extension(certificate, x509.AuthorityKeyIdentifier).value.key_identifier == key_identifier


def test_a_name_longer_than_a_common_name_may_be_is_no_trouble():
    name = f"webhook.{'n' * 63}.svc"
    pair = issue.issue_serving(AUTHORITY, [name], [], NOW)
    assert issue.check_pair(pair.cert_pem, pair.key_pem, AUTHORITY.cert_pem, [name], NOW) == ()


def test_no_two_certificates_share_a_serial_and_no_two_authorities_a_name():
    authorities = [loaded(issue.new_authority(NOW)) for _ in range(20)]
    serving = [loaded(issue.issue_serving(AUTHORITY, NAMES, [], NOW)) for _ in range(20)]
    assert len({certificate.serial_number for certificate in authorities + serving}) == 40
    assert len({certificate.subject for certificate in authorities}) == 20


def test_openssl_accepts_the_chain_by_its_strict_rules(tmp_path):
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.cert_pem)
    (tmp_path / "tls.crt").write_bytes(SERVING.cert_pem)
    command = [
        "openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", str(int(NOW.timestamp())),
        "-verify_hostname", NAMES[0], "-CAfile", tmp_path / "ca.crt", tmp_path / "tls.crt",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, f"{tmp_path / 'tls.crt'}: OK"), done.stderr


def path_is_valid(pair, bundle, name, now):
    verifier = (
        PolicyBuilder().store(Store(x509.load_pem_x509_certificates(bundle))).time(now)
        .build_server_verifier(x509.DNSName(name))
    )  # fmt: skip
    try:
        verifier.verify(loaded(pair), [])
    except VerificationError:
        return False
    return True


def test_path_validation_agrees_before_during_and_after_the_lifetime():
    for now in (WHOLE - 2 * HOUR, WHOLE - HOUR, NOW, WHOLE + 90 * DAY, WHOLE + 91 * DAY):
        problems = issue.check_pair(SERVING.cert_pem, SERVING.key_pem, AUTHORITY.cert_pem, NAMES, now)
        assert path_is_valid(SERVING, AUTHORITY.cert_pem, NAMES[0], now) == (problems == ())


def test_in_a_rotation_one_bundle_serves_old_and_new():
    successor = issue.new_authority(NOW + DAY)
    bundle = AUTHORITY.cert_pem + successor.cert_pem
    later = issue.issue_serving(successor, NAMES, [], NOW + DAY)
    for pair in (SERVING, later):
        assert path_is_valid(pair, bundle, NAMES[0], NOW + DAY)
        assert issue.check_pair(pair.cert_pem, pair.key_pem, bundle, NAMES, NOW + DAY) == ()


def test_a_handshake_succeeds(tmp_path):
    now = dt.datetime.now(dt.UTC)
    authority = issue.new_authority(now)
    pair = issue.issue_serving(authority, NAMES, [], now)
    (tmp_path / "both.pem").write_bytes(pair.cert_pem + pair.key_pem)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tmp_path / "both.pem")
    client_context = ssl.create_default_context(cadata=authority.cert_pem.decode())
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=NAMES[1])
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == server.version() == "TLSv1.3"


def test_a_pair_shows_its_key_in_no_text():
    for text in (repr(SERVING), str(SERVING), f"{SERVING}"):
        assert "CERTIFICATE" in text
        assert "PRIVATE" not in text


def test_renewal_is_due_at_two_thirds_of_the_life():
    start, end = WHOLE - HOUR, WHOLE + 90 * DAY
    assert issue.expiry(SERVING.cert_pem) == end
    assert issue.renew_at(SERVING.cert_pem) == start + (end - start) * 2 / 3
    assert issue.renew_at(SERVING.cert_pem) - WHOLE == dt.timedelta(days=59, hours=23, minutes=40)


def test_a_serving_certificate_ends_with_its_authority():
    authority = issue.new_authority(NOW, 10 * DAY)
    assert issue.expiry(issue.issue_serving(authority, NAMES, [], NOW).cert_pem) == WHOLE + 10 * DAY


def test_a_time_in_another_zone_is_the_same_time():
    there = NOW.astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert issue.expiry(issue.issue_serving(AUTHORITY, NAMES, [], there).cert_pem) == WHOLE + 90 * DAY


NAIVE = NOW.replace(tzinfo=None)


@pytest.mark.parametrize(
    "call",
    [
        lambda: issue.new_authority(NAIVE),
        lambda: issue.issue_serving(AUTHORITY, NAMES, [], NAIVE),
        lambda: issue.check_pair(b"", b"", b"", [], NAIVE),
    ],
    ids=["new_authority", "issue_serving", "check_pair"],
)
def test_a_time_without_a_zone_is_refused(call):
    with pytest.raises(ValueError, match="the time needs a time zone"):
        call()


OTHER = issue.new_authority(NOW)

REFUSED = {
    "no names": (AUTHORITY, [], [], NOW, "a serving certificate needs at least one name"),
    "no address": (AUTHORITY, [], ["10.0.0"], NOW, "not a name that a certificate can carry: "),
    "no ASCII": (AUTHORITY, ["bücher.example"], [], NOW, "not a name that a certificate can carry: "),
    "expired": (AUTHORITY, NAMES, [], NOW + 3651 * DAY, "the authority can't sign: the authority expired at "),
    "early": (AUTHORITY, NAMES, [], NOW - DAY, "the authority can't sign: the authority is not valid before "),
    "not its key": (
        issue.Pair(AUTHORITY.cert_pem, OTHER.key_pem), NAMES, [], NOW,
        "the authority can't sign: the private key does not belong to the certificate",
    ),
    "no authority": (SERVING, NAMES, [], NOW, "the authority can't sign: the certificate is not an authority's"),
    "rubbish": (issue.Pair(b"a", b"b"), NAMES, [], NOW, "the authority is no pair of PEM certificate and key"),
}  # fmt: skip


@pytest.mark.parametrize(("authority", "dns", "addresses", "now", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_issued_says_why(authority, dns, addresses, now, words):
    with pytest.raises(issue.CannotIssue) as raised:
        issue.issue_serving(authority, dns, addresses, now)
    assert str(raised.value).startswith(words)


def made_by_others(*, authority=None, usage=ExtendedKeyUsageOID.SERVER_AUTH, names=NAMES, ca=False):
    """A certificate such as cert-manager or an in-house authority may make it."""
    signer = authority or AUTHORITY
    key = ec.generate_private_key(ec.SECP384R1())
    builder = (
        x509.CertificateBuilder()
        .issuer_name(loaded(signer).subject)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"another's {os.urandom(4).hex()}")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(serialization.load_pem_private_key(signer.key_pem, None), hashes.SHA256())
    return issue.Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def encrypted(pair):
    return serialization.load_pem_private_key(pair.key_pem, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )


BETWEEN = made_by_others(ca=True)
BELOW = made_by_others(authority=BETWEEN)
CLIENT = made_by_others(usage=ExtendedKeyUsageOID.CLIENT_AUTH)
NAMELESS = made_by_others(names=[])
WILD = made_by_others(names=["*.pullproof.svc"])
BY_LEAF = made_by_others(authority=SERVING)
OLD = issue.new_authority(NOW - 20 * DAY, 10 * DAY)
BY_OLD = issue.issue_serving(OLD, NAMES, [], NOW - 15 * DAY)
CA = AUTHORITY.cert_pem

CHECKED = {
    "good": (SERVING, CA, [*NAMES, "10.0.0.7", "fd00:0::7", "WEBHOOK.pullproof.svc."], NOW, ()),
    "no names asked": (SERVING, CA, [], NOW, ()),
    "chain through an intermediate": (
        issue.Pair(BELOW.cert_pem + BETWEEN.cert_pem, BELOW.key_pem), CA, NAMES, NOW, ()
    ),
    "intermediate left out": (BELOW, CA, NAMES, NOW, ("the certificate is not signed by the authority",)),
    "intermediate in the bundle": (BELOW, BETWEEN.cert_pem, NAMES, NOW, ()),
    "itself in the bundle": (BELOW, BELOW.cert_pem, NAMES, NOW, ()),
    "signed by a leaf": (
        issue.Pair(BY_LEAF.cert_pem + SERVING.cert_pem, BY_LEAF.key_pem), CA, NAMES, NOW,
        ("the certificate is not signed by the authority",),
    ),
    "wildcard": (WILD, CA, ["webhook.pullproof.svc"], NOW, ()),
    "wildcard, two labels": (
        WILD, CA, ["a.webhook.pullproof.svc", "pullproof.svc"], NOW,
        ("the certificate does not cover a.webhook.pullproof.svc", "the certificate does not cover pullproof.svc"),
    ),
    "no usage given": (made_by_others(usage=None), CA, NAMES, NOW, ()),
    "for clients": (
        CLIENT, CA, NAMES, NOW, ("the certificate is not for servers: its extended key usage lacks serverAuth",)
    ),
    "nameless": (
        NAMELESS, CA, NAMES, NOW, ("the certificate has no subjectAltName, and clients look nowhere else",)
    ),
    "other name": (SERVING, CA, ["other.svc", "10.0.0.8"], NOW,
        ("the certificate does not cover other.svc", "the certificate does not cover 10.0.0.8"),
    ),
    "another authority": (SERVING, OTHER.cert_pem, NAMES, NOW, ("the certificate is not signed by the authority",)),
    "another's key": (
        issue.Pair(SERVING.cert_pem, OTHER.key_pem), CA, NAMES, NOW,
        ("the private key does not belong to the certificate",),
    ),
    "encrypted key": (
        issue.Pair(SERVING.cert_pem, encrypted(SERVING)), CA, NAMES, NOW, ("the private key is encrypted",)
    ),
    "no key": (issue.Pair(SERVING.cert_pem, b""), CA, NAMES, NOW, ("the private key is not PEM",)),
    "no certificate": (issue.Pair(b"", SERVING.key_pem), CA, NAMES, NOW, ("the certificate is not PEM",)),
    "no bundle": (SERVING, b"", NAMES, NOW, ("the authority's certificate is not PEM",)),
    "expired": (
        SERVING, CA, NAMES, NOW + 91 * DAY, ("the certificate expired at 2026-08-15 12:30:15 UTC",)
    ),
    "early": (
        SERVING, CA, NAMES, NOW - 2 * HOUR,
        (
            "the certificate is not valid before 2026-05-17 11:30:15 UTC",
            "the authority is not valid before 2026-05-17 11:30:15 UTC",
        ),
    ),
    "authority expired": (
        BY_OLD, OLD.cert_pem, NAMES, NOW,
        (
            "the certificate expired at 2026-05-07 12:30:15 UTC",
            "the authority expired at 2026-05-07 12:30:15 UTC",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("pair", "bundle", "names", "now", "problems"), CHECKED.values(), ids=CHECKED.keys())
def test_a_check_says_in_words_what_is_broken(pair, bundle, names, now, problems):
    assert issue.check_pair(pair.cert_pem, pair.key_pem, bundle, names, now) == problems
