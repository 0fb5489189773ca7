"""Everything that constraints.txt pins, and what each thing is for.

Read off constraints.txt and the metadata of what is installed in this environment, which has to be
the same: a bill of something else would be worse than none.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
AGENT = "agent"
AGGREGATOR = "aggregator"
TOOL = "tool"
# What is installed for each role, as in the Dockerfiles.
EXTRAS = {AGENT: {"s3"}, AGGREGATOR: {"aggregator", "opensearch", "s3"}}


class SupplyError(Exception):
    """What is pinned and what is installed are not the same."""


@dataclass(slots=True)
class Pinned:
    """One distribution."""

    name: str
    version: str
    license: str
    needs: list[str]
    """Canonical names of the pinned distributions it needs itself."""
    roles: set[str] = field(default_factory=set)
    """agent, aggregator; empty for what only builds and tests."""

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def read_pinned(constraints: Path = ROOT / "constraints.txt") -> dict[str, Pinned]:
    """By canonical name, in order."""
    versions: dict[str, str] = {}
    for line in constraints.read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, version = line.partition("==")
        if not separator:
            raise SupplyError(f"{constraints}: {line!r} pins nothing; write NAME==VERSION")
        versions[canonicalize_name(name.strip())] = version.split("#")[0].strip()
    pinned = {name: _described(name, version) for name, version in sorted(versions.items())}
    for role, extras in EXTRAS.items():
        for name in _closure("opentrail", extras):
            if name != "opentrail":
                if name not in pinned:
                    raise SupplyError(f"{name} is needed by the {role} and not in {constraints}")
                pinned[name].roles.add(role)
    for each in pinned.values():
        each.needs = sorted({need for need in each.needs if need in pinned})
    return pinned


def version_of_opentrail() -> str:
    """Of the tree, as it is installed."""
    return _installed("opentrail").version


def direct_needs() -> list[str]:
    """What opentrail itself names, extras included, development excluded."""
    extras = set().union(*EXTRAS.values())
    return sorted({name for name, _ in _requirements(_installed("opentrail"), extras)})


def _described(name: str, version: str) -> Pinned:
    found = _installed(name)
    if found.version != version:
        raise SupplyError(
            f"{name} {found.version} is installed, {version} is pinned; run `make setup`"
        )
    needs = [need for need, _ in _requirements(found, set())]
    return Pinned(name, version, _license(found), needs)


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise SupplyError(f"{name} is pinned and not installed; run `make setup`") from None


def _closure(name: str, extras: set[str]) -> set[str]:
    """`name` and all that it needs with `extras`, and so on."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, frozenset(extras))]
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            waiting += _requirements(_installed(each[0]), set(each[1]))
    return {name for name, _ in seen}


def _requirements(found: Distribution, extras: set[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for text in found.requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def _license(found: Distribution) -> str:
    """As the distribution names it itself; empty where it says nothing short."""
    for expression in found.metadata.get_all("License-Expression") or []:
        return str(expression)
    named = "".join(found.metadata.get_all("License") or []).strip()
    if named and len(named) <= 60 and "\n" not in named:
        return named
    classified = [
        re.sub(r" \(.*\)$", "", each.rpartition(" :: ")[2])
        for each in found.metadata.get_all("Classifier") or []
        if each.startswith("License :: ")
    ]
    return classified[0] if classified else ""
