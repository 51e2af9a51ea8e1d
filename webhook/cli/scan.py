"""`pullproof scan`: every workload and pod of a cluster through the engine, and what to do about what it finds."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from webhook.cli.output import color_option, style
from webhook.model.finding import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID

    from webhook.report.survey import Survey
    from webhook.report.text import Style

_OUTPUTS: Final = ("text", "json", "sarif", "junit", "csv", "html")


@click.command()
@click.option("-n", "--namespace", metavar="NAME", help="Look at one namespace only.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Look at all namespaces: the default.")
@click.option("-o", "--output", type=click.Choice(_OUTPUTS), default="text", show_default=True, help="Format.")
@click.option("--all", "show_all", is_flag=True, help="With -o text: every finding, not only the first 20.")
@click.option(
    "--fail-on",
    type=click.Choice(["certain", "likely", "advisory", "off"]),
    default="off",
    show_default=True,
    help="Exit 1 for findings of this confidence and above.",
)
@click.option("--kubeconfig", type=click.Path(), help="Kubeconfig of the cluster.")
@click.option("--context", "context_name", metavar="NAME", help="Context in the kubeconfig.")
@click.option(
    "--request-timeout",
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="How long to wait for each page of an answer.",
)
@color_option
def command(
    namespace: str | None,
    all_namespaces: bool,  # noqa: FBT001 click passes options by name
    output: str,
    show_all: bool,  # noqa: FBT001
    fail_on: str,
    kubeconfig: str | None,
    context_name: str | None,
    request_timeout: float,
    color: str,
) -> int:
    """Judge a whole cluster: what fails now, and what would be denied at its next re-creation.

    Reads workloads, pods, Secrets, ServiceAccounts, Nodes and Namespaces in pages, and writes nothing. What it has no
    right to read is noted, and judged as unknown.

    \b
    Examples:
      pullproof scan
      pullproof scan -n shop --all
      pullproof scan -o html > report.html
      pullproof scan -o json --fail-on certain

    Exit status: 0 no findings at --fail-on or above, 1 some, 2 wrong usage or no cluster.
    """
    if namespace and all_namespaces:
        raise click.UsageError("-n looks at one namespace and -A at all: use one of them")

    from webhook.cli.scanning import Scanning
    from webhook.model.policy import ClusterPolicy
    from webhook.sources.connection import connect
    from webhook.sources.snapshot import Snapshot

    connection = connect(kubeconfig, context_name)
    now = time.time()
    scope = None if namespace is None else list(dict.fromkeys((namespace, "default")))
    snapshot = Snapshot(connection, ClusterPolicy(), now=int(now), namespaces=scope, timeout_seconds=request_timeout)
    with _progress() as (on_step, on_pods):
        scanning = Scanning(connection, snapshot, namespace, seconds=request_timeout, on_step=on_step, on_pods=on_pods)
        survey = scanning.run(at=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    for note in survey.notes:
        click.echo(f"note: {note}", err=True)
    for part in _rendered(survey, output, style(color), Level[fail_on.upper()], show_all=show_all):
        sys.stdout.write(part)
    level = Level[fail_on.upper()]
    return 1 if any(level.covers(row.finding.confidence) for row in survey.rows) else 0


@contextmanager
def _progress() -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """What to tell of steps and of pods (how many of how many): a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _step: None, lambda _done, _all: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        steps = progress.add_task("connecting", total=None)
        pods: TaskID | None = None

        def on_step(step: str) -> None:
            progress.update(steps, description=f"reading {step}")

        def on_pods(done: int, of: int) -> None:
            nonlocal pods
            if pods is None:
                progress.remove_task(steps)
                pods = progress.add_task("judging pods", total=of)
            progress.update(pods, completed=done, total=max(of, done))

        yield on_step, on_pods


def _rendered(survey: Survey, output: str, style: Style, level: Level, *, show_all: bool) -> Iterator[str]:
    if output == "json":
        from webhook.report import survey_json

        yield survey_json.render(survey)
    elif output == "csv":
        from webhook.report import csv_

        yield from csv_.render(survey)
    elif output == "html":
        from importlib.metadata import version

        from webhook.report import html

        yield html.render(survey, version("pullproof"))
    elif output == "sarif":
        from importlib.metadata import version

        from webhook.checks.index import modules
        from webhook.report import sarif
        from webhook.report.survey import outcome

        rules = [sarif.rule(module.CHECK, module.__doc__ or "") for module in modules().values()]
        yield sarif.render(outcome(survey), rules, version("pullproof"))
    elif output == "junit":
        from webhook.report import junit
        from webhook.report.survey import outcome

        yield junit.render(outcome(survey), level, fail_on_unknown=False)
    else:
        from webhook.report import survey_text

        yield from survey_text.render(survey, style, show_all=show_all)
