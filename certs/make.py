#!/usr/bin/env python3
"""Makes a certificate pair by hand, for running pullproof outside a cluster; certs/README.md says how to use it.

In a cluster the controller does this (webhook/tls/); this script only calls the same functions. The authority's key is
thrown away at once: nothing more can be signed with it, and nothing has to be kept secret but tls.key.
"""

from __future__ import annotations

import base64
import datetime as dt
import os
import tempfile
from pathlib import Path

import click

from webhook.tls import issue

_HERE = Path(__file__).resolve().parent


@click.command()
@click.option("--dns", "dns_names", multiple=True, help="A DNS name to cover; repeatable. Default: localhost.")
@click.option(
    "--ip", "addresses", multiple=True, help="An IP address to cover; repeatable. Default: 127.0.0.1 and ::1."
)
@click.option("--days", default=issue.SERVING_LIFETIME.days, show_default=True, type=click.IntRange(1, 3650))
@click.option("--out", default=_HERE, show_default="this folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a pair that is still good.")
def main(*, dns_names: tuple[str, ...], addresses: tuple[str, ...], days: int, out: Path, force: bool) -> None:
    """Write ca.crt, tls.crt and tls.key, and print the caBundle line for the webhook configuration."""
    if not dns_names and not addresses:
        dns_names, addresses = ("localhost",), ("127.0.0.1", "::1")
    now = dt.datetime.now(dt.UTC)
    out.mkdir(parents=True, exist_ok=True)
    if force or not _still_good(out, (*dns_names, *addresses), now):
        authority = issue.new_authority(now)
        try:
            pair = issue.issue_serving(authority, dns_names, addresses, now, dt.timedelta(days=days))
        except issue.CannotIssue as error:
            raise click.ClickException(str(error)) from None
        _write(out / "ca.crt", authority.cert_pem, 0o644)
        _write(out / "tls.crt", pair.cert_pem, 0o644)
        _write(out / "tls.key", pair.key_pem, 0o600)
        click.echo(f"wrote ca.crt, tls.crt and tls.key to {out}", err=True)
    else:
        click.echo(f"kept the pair in {out}: it is good; --force replaces it", err=True)
    expires = issue.expiry((out / "tls.crt").read_bytes())
    click.echo(f"the certificate expires at {expires:%Y-%m-%d %H:%M} UTC", err=True)
    click.echo(f"caBundle: {base64.b64encode((out / 'ca.crt').read_bytes()).decode('ascii')}")


def _still_good(folder: Path, names: tuple[str, ...], now: dt.datetime) -> bool:
    try:
        authority, cert, key = ((folder / name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key"))
    except OSError:
        return False
    return not issue.check_pair(cert, key, authority, names, now) and now < issue.renew_at(cert)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replaces a file in one step; its mode holds from the first byte on."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(content)
            os.fchmod(handle, mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    main()
