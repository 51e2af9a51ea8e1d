"""`pullproof check`: the webhook's verdict on files, before anything is applied."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from webhook.cli.output import color_option, style
from webhook.model.finding import Confidence, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.report.outcome import Outcome
    from webhook.report.text import Style

_OUTPUTS: Final = ("text", "json", "sarif", "junit")
_SHOWN_REMARKS: Final = 50


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path())
@click.option(
    "-f",
    "--filename",
    "filenames",
    metavar="FILE|DIR|GLOB|-",
    multiple=True,
    type=click.Path(),
    help="Manifests: a file, a folder (with all below it), a glob, or - for standard input. Repeatable.",
)
@click.option("-o", "--output", type=click.Choice(_OUTPUTS), default="text", show_default=True, help="Format.")
@click.option(
    "--fail-on",
    type=click.Choice(["certain", "likely", "advisory"]),
    default="likely",
    show_default=True,
    help="Exit 1 for findings of this confidence and above.",
)
@click.option("--fail-on-unknown", is_flag=True, help="Exit 1 also where something could not be looked at.")
@click.option("--trace", is_flag=True, help="With -o json: every workload and image that was looked at.")
@click.option("--cluster", is_flag=True, help="Take the facts from the kubeconfig's cluster, not from the input.")
@click.option("--kubeconfig", type=click.Path(), help="Kubeconfig, for --cluster.")
@click.option("--context", "context_name", metavar="NAME", help="Context in the kubeconfig, for --cluster.")
@click.option("-n", "--namespace", metavar="NAME", help="Namespace of objects that name none.")
@click.option(
    "--request-timeout",
    metavar="SECONDS",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="How long to wait for the cluster, for --cluster.",
)
@color_option
def command(
    files: tuple[str, ...],
    filenames: tuple[str, ...],
    output: str,
    fail_on: str,
    fail_on_unknown: bool,  # noqa: FBT001 click passes options by name
    trace: bool,  # noqa: FBT001
    cluster: bool,  # noqa: FBT001
    kubeconfig: str | None,
    context_name: str | None,
    namespace: str | None,
    request_timeout: float,
    color: str,
) -> int:
    """Judge manifests as the webhook would: YAML or JSON, any number of documents, Lists too.

    Secrets, ServiceAccounts, Namespaces and Nodes among them are the facts; what is not there is unknown, and said so.
    With --cluster the facts are the cluster's. Folders are searched for *.yaml, *.yml and *.json.

    \b
    Examples:
      pullproof check -f deploy.yaml
      pullproof check -f manifests/ --fail-on certain
      helm template ./chart | pullproof check -f - -o json
      kustomize build overlays/prod | pullproof check -f - --cluster

    A finding is taken back by a comment on its line or above it: `# pullproof: ignore PULL101 -- why`.

    Exit status: 0 no findings at --fail-on or above, 1 some, 2 wrong usage or unreadable input.
    """
    names = (*filenames, *files)
    if not names:
        raise click.UsageError("name a file, a folder or a glob, or - for standard input")
    if trace and output != "json":
        raise click.UsageError("--trace needs -o json")
    if not cluster and (kubeconfig or context_name):
        raise click.UsageError("--kubeconfig and --context need --cluster")

    from webhook.cli.judging import KINDS, judge, sort_out
    from webhook.model.policy import ClusterPolicy
    from webhook.sources.given import Given
    from webhook.sources.manifests import read

    live = None
    if cluster:
        from webhook.cli.cluster_facts import ClusterFacts

        live = ClusterFacts(kubeconfig, context_name, seconds=request_timeout)
        namespace = namespace or live.namespace
    namespace = namespace or "default"
    inputs = read(names, KINDS)
    given = Given(namespace, ClusterPolicy(), now=int(time.time()))
    workloads = sort_out(inputs, given, namespace)
    if live is not None:
        live.begin(given)
    outcome = judge(inputs, workloads, given, live or given, with_trace=trace)

    level = Level[fail_on.upper()]
    _tell(outcome, style(color, sys.stderr))
    for part in _rendered(outcome, output, level, style(color), fail_on_unknown=fail_on_unknown, trace=trace):
        sys.stdout.write(part)
    if outcome.problems:
        return 2
    fails = any(
        level.covers(told.finding.confidence) or (fail_on_unknown and told.finding.confidence is Confidence.UNKNOWN)
        for told in outcome.told
    )
    return 1 if fails else 0


def _tell(outcome: Outcome, style: Style) -> None:
    """What is no finding goes to stderr, a line each, in any format."""
    from webhook.report.text import problem, remark

    for found in outcome.problems:
        sys.stderr.write(problem(found, style))
    for note in outcome.remarks[:_SHOWN_REMARKS]:
        sys.stderr.write(remark(note, style))
    left = len(outcome.remarks) - _SHOWN_REMARKS
    if left > 0:
        sys.stderr.write(f"note: and {left:,} notes more\n")


def _rendered(
    outcome: Outcome, output: str, level: Level, style: Style, *, fail_on_unknown: bool, trace: bool
) -> Iterator[str]:
    if output == "json":
        from webhook.report import json_

        yield json_.render(outcome, trace=trace)
    elif output == "sarif":
        from importlib.metadata import version

        from webhook.checks.index import modules
        from webhook.report import sarif

        rules = [sarif.rule(module.CHECK, module.__doc__ or "") for module in modules().values()]
        yield sarif.render(outcome, rules, version("pullproof"))
    elif output == "junit":
        from webhook.report import junit

        yield junit.render(outcome, level, fail_on_unknown=fail_on_unknown)
    else:
        from webhook.report import text

        yield from text.render(outcome, style)
