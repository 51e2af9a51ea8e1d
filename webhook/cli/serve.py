"""`pullproof serve`: the webhook itself. Reads the cluster, answers reviews, writes nothing."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

import click


@click.command()
@click.option("--bind", default="0.0.0.0:8443", show_default=True, help="Address and port to listen on.")
@click.option("--tls-cert", type=click.Path(path_type=Path), required=True, help="Serving certificate (PEM).")
@click.option("--tls-key", type=click.Path(path_type=Path), required=True, help="Its private key (PEM).")
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
def command(
    bind: str,
    tls_cert: Path,
    tls_key: Path,
    kubeconfig: str | None,
    context_name: str | None,
    secrets: str,
    threads: int,
    stall_seconds: float,
    lookup_seconds: float,
    drain_seconds: float,
) -> None:
    """Run the admission webhook: /validate, /mutate, /livez, /readyz and /metrics over TLS.

    \b
    Example, outside a cluster:
      pullproof serve --bind 127.0.0.1:8443 --tls-cert certs/tls.crt --tls-key certs/tls.key
    """
    from webhook import metrics
    from webhook.admission.app import Options, create_app
    from webhook.admission.server import ServingCertificate, pair_from_files, serve
    from webhook.checks.index import all_checks
    from webhook.engine.evaluate import read_reference
    from webhook.sources.cluster import LiveCluster, SecretAccess
    from webhook.sources.connection import connect

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    all_checks()  # a broken check stops the start, not the first review
    read_reference("")  # loads what explains an invalid reference, so that the first denial is as fast as the rest
    cluster = LiveCluster(connect(kubeconfig, context_name), secrets=SecretAccess(secrets))
    draining = threading.Event()
    app = create_app(cluster, Options(seconds=lookup_seconds, draining=draining.is_set))
    metrics.watch_caches(lambda: ((one.name, one.stale_seconds, one.objects) for one in cluster.states()))
    serve(
        lambda: app,
        bind=bind,
        certificate=ServingCertificate(pair_from_files(tls_cert, tls_key)),
        threads=threads,
        stall_seconds=stall_seconds,
        drain_seconds=drain_seconds,
        after_fork=cluster.start,
        on_drain=draining.set,
        on_event=lambda event: metrics.CLIENTS.labels(event).inc(),
        on_certificate=lambda problem: metrics.CERTIFICATE_UNUSABLE.set(problem is not None),
    )
