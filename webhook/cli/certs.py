"""`pullproof certs status|renew`: are the certificates good, and ask the controller for new ones.

Renewing is asked for, by an annotation, and never done here: there is one writer, the elected controller.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook.tls.rotate import Status

_PLACE_OPTIONS = (
    click.option("--kubeconfig", help="Kubeconfig of the cluster."),
    click.option("--context", "context_name", help="Context in the kubeconfig."),
    click.option("-n", "--namespace", default="pullproof", show_default=True, help="Where pullproof is installed."),
    click.option("--tls-secret", default="pullproof-tls", show_default=True, help="Secret of the serving certificate."),
    click.option("--ca-secret", default="pullproof-ca", show_default=True, help="Secret of the authority."),
)


def _places(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_PLACE_OPTIONS):
        function = option(function)
    return function


@click.group()
def command() -> None:
    """Show the webhook's certificates, or ask for new ones."""


@command.command()
@_places
@click.option("--service", default="pullproof", show_default=True, help="The Service that has to be covered.")
@click.option("--dns", "dns_names", multiple=True, help="Check this name instead of the Service's; repeatable.")
@click.option("--configuration", default="pullproof", show_default=True, help="Name of the webhook configurations.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(
    kubeconfig: str | None,
    context_name: str | None,
    namespace: str,
    tls_secret: str,
    ca_secret: str,
    service: str,
    dns_names: tuple[str, ...],
    configuration: str,
    output: str,
) -> None:
    """Show when the certificates expire and whether the API server trusts them.

    \b
    Exit status: 0 good, 1 something would keep the API server from trusting the webhook, 2 could not look.
    """
    from webhook.sources.connection import connect
    from webhook.tls.rotate import read_status

    names = dns_names or (f"{service}.{namespace}.svc",)
    now = dt.datetime.now(dt.UTC)
    found = read_status(
        connect(kubeconfig, context_name), f"{namespace}/{tls_secret}", f"{namespace}/{ca_secret}", configuration,
        names, now,
    )  # fmt: skip
    _show_json(found) if output == "json" else _show_text(found, now)
    if found.problems:
        sys.exit(1)


@command.command()
@_places
@click.option("--authority", is_flag=True, help="Also replace the authority, by overlap: old and new are both trusted.")
@click.option(
    "--wait-seconds", default=30.0, show_default=True, type=click.FloatRange(min=0), help="How long to wait for it."
)
def renew(
    kubeconfig: str | None,
    context_name: str | None,
    namespace: str,
    tls_secret: str,
    ca_secret: str,
    authority: bool,  # noqa: FBT001 click passes it by name
    wait_seconds: float,
) -> None:
    """Ask the controller for a new serving certificate, and wait until it is there."""
    from webhook.errors import PullproofError
    from webhook.sources.connection import connect
    from webhook.sources.errors import NotFoundError
    from webhook.sources.writing import Writer
    from webhook.tls.rotate import RENEW
    from webhook.tls.secret import READ_SECONDS, secret_path

    del tls_secret
    connection = connect(kubeconfig, context_name)
    place = f"{namespace}/{ca_secret}"
    what = "authority" if authority else "serving"
    try:
        Writer(connection).merge(secret_path(place), {"metadata": {"annotations": {RENEW: what}}})
    except NotFoundError:
        raise PullproofError(
            f"there is no secret {place}: no controller of pullproof makes certificates here",
            fix=f"`kubectl -n {namespace} get deployments` shows whether it runs; cert-manager renews its own",
        ) from None
    deadline = time.monotonic() + wait_seconds
    while True:
        secret = connection.get_json(secret_path(place), timeout_seconds=READ_SECONDS)
        if RENEW not in ((secret.get("metadata") or {}).get("annotations") or {}):
            break
        if time.monotonic() > deadline:
            raise PullproofError(
                f"asked, but no controller has answered within {wait_seconds:g} s",
                fix=f"`kubectl -n {namespace} logs deployment/pullproof-controller` says why",
            )
        time.sleep(0.5)
    if authority:
        click.echo("a new authority is trusted beside the present one; `pullproof certs status` shows how it goes on")
    else:
        click.echo("a new serving certificate is in place; the webhook's pods use it within seconds")


def _show_text(found: Status, now: dt.datetime) -> None:
    rows = [
        ("serving certificate", _until(found.serving_expires, now)),
        ("renewed from", "-" if found.serving_renewed is None else _time(found.serving_renewed)),
        ("authority", _until(found.authority_expires, now)),
        ("authorities trusted", str(found.trusted)),
        ("rotation", found.phase),
    ]
    for name, value in rows:
        click.echo(f"{name:<22}{value}")
    for problem in found.problems:
        click.echo(f"problem: {problem}", err=True)


def _show_json(found: Status) -> None:
    import json

    times = {
        "servingExpires": found.serving_expires,
        "servingRenewedFrom": found.serving_renewed,
        "authorityExpires": found.authority_expires,
    }
    document = {name: value and value.isoformat() for name, value in times.items()}
    rest = {"authoritiesTrusted": found.trusted, "rotation": found.phase, "problems": list(found.problems)}
    click.echo(json.dumps({**document, **rest}, indent=2))


def _until(moment: dt.datetime | None, now: dt.datetime) -> str:
    if moment is None:
        return "none to be seen"
    days = (moment - now).total_seconds() / 86400
    return f"expires {_time(moment)} (in {days:.0f} days)" if days > 0 else f"expired {_time(moment)}"


def _time(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
