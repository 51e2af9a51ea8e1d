"""`pullproof controller`: the elected process beside the webhook. Keeps certificates valid and trusted."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys

import click


@click.command()
@click.option("--bind", default="0.0.0.0:8080", show_default=True, help="Address of /livez, /readyz and /metrics.")
@click.option("--kubeconfig", help="Kubeconfig of the cluster; in a pod its own service account.")
@click.option("--context", "context_name", help="Context in the kubeconfig.")
@click.option("--namespace", default="", help="Where the Secrets, the Lease and the Service are; default: the pod's.")
@click.option("--service", default="pullproof", show_default=True, help="The Service whose names to cover.")
@click.option("--dns", "dns_names", multiple=True, help="A further DNS name to cover; repeatable.")
@click.option("--ip", "addresses", multiple=True, help="An IP address to cover; repeatable.")
@click.option(
    "--certificates",
    type=click.Choice(["own", "off"]),
    default="own",
    show_default=True,
    help="Make and renew certificates and set the caBundle, or leave them to another (cert-manager).",
)
@click.option("--tls-secret", default="pullproof-tls", show_default=True, help="Secret of the serving certificate.")
@click.option("--ca-secret", default="pullproof-ca", show_default=True, help="Secret of the authority.")
@click.option(
    "--configuration", default="pullproof", show_default=True, help="Name of the webhook configurations to keep."
)
@click.option(
    "--overlap-seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="How long a new authority is trusted everywhere before it signs.",
)
@click.option(
    "--retire-seconds",
    default=3600.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="How long an old authority is trusted after it signs no more.",
)
def command(
    bind: str,
    kubeconfig: str | None,
    context_name: str | None,
    namespace: str,
    service: str,
    dns_names: tuple[str, ...],
    addresses: tuple[str, ...],
    certificates: str,
    tls_secret: str,
    ca_secret: str,
    configuration: str,
    overlap_seconds: float,
    retire_seconds: float,
) -> None:
    """Run the controller: one leader among its replicas renews certificates and sets the caBundle.

    \b
    Example, outside a cluster:
      pullproof controller --namespace pullproof --bind 127.0.0.1:8080
    """
    from webhook.controller import Controller, Duty, PolicyStatus, SkippedNamespaces, serve_health
    from webhook.election import Election
    from webhook.sources.connection import connect
    from webhook.sources.writing import Writer
    from webhook.tls.rotate import Rotation, Settings

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdecimal():
        raise click.BadParameter("write it as HOST:PORT", param_hint="--bind")
    connection = connect(kubeconfig, context_name)
    place = namespace or connection.namespace
    identity = f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{secrets.token_hex(4)}"
    election = Election(connection, Writer(connection), place, "pullproof-controller", identity)
    writer = Writer(connection, election.leads)
    duties = [
        Duty("namespaces", 60.0, SkippedNamespaces(connection, configuration).run),
        Duty("policies", 5.0, PolicyStatus(connection, writer).run),
    ]
    if certificates == "own":
        settings = Settings(
            serving_place=f"{place}/{tls_secret}",
            authority_place=f"{place}/{ca_secret}",
            configuration=configuration,
            dns_names=(f"{service}.{place}.svc", f"{service}.{place}.svc.cluster.local", *dns_names),
            ip_addresses=addresses,
            overlap_seconds=overlap_seconds,
            retire_seconds=retire_seconds,
        )
        duties.insert(0, Duty("certificates", 5.0, Rotation(connection, writer, settings).run))
    controller = Controller(election, duties)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: controller.stop())
    health = serve_health(host.strip("[]"), int(port), controller)
    try:
        controller.run()
    finally:
        health.shutdown()
