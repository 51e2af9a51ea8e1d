"""Makes and judges the certificates that the API server trusts the webhook by. Pure: bytes and a clock in, bytes out.

Why our own authority: the API server takes any certificate that chains to the webhook configuration's caBundle, and a
cluster without cert-manager has no other issuer that may sign for a Service's name.

Rules: keys ECDSA P-256; everything backdated by an hour, as clocks in a cluster differ; the authority lives ten years,
a serving certificate 90 days and is renewed at two thirds. What a client checks is RFC 5280 as Go's crypto/x509 reads
it: names from the subjectAltName only, extended key usage serverAuth, issuers found by key identifier.

Must not: read a clock, write files, or show a private key in any text.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webhook.errors import PullproofError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

BACKDATED: Final = dt.timedelta(hours=1)
AUTHORITY_LIFETIME: Final = dt.timedelta(days=3650)
SERVING_LIFETIME: Final = dt.timedelta(days=90)

_LONGEST_CHAIN: Final = 8


class CannotIssue(PullproofError):
    """The authority can't sign this certificate."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM (PKCS #8, not encrypted). Its text never shows the key."""

    cert_pem: bytes
    key_pem: bytes = field(repr=False)


def new_authority(now: dt.datetime, lifetime: dt.timedelta = AUTHORITY_LIFETIME) -> Pair:
    """A self-signed authority that may sign serving certificates and nothing below them.

    Each has a name of its own: during a rotation two of them stand in one bundle.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"pullproof authority {serial:040x}"[:32])])
    start, end = _validity(now, lifetime)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=serial)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue_serving(
    authority: Pair,
    dns_names: Sequence[str],
    ip_addresses: Sequence[str],
    now: dt.datetime,
    lifetime: dt.timedelta = SERVING_LIFETIME,
) -> Pair:
    """A serving certificate for these names, which never outlives its authority.

    Raises `CannotIssue`: no names, a name that is none, an authority that is not valid now or whose key is not its own.
    """
    if not dns_names and not ip_addresses:
        raise CannotIssue("a serving certificate needs at least one name")
    issuer, issuer_key = _load_authority(authority, now)
    key = ec.generate_private_key(ec.SECP256R1())
    start, end = _validity(now, lifetime)
    certificate = (
        x509.CertificateBuilder(
            issuer_name=issuer.subject,
            # Clients read names from the subjectAltName alone, and a common name is too short for many a Service's.
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pullproof")]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
        )
        .not_valid_before(max(start, issuer.not_valid_before_utc))
        .not_valid_after(min(end, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(dns_names, ip_addresses)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def expiry(cert_pem: bytes) -> dt.datetime:
    """The last moment at which the (first) certificate is valid, UTC. Raises ValueError for what is no certificate."""
    return x509.load_pem_x509_certificate(cert_pem).not_valid_after_utc


def renew_at(cert_pem: bytes) -> dt.datetime:
    """When to replace the (first) certificate: at two thirds of its life, UTC. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(cert_pem)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return start + (end - start) * 2 / 3


def authority_problems(authority: Pair, now: dt.datetime) -> tuple[str, ...]:
    """Why this authority can't sign now, in words; empty is good."""
    try:
        _load_authority(authority, now)
    except CannotIssue as error:
        return (str(error),)
    return ()


def check_pair(
    cert_pem: bytes, key_pem: bytes, ca_pem: bytes, names: Iterable[str], now: dt.datetime
) -> tuple[str, ...]:
    """What would keep the API server from trusting this pair with this caBundle at this time, in words; empty is good.

    `cert_pem` is the chain as served, leaf first; `ca_pem` one or more certificates; `names` are DNS names or IP
    addresses that clients connect to.
    """
    _aware(now)
    try:
        leaf, *between = x509.load_pem_x509_certificates(cert_pem)
    except ValueError:
        return ("the certificate is not PEM",)
    problems = [*_key_problems(leaf, key_pem), *_time_problems("certificate", leaf, now)]
    try:
        roots = x509.load_pem_x509_certificates(ca_pem)
    except ValueError:
        problems.append("the authority's certificate is not PEM")
    else:
        problems += _chain_problems(leaf, between, roots, now)
    return (*problems, *_usage_problems(leaf), *_name_problems(leaf, names))


