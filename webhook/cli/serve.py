"""`pullproof serve`: the webhook itself. Reads the cluster, answers reviews, writes nothing but Events."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.admission.server import CertificatePair, CertificateUnusable, ServingCertificate
    from webhook.model.node import Taint
    from webhook.model.policy import ImageOsRule
    from webhook.sources.connection import Connection

_LEVEL: Final = click.Choice(["off", "certain", "likely", "advisory"])
_SECRET_SECONDS: Final = 5.0
_FILES_SECONDS: Final = 10.0


@click.command()
@click.option("--bind", default="0.0.0.0:8443", show_default=True, help="Address and port to listen on.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Serving certificate (PEM).")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key (PEM).")
@click.option(
    "--tls-secret",
    metavar="NAMESPACE/NAME",
    help="Read both from this Secret instead, by the API; a changed pair is used within seconds.",
)
@click.option("--kubeconfig", help="Kubeconfig of the cluster to serve; in a pod its own service account.")
@click.option("--context", "context_name", help="Context in the kubeconfig.")
@click.option(
    "--secrets",
    type=click.Choice(["watch", "get", "off"]),
    default="watch",
    show_default=True,
    help="Read pull secrets by list and watch, singly on demand, or not at all.",
)
@click.option("--threads", default=64, show_default=True, type=click.IntRange(1, 1024), help="Reviews at a time.")
@click.option(
    "--stall-seconds",
    default=3.0,
    show_default=True,
    help="A client this late with handshake, head or body is cut off.",
)
@click.option(
    "--lookup-seconds", default=1.0, show_default=True, help="The longest that one review waits for live reads."
)
@click.option(
    "--drain-seconds", default=0.0, show_default=True, help="After SIGTERM, how long to go on accepting requests."
)
@click.option(
    "--client-ca",
    type=click.Path(path_type=Path),
    help="Authority (PEM) of the API server's client certificate; whoever shows none of it gets no review.",
)
@click.option("--client-name", "client_names", multiple=True, help="Common name it has to have; repeatable.")
@click.option(
    "--events",
    type=click.Choice(["owners", "off"]),
    default="owners",
    show_default=True,
    help="Tell the owners of pods that controllers make by Events, or nobody.",
)
@click.option(
    "--log",
    type=click.Choice(["findings", "all"]),
    default="findings",
    show_default=True,
    help="A JSON line for each review that found something, or for every one.",
)
@click.option("--enforce", type=_LEVEL, default="certain", show_default=True, help="Deny from this level on.")
@click.option("--warn", type=_LEVEL, default="likely", show_default=True, help="Warn from this level on.")
@click.option("--audit", type=_LEVEL, default="advisory", show_default=True, help="Audit from this level on.")
@click.option(
    "--image-os",
    "image_os",
    multiple=True,
    metavar="GLOB=OS",
    callback=lambda _context, _option, given: tuple(map(_image_os_rule, given)),
    help="Images of HOST[/PATH] are for windows or linux; `*` never stands for a dot of the host. Repeatable.",
)
@click.option(
    "--windows-taint",
    "windows_taints",
    multiple=True,
    metavar="KEY[=VALUE]:EFFECT",
    callback=lambda _context, _option, given: tuple(map(_taint, given)),
    help="What the Windows nodes are tainted with: pods that get their selector tolerate it. Repeatable.",
)
def command(
    bind: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_secret: str | None,
    kubeconfig: str | None,
    context_name: str | None,
    secrets: str,
    threads: int,
    stall_seconds: float,
    lookup_seconds: float,
    drain_seconds: float,
    client_ca: Path | None,
    client_names: tuple[str, ...],
    events: str,
    log: str,
    enforce: str,
    warn: str,
    audit: str,
    image_os: tuple[ImageOsRule, ...],
    windows_taints: tuple[Taint, ...],
) -> None:
    """Run the admission webhook: /validate, /mutate, /livez, /readyz and /metrics over TLS.

    \b
    Example, outside a cluster:
      pullproof serve --bind 127.0.0.1:8443 --tls-cert certs/tls.crt --tls-key certs/tls.key

    With --tls-secret it waits, before it listens, until that Secret holds a pair that is valid.
    """
    from webhook import metrics
    from webhook.admission.app import Options, create_app
    from webhook.admission.callers import known_callers_only
    from webhook.admission.server import ServingCertificate, serve
    from webhook.checks.index import all_checks
    from webhook.engine.evaluate import read_reference
    from webhook.model.policy import LEVELS, ClusterPolicy, Modes
    from webhook.sources.cluster import LiveCluster, SecretAccess
    from webhook.sources.connection import connect
    from webhook.sources.events import Events
    from webhook.sources.writing import Writer

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    read = _reader(tls_cert, tls_key, tls_secret, lambda: connect(kubeconfig, context_name))
    if client_names and client_ca is None:
        raise click.UsageError("--client-name needs --client-ca")
    all_checks()  # a broken check stops the start, not the first review
    read_reference("")  # loads what explains an invalid reference, so that the first denial is as fast as the rest
    connection = connect(kubeconfig, context_name)
    cluster = LiveCluster(connection, secrets=SecretAccess(secrets))
    told = Events(connection, Writer(connection, manager="pullproof"), socket.gethostname())
    draining = threading.Event()
    policy = ClusterPolicy(
        default=Modes(enforce=LEVELS[enforce], warn=LEVELS[warn], audit=LEVELS[audit]),
        image_os=image_os,
        windows_taints=windows_taints,
    )
    options = Options(
        policy=policy,
        seconds=lookup_seconds,
        draining=draining.is_set,
        log_all=log == "all",
        tell_owner=told.tell if events == "owners" else None,
    )
    app = create_app(cluster, options)
    metrics.watch_caches(lambda: ((one.name, one.stale_seconds, one.objects) for one in cluster.states()))

    def start() -> None:
        cluster.start()
        if events == "owners":
            told.start()

    certificate = ServingCertificate(read, client_ca=None if client_ca is None else client_ca.read_bytes())
    if tls_secret:
        _wait_for(certificate)
    serve(
        lambda: app if client_ca is None else known_callers_only(app, client_names),
        bind=bind,
        certificate=certificate,
        threads=threads,
        stall_seconds=stall_seconds,
        drain_seconds=drain_seconds,
        reload_seconds=_SECRET_SECONDS if tls_secret else _FILES_SECONDS,
        after_fork=start,
        on_drain=draining.set,
        on_event=lambda event: metrics.CLIENTS.labels(event).inc(),
        on_certificate=_show_certificate,
    )


def _image_os_rule(text: str) -> ImageOsRule:
    from webhook.model.policy import ImageOsRule

    glob, _, os = text.rpartition("=")
    if not glob or os not in {"windows", "linux"}:
        raise click.BadParameter(f"{text!r} is not GLOB=windows or GLOB=linux")
    return ImageOsRule(glob, os)


def _taint(text: str) -> Taint:
    from webhook.model.node import Taint

    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if not key or effect not in {"NoSchedule", "PreferNoSchedule", "NoExecute"}:
        raise click.BadParameter(f"{text!r} is not KEY[=VALUE]:NoSchedule, as `kubectl taint` has it")
    return Taint(key, value, effect)


def _reader(
    tls_cert: Path | None, tls_key: Path | None, tls_secret: str | None, connect: Callable[[], Connection]
) -> Callable[[], CertificatePair]:
    """What reads the pair, from where the options say; each read also shows when it expires."""
    from webhook import metrics
    from webhook.admission.server import pair_from_files
    from webhook.tls.issue import expiry
    from webhook.tls.secret import pair_from_secret

    read: Callable[[], CertificatePair]
    if tls_secret and not (tls_cert or tls_key):
        read = pair_from_secret(connect(), tls_secret)
    elif tls_cert and tls_key and not tls_secret:
        read = pair_from_files(tls_cert, tls_key)
    else:
        raise click.UsageError("name a pair by --tls-cert and --tls-key, or a Secret by --tls-secret")

    def shown() -> CertificatePair:
        pair = read()
        with contextlib.suppress(ValueError):  # what is no certificate is told when it is loaded
            metrics.CERTIFICATE_EXPIRY.labels("serving").set(expiry(pair.cert_pem).timestamp())
        return pair

    return shown


def _wait_for(certificate: ServingCertificate) -> None:
    """Until there is a pair to serve: in a new installation the controller is still making it."""
    from webhook.admission.server import CertificateUnusable

    # As process 1 of a container it would not be ended by a signal that nobody handles.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    said = ""
    while True:
        try:
            certificate.reload()
        except CertificateUnusable as error:
            if str(error) != said:
                said = str(error)
                logging.getLogger(__name__).warning("waiting for a serving certificate: %s", error)
            time.sleep(1)
        else:
            return


def _show_certificate(problem: CertificateUnusable | None) -> None:
    from webhook import metrics

    metrics.CERTIFICATE_UNUSABLE.set(problem is not None)
