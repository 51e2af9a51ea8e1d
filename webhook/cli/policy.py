"""`pullproof policy`: why a namespace has its policy, and a platform team's own tests of its policies."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from webhook.errors import PullproofError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.model.policy_book import PolicyBook

_OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group()
def command() -> None:
    """Explain policies, and test them."""


@command.command()
@click.option("-n", "--namespace", metavar="NAME", help="The namespace; default: the kubeconfig's, or `default`.")
@click.option("--image", metavar="IMAGE", help="Also what is said of this image.")
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    type=click.Path(),
    help="Policies and Namespaces, not the cluster's.",
)
@click.option("--kubeconfig", type=click.Path(), help="Kubeconfig of the cluster.")
@click.option("--context", "context_name", metavar="NAME", help="Context in the kubeconfig.")
@click.option("--request-timeout", default=10.0, show_default=True, type=click.FloatRange(0.1, 600))
@_OUTPUT
def explain(
    namespace: str | None,
    image: str | None,
    files: tuple[str, ...],
    kubeconfig: str | None,
    context_name: str | None,
    request_timeout: float,
    output: str,
) -> int:
    """Say which policy, label, floor and exemption decide in a namespace, and why.

    What the webhook's own flags say is not known here: its defaults are shown as they come.

    \b
    Examples:
      pullproof policy explain -n shop
      pullproof policy explain -n shop --image ghcr.io/org/app:1
      pullproof policy explain -n shop -f policies/ -o json
    """
    from webhook.report.policy_explained import explained, text

    if files and (kubeconfig or context_name):
        raise click.UsageError("-f takes files, --kubeconfig and --context a cluster: use one of them")
    if files:
        namespace = namespace or "default"
        book, labels = _given(files, namespace)
    else:
        book, namespace, labels = _from_cluster(kubeconfig, context_name, namespace, request_timeout)
    found = explained(book, namespace, labels, now=int(time.time()), image=image)
    sys.stdout.write(_json(found) if output == "json" else text(found))
    return 0


@command.command()
@click.argument("file", type=click.Path())
@_OUTPUT
def test(file: str, output: str) -> int:
    """Run the cases of FILE: what these policies would answer, beside what you expect. Needs no cluster.

    \b
    Example of a FILE:
      policies: [policies.yaml]            # files or folders, relative to this one
      now: 2027-01-01T00:00:00Z            # for expiries; without: the time it is
      cases:
        - name: our own registry
          namespace: shop
          labels: {team: a}
          image: contoso.azurecr.io/shop:1     # or `object:`, a whole manifest
          user: {name: jane, groups: [break-glass]}
          expect: {decision: allow, findings: [], exempt: []}

    `decision` is deny, warn or allow; `findings` are the codes of what is left, `exempt` of what an exemption took out.
    What a case does not expect is not compared. The namespace has no pull secret.

    Exit status: 0 all as expected, 1 some not, 2 wrong usage or unreadable input.
    """
    from webhook.cli.policy_cases import read_cases, run_case, text

    cases = read_cases(file)
    results = [run_case(case, cases) for case in cases.cases]
    failed = sum(bool(one.differences) for one in results)
    if output == "json":
        sys.stdout.write(_json({"cases": [one.as_json() for one in results], "failed": failed}))
    else:
        sys.stdout.write(text(results))
    return 1 if failed else 0


def _given(files: tuple[str, ...], namespace: str) -> tuple[PolicyBook, Mapping[str, str]]:
    from webhook.cli.policy_cases import read_given

    given = read_given(files)
    return given.book(), given.labels(namespace) or {}


def _from_cluster(
    kubeconfig: str | None, context: str | None, namespace: str | None, seconds: float
) -> tuple[PolicyBook, str, Mapping[str, str]]:
    """Raises ApiError, ConnectionSettingsError."""
    from webhook.model.policy import ClusterPolicy
    from webhook.model.policy_book import PolicyBook
    from webhook.sources.cluster import policy_labels
    from webhook.sources.connection import connect, object_path
    from webhook.sources.live import read_live
    from webhook.sources.policies import read_policies

    connection = connect(kubeconfig, context)
    namespace = namespace or connection.namespace
    found = read_live(connection, object_path("", "v1", "namespaces", namespace), seconds)
    if found is None:
        raise PullproofError(f"there is no namespace {namespace}")
    policies = read_policies(connection, namespaces=[namespace], timeout_seconds=seconds)
    return PolicyBook(ClusterPolicy(), policies), namespace, policy_labels(found)


def _json(found: Any) -> str:
    import orjson

    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