def _aware(now: dt.datetime) -> None:
    if now.tzinfo is None:
        raise ValueError("the time needs a time zone")


def _validity(now: dt.datetime, lifetime: dt.timedelta) -> tuple[dt.datetime, dt.datetime]:
    _aware(now)
    whole = now.astimezone(dt.UTC).replace(microsecond=0)
    return whole - BACKDATED, whole + lifetime


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _load_authority(authority: Pair, now: dt.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    _aware(now)
    try:
        certificate = x509.load_pem_x509_certificate(authority.cert_pem)
        key = serialization.load_pem_private_key(authority.key_pem, password=None)
    except (ValueError, TypeError):
        raise CannotIssue("the authority is no pair of PEM certificate and key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CannotIssue("the authority's key is not ECDSA")
    problems = [*_key_problems(certificate, authority.key_pem), *_time_problems("authority", certificate, now)]
    if not _may_sign(certificate):
        problems.append("the certificate is not an authority's")
    if problems:
        raise CannotIssue(f"the authority can't sign: {problems[0]}")
    return certificate, key


def _names(dns_names: Sequence[str], ip_addresses: Sequence[str]) -> list[x509.GeneralName]:
    try:
        return [
            *(x509.DNSName(name) for name in dns_names),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses),
        ]
    except ValueError as error:
        raise CannotIssue(f"not a name that a certificate can carry: {error}") from None


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _key_problems(certificate: x509.Certificate, key_pem: bytes) -> list[str]:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except TypeError:
        return ["the private key is encrypted"]
    except ValueError:
        return ["the private key is not PEM"]
    if _spki(key.public_key()) != _spki(certificate.public_key()):
        return ["the private key does not belong to the certificate"]
    return []


def _time_problems(what: str, certificate: x509.Certificate, now: dt.datetime) -> list[str]:
    if now < certificate.not_valid_before_utc:
        return [f"the {what} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC"]
    if now > certificate.not_valid_after_utc:
        return [f"the {what} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"]
    return []


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return constraints.ca
    return constraints.ca and usage.key_cert_sign


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if not _may_sign(issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _chain_problems(
    leaf: x509.Certificate,
    between: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    now: dt.datetime,
) -> list[str]:
    current = leaf
    for _ in range(_LONGEST_CHAIN):
        if current in roots:  # Go trusts what stands in the bundle itself, leaf or not
            return _time_problems("authority", current, now) if current != leaf else []
        signers = [root for root in roots if _signed_by(current, root)]
        if signers:
            troubles = [_time_problems("authority", root, now) for root in signers]
            return min(troubles, key=len)
        issuer = next((other for other in between if other != current and _signed_by(current, other)), None)
        if issuer is None:
            break
        if late := _time_problems("intermediate certificate", issuer, now):
            return late
        current = issuer
    return ["the certificate is not signed by the authority"]


def _usage_problems(leaf: x509.Certificate) -> list[str]:
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    if {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}.isdisjoint(usages):
        return ["the certificate is not for servers: its extended key usage lacks serverAuth"]
    return []


def _name_problems(leaf: x509.Certificate, names: Iterable[str]) -> list[str]:
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ["the certificate has no subjectAltName, and clients look nowhere else"]
    patterns = [pattern.lower() for pattern in alternatives.get_values_for_type(x509.DNSName)]
    addresses = alternatives.get_values_for_type(x509.IPAddress)
    return [f"the certificate does not cover {name}" for name in names if not _covers(patterns, addresses, name)]


def _covers(patterns: Sequence[str], addresses: Sequence[object], name: str) -> bool:
    try:
        return ipaddress.ip_address(name) in addresses
    except ValueError:
        wanted = name.lower().rstrip(".")
    parent = wanted.partition(".")[2]
    return wanted in patterns or (bool(parent) and f"*.{parent}" in patterns)
