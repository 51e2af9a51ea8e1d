"""`pullproof diagnose`: why pods wait for their images, from a cluster or from the text that someone pasted."""

from __future__ import annotations

import sys
import time
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

import click

from webhook.cli.output import color_option, style
from webhook.errors import PullproofError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from webhook.diagnosis.pods import Diagnosed

_LONGEST_LINE: Final = 1 << 16  # of a message, more is noise
_LONGEST_TEXT: Final = 64 << 20
_NOTHING: Final = "nothing in the text says that an image does not arrive\n"


@click.command()
@click.argument("names", metavar="[POD|KIND/NAME]...|-", nargs=-1)
@click.option("-n", "--namespace", metavar="NAME", help="Namespace; the context's by default.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Look at the pods of all namespaces.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and tell of each pod that begins or ceases to wait.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    show_default=True,
    help="Format: json is one list, jsonl one object a line.",
)
@click.option("--kubeconfig", type=click.Path(), help="Kubeconfig of the cluster.")
@click.option("--context", "context_name", metavar="NAME", help="Context in the kubeconfig.")
@click.option(
    "--request-timeout",
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="How long to wait for each answer of the cluster.",
)
@color_option
def command(
    names: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,  # noqa: FBT001 click passes options by name
    watch: bool,  # noqa: FBT001
    output: str,
    kubeconfig: str | None,
    context_name: str | None,
    request_timeout: float,
    color: str,
) -> int:
    """Say why pods wait for their images, and what to type.

    Reads the pods' statuses and Events, judges the pods as the webhook would, and fills this cluster's names into the
    remedies. With - it reads text: what `kubectl describe pod` prints, pods as JSON, or messages, one a line; no
    cluster is asked then.

    \b
    Examples:
      pullproof diagnose
      pullproof diagnose -A --watch
      pullproof diagnose deploy/web -n shop
      kubectl describe pod web-1 | pullproof diagnose -
      pullproof diagnose -o jsonl - < messages.txt

    Exit status: 0 nothing waits (of text always), 1 something does, 2 wrong usage or unreadable input.
    """
    if "-" in names:
        if len(names) > 1 or namespace or all_namespaces or watch or kubeconfig or context_name:
            raise click.UsageError("with - everything comes from standard input: no cluster, namespace or other name")
        return _from_text(output, color)
    if all_namespaces and (namespace or names):
        raise click.UsageError("-A looks at every pod: name neither pods nor a namespace with it")
    if watch and output == "json":
        raise click.UsageError("--watch never ends its list: use -o jsonl")

    from webhook.cli.diagnosing import Diagnosing, parse_target
    from webhook.sources.connection import connect

    targets = [parse_target(name) for name in names]
    connection = connect(kubeconfig, context_name)
    scope = None if all_namespaces else namespace or connection.namespace
    work = Diagnosing(connection, scope, targets, seconds=request_timeout, clock=time.time)
    found = work.once()
    for note in work.notes:
        click.echo(f"note: {note}", err=True)
    _write(found, output, color)
    if watch:
        for part in work.follow():
            if isinstance(part, str):
                if output == "text":
                    sys.stdout.write(f"{part}\n")
            else:
                _write(part, output, color)
            sys.stdout.flush()
    if not found and output == "text":
        sys.stdout.write(f"{work.summary()}\n")
    return 1 if found else 0


def _write(found: Sequence[Diagnosed], output: str, color: str) -> None:
    from webhook.cli import diagnosis_output

    if output == "json":
        sys.stdout.write(diagnosis_output.json_list(found))
    elif output == "jsonl":
        sys.stdout.writelines(diagnosis_output.json_line(diagnosis_output.record(one)) for one in found)
    else:
        sys.stdout.writelines(diagnosis_output.text(found, style(color)))


# --- text -----------------------------------------------------------------------------------------------------------


def _from_text(output: str, color: str) -> int:
    """Diagnose what comes in on standard input; lines of messages are answered one by one, as they come."""
    from webhook.cli.diagnosis_output import json_line, line
    from webhook.diagnosis.describe import is_description, read_describe
    from webhook.diagnosis.message import read_message
    from webhook.diagnosis.pods import diagnosed

    lines = _lines()
    first = next(lines, None)
    if first is None:
        sys.stdout.write({"json": "[]\n", "text": _NOTHING}.get(output, ""))
        return 0
    whole = first.startswith(("Name:", "{")) or output == "text"
    found: Iterable[Diagnosed]
    if whole:
        text = _rest(first, lines)
        if output == "text":
            text = dedent(text)  # as it is quoted in tickets and chats
        objects = _objects(text) if text.startswith("{") else None
        if objects is not None:
            found = objects
        elif is_description(text):
            found = map(diagnosed, read_describe(text))
        else:
            # only a line feed ends a message: `splitlines` would also cut at characters inside one
            shown = text.split("\n") if output != "text" else filter(str.strip, text.split("\n"))
            found = (diagnosed(read_message(message)) for message in shown)
    else:
        found = (diagnosed(read_message(message)) for message in _chain(first, lines))
    if output == "jsonl":
        for one in found:
            sys.stdout.write(json_line(line(one)))
            sys.stdout.flush()
        return 0
    told = list(found)
    _write(told, output, color)
    if not told and output == "text":
        sys.stdout.write(_NOTHING)
    return 0


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _rest(first: str, lines: Iterator[str]) -> str:
    parts, size = [first], len(first)
    for part in lines:
        size += len(part) + 1
        if size > _LONGEST_TEXT:
            raise PullproofError(
                f"standard input is longer than {_LONGEST_TEXT >> 20} MiB",
                fix="use -o jsonl for lines of messages: they are read one by one",
            )
        parts.append(part)
    return "\n".join(parts)


def _lines() -> Iterator[str]:
    """The lines of standard input, each cut to a bounded length; a blank line is one, too."""
    stream = sys.stdin.buffer
    while part := stream.readline(_LONGEST_LINE):
        kept = part
        while part and not part.endswith(b"\n"):
            part = stream.readline(_LONGEST_LINE)  # what is beyond the bound is passed over
        yield kept.rstrip(b"\r\n").decode("utf-8", "replace")


def _objects(text: str) -> list[Diagnosed] | None:
    """What a Pod or a List of them in JSON (`kubectl get pods -o json`) says; None where the text is no such thing.

    Events in the List count for its pods (`kubectl get pods,events -o json`).
    """
    import orjson

    from webhook.diagnosis.pods import diagnose_pod

    try:
        document: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or not ({"kind", "items"} & document.keys()):
        return None
    items = document.get("items")
    listed = [one for one in (items if isinstance(items, list) else [document]) if isinstance(one, dict)]
    events = [one for one in listed if one.get("kind") == "Event"]
    pods = [one for one in listed if one.get("kind") in ("Pod", None)]
    return [found for pod in pods for found in diagnose_pod(pod, events)]
