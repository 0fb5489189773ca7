"""Whose events a trail hears of, before its selectors are asked: accounts, regions, categories.

    default            every account and region of the installation
    of an account      that account's; all regions of its partition, or its home region only
    of an organization the same, of each account of the organization

Events of global services belong to the global region of their partition. A trail of that region
alone may leave them out. Insight events go to the trails that have Insight selectors, whatever
their event selectors say.
"""

from collections.abc import Callable

from opentrail.identity import ALWAYS_GLOBAL
from opentrail_aggregator.trails.predicate import (
    Predicate,
    SelectedView,
    category_of,
    compile_selectors,
    looks_into,
)
from opentrail_aggregator.trails.trail import GLOBAL_REGIONS, TrailSpec, partition_of_region

CLOUDTRAIL = "cloudtrail.amazonaws.com"

Reach = Callable[[str, str], bool]
"""Account and canonical region -> whether their events may go to the trail."""


def reach_of(trail: TrailSpec) -> Reach:
    """The accounts and regions of a trail."""
    if trail.is_default:
        return lambda account, region: True
    accounts = frozenset((trail.account, *(trail.members if trail.organization else ())))
    home, partition = trail.home_region, partition_of_region(trail.home_region)
    if trail.multi_region:
        return lambda account, region: (
            account in accounts and partition_of_region(region) == partition
        )
    return lambda account, region: account in accounts and region == home


def takes_of(trail: TrailSpec, global_services: frozenset[str] = frozenset()) -> Predicate | None:
    """The test of one event; None if every event is taken."""
    if trail.everything:
        return None
    selected = compile_selectors(trail.selectors())
    tests: list[Predicate] = []
    if not trail.recursive:
        tests.append(lambda view: not _by_cloudtrail(view))
    if not (trail.multi_region or _hears_global(trail)):
        services = ALWAYS_GLOBAL | global_services
        tests.append(lambda view: str(view.eventSource) not in services)
    insights = bool(trail.insights)

    if not tests:

        def choose(view: SelectedView) -> bool:
            category = view.eventCategory
            if category == "Management":  # Nearly all of them.
                return selected(view)
            return insights if (category or category_of(view)) == "Insight" else selected(view)

        return choose

    def take(view: SelectedView) -> bool:
        if (view.eventCategory or category_of(view)) == "Insight":
            chosen = insights
        else:
            chosen = selected(view)
        return chosen and all(test(view) for test in tests)

    return take


def needs_structures(trail: TrailSpec) -> bool:
    """Whether its test looks at more than plain members."""
    return not trail.everything and (not trail.recursive or looks_into(trail.selectors()))


def _hears_global(trail: TrailSpec) -> bool:
    is_global = GLOBAL_REGIONS[partition_of_region(trail.home_region)] == trail.home_region
    return trail.global_events or not is_global


def _by_cloudtrail(view: SelectedView) -> bool:
    identity = view.userIdentity
    return isinstance(identity, dict) and identity.get("invokedBy") == CLOUDTRAIL
