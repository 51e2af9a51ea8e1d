"""`pullproof inspect`: how references are read, and what is known to be wrong with them, without any manifest."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from webhook.cli.output import color_option, style
from webhook.errors import PullproofError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from webhook.model.facts import PullSecretList
    from webhook.report.inspection import Inspected

_LONGEST_LINE: Final = 1 << 20
_AREAS: Final = ("PULL1", "PULL2")
"""The checks that need nothing but the text of a reference."""
_WITH_SECRETS: Final = (*_AREAS, "PULL3")


@click.command()
@click.argument("images", metavar="IMAGE...|-", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "jsonl"]),
    default="text",
    show_default=True,
    help="Format: json is one list, jsonl one object a line.",
)
@click.option(
    "--secrets",
    "secret_files",
    metavar="FILE",
    multiple=True,
    help="Also tell which pull secrets of this file the kubelet would try, and why not the others (repeatable).",
)
@color_option
def command(images: tuple[str, ...], output: str, secret_files: tuple[str, ...], color: str) -> int:
    """Show how image references are read: domain, path, tag, digest, registry, and what is wrong.

    With - the references come from standard input, one a line; each line gives one result, in order, also where it is
    no reference.

    \b
    Examples:
      pullproof inspect nginx contoso.azureacr.io/shop:1
      kubectl get pods -A -o jsonpath='{..image}' | tr ' ' '\\n' | sort -u | pullproof inspect -
      pullproof inspect -o jsonl - < images.txt
      pullproof inspect us.icr.io/team/app:1 --secrets regcred.yaml --secrets all-icr-io.yaml

    Exit status: 0, also for invalid references; 2 for unreadable input.
    """
    from webhook.report import inspection

    inspected = _inspector(_pull_secrets(secret_files) if secret_files else None)
    results = (inspected(image) for given in images for image in (_lines() if given == "-" else (given,)))
    if output == "text":
        painted = style(color)
        for result in results:
            sys.stdout.write(inspection.text(result, painted))
        return 0
    parts = map(inspection.json_line, results)
    if output == "jsonl":
        sys.stdout.writelines(f"{part}\n" for part in parts)
        return 0
    sys.stdout.write("[")
    for index, part in enumerate(parts):
        sys.stdout.write(f",\n {part}" if index else part)
    sys.stdout.write("]\n")
    return 0


def _lines() -> Iterator[str]:
    """The lines of standard input as they stand; bytes that are no UTF-8 come through as lone surrogates."""
    stream = sys.stdin.buffer
    number = 0
    while line := stream.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise PullproofError(f"line {number} of standard input is longer than {_LONGEST_LINE >> 20} MiB")
        yield line.removesuffix(b"\n").decode("utf-8", "surrogateescape")


def _pull_secrets(files: tuple[str, ...]) -> PullSecretList:
    """The Secrets in these files as though a pod listed all of them, in the order of the files."""
    from webhook.model.dockerconfig import read_secret
    from webhook.model.facts import Known, PullSecretList, SecretRef
    from webhook.sources.manifests import read

    inputs = read(files, frozenset({"Secret"}))
    for problem in inputs.unreadable:
        raise PullproofError(f"{problem.file}: {problem.message}")
    secrets = [read_secret(manifest.obj) for manifest in inputs.manifests]
    if not secrets:
        raise PullproofError(f"no Secret in {', '.join(files)}")
    return PullSecretList("pod", "default", tuple(SecretRef(secret.name, Known(secret)) for secret in secrets))


def _inspector(pull_secrets: PullSecretList | None) -> Callable[[str], Inspected]:
    """Reads one reference after the other; made once, since what it needs takes time to import."""
    from webhook.catalogue.image_os import image_os
    from webhook.catalogue.registries import lookup
    from webhook.checks.index import all_checks
    from webhook.engine.evaluate import evaluate, read_reference
    from webhook.model.facts import NOT_LOOKED, Facts, Known
    from webhook.model.reference import Reference
    from webhook.model.workload import extract
    from webhook.report.inspection import Inspected

    areas = _AREAS if pull_secrets is None else _WITH_SECRETS
    checks = [check for check in all_checks() if check.code.startswith(areas)]
    facts = Facts(pull_secrets=NOT_LOOKED if pull_secrets is None else Known(pull_secrets), now=int(time.time()))

    def inspected(image: str) -> Inspected:
        workload = extract({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": image}]}})
        assert workload is not None  # noqa: S101 it is a Pod
        reference = read_reference(image)
        registry = lookup(reference.domain or reference.host) if isinstance(reference, Reference) else None
        found = evaluate(workload, facts, checks)
        told = image_os(reference) if isinstance(reference, Reference) else None
        return Inspected(image, reference, registry.id if registry else None, found, pull_secrets, told)

    return inspected
