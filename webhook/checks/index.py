"""Finds the checks: every module in the area folders below this package that holds a `CHECK`.

Two checks of one code or name can't start, and neither can an area's module without one.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

import webhook.checks
from webhook.checks.base import Check

if TYPE_CHECKING:
    from types import ModuleType


@functools.cache
def modules() -> dict[str, ModuleType]:
    """Check code → its module, sorted by code. Raises TypeError on a module without `CHECK` or a code used twice."""
    found: dict[str, ModuleType] = {}
    names: set[str] = set()
    for area in pkgutil.iter_modules(webhook.checks.__path__, "webhook.checks."):
        if not area.ispkg:
            continue
        package = importlib.import_module(area.name)
        for info in pkgutil.iter_modules(package.__path__, f"{area.name}."):
            if info.name.rpartition(".")[2].startswith("_"):
                continue
            module = importlib.import_module(info.name)
            check = getattr(module, "CHECK", None)
            if not isinstance(check, Check):
                raise TypeError(f"{info.name} holds no CHECK")
            if check.code in found or check.name in names:
                raise TypeError(f"{info.name}: {check.code} {check.name} is taken")
            found[check.code] = module
            names.add(check.name)
    return dict(sorted(found.items()))


@functools.cache
def all_checks() -> tuple[Check, ...]:
    """Every check, sorted by code."""
    return tuple(module.CHECK for module in modules().values())
