"""What the dialer requires, and what that requires."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def required(
    package: Distribution, environment: Mapping[str, str] | None = None
) -> dict[str, tuple[Requirement, Distribution]]:
    """By canonical name; a Distribution is as it is installed here.

    `environment` replaces what markers know of this interpreter. Of several requirements of one package one is told.
    """
    found: dict[str, tuple[Requirement, Distribution]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(package, frozenset[str]())]
    while waiting:
        whose, extras = waiting.pop()
        for text in whose.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            known = dict(environment or {})
            if marker and not any(marker.evaluate({**known, "extra": extra}) for extra in ("", *extras)):
                continue
            name = canonicalize_name(requirement.name)
            if (name, str(sorted(requirement.extras))) not in seen:
                seen.add((name, str(sorted(requirement.extras))))
                found[name] = (requirement, distribution(name))
                waiting.append((found[name][1], frozenset(requirement.extras)))
    return found
