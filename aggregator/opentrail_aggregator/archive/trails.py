"""Which trails there are at one position of the log, and which events each of them takes.

`default` is there from the start: everything, of the install's account and home region, into the
configured bucket and prefix. Everything else is control frames (trails/trail.py), so which trail an
event goes to follows from the log alone: events before a frame by the old state, behind it by the
new, whatever their eventTime.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from opentrail_aggregator.trails.predicate import Predicate
from opentrail_aggregator.trails.reach import Reach, needs_structures, reach_of, takes_of
from opentrail_aggregator.trails.trail import (
    DEFAULT_NAME,
    TRAIL_FRAME,
    TrailSpec,
    default_trail,
    root_of_trail,
    trail_of_frame,
)

DEFAULT_ACCOUNT = "000000000000"
DEFAULT_HOME_REGION = "us-east-1"
SETTINGS_FRAME = "settings"


@dataclass(frozen=True, slots=True)
class Trail:
    """A trail as far as delivery needs it."""

    arn: str
    name: str
    bucket: str
    prefix: str
    organization: str = ""
    kms_key_id: str = ""
    validates: bool = True
    reach: Reach = lambda account, region: True
    takes: Predicate | None = None
    """None: every event within its reach."""
    looks_into: bool = False
    """The test needs more of a record than its plain members."""

    @property
    def root(self) -> str:
        """What stands before the account in its keys."""
        return root_of_trail(self.prefix, self.organization)


@dataclass(slots=True)
class Tally:
    """How many events came along while a trail was there."""

    since: int
    """Events kept before it was made."""
    position: int = 0
    """The frame that made it, 0 for one that was there from the start."""
    taken: int = 0
    unselected: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What a frame makes of one trail."""

    arn: str
    number: int
    spec: TrailSpec | None
    stops: bool
    """It takes no more events, or not to the same place: what is open is to be cut first."""
    ends_digests: bool


@dataclass(slots=True)
class Trails:
    """The trails in force at one position of the log."""

    bucket: str
    prefix: str = ""
    account: str = DEFAULT_ACCOUNT
    home_region: str = DEFAULT_HOME_REGION
    all: tuple[Trail, ...] = ()
    """Those that are logging; `default` first, the others in order of their making."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    """Where any trail ever delivered to: what stands before the account in a key."""
    _specs: dict[str, TrailSpec] = field(default_factory=dict)
    """What frames said; `default` is here only once a frame spoke of it."""
    _number: int = 0
    _global_services: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._compile()

    def change_in(self, control: dict[str, Any]) -> Change | None:
        """What a control frame changes, None if nothing; ValueError if it is malformed."""
        if control.get("type") != TRAIL_FRAME:
            return None
        arn, number, spec = trail_of_frame(control)
        if number <= self._number:
            return None
        old = self.specs().get(arn)
        old_trail, new_trail = self._trail(old), self._trail(spec)
        was = old is not None and old.logging
        moves = (
            old_trail is None
            or new_trail is None
            or (old_trail.root, old_trail.kms_key_id, old_trail.validates)
            != (new_trail.root, new_trail.kms_key_id, new_trail.validates)
        )
        stops = was and (spec is None or not spec.logging or moves)
        return Change(arn, number, spec, stops, ends_digests=stops)

    def apply(self, change: Change, kept_total: int, position: int) -> None:
        """From frame `position` on it is so; `kept_total` events were kept before."""
        self._number = change.number
        if change.spec is None:
            self._specs.pop(change.arn, None)
        else:
            self._specs[change.arn] = change.spec
        self._compile(kept_total, position)

    def observe(self, control: dict[str, Any], kept_total: int = 0) -> None:
        """Take note of the settings of the install; `kept_total` as in `apply`."""
        if control.get("type") != SETTINGS_FRAME:
            return
        account, home_region = control.get("account"), control.get("home_region")
        if isinstance(account, str) and account:
            self.account = account
        if isinstance(home_region, str) and home_region:
            self.home_region = home_region
        services = control.get("global_services", [])
        self._global_services = frozenset(
            str(each) if "." in str(each) else f"{each}.amazonaws.com" for each in services
        )
        self._compile(kept_total)

    def count(self, kept: int, taken: dict[str, int]) -> None:
        """Of a frame: `kept` events came along, and so many went to each trail."""
        for arn, tally in self.tallies.items():
            own = taken.get(arn, 0)
            tally.taken += own
            tally.unselected += kept - own

    def begin(self, kept_total: int) -> None:
        """So many events are in the archive already: this log goes on with it."""
        for tally in self.tallies.values():
            tally.since = kept_total

    def specs(self) -> dict[str, TrailSpec]:
        """Every trail there is, by ARN."""
        first = default_trail(self.account, self.home_region, self.prefix)
        return {first.arn: self._specs.get(first.arn, first), **self._specs}

    def state(self) -> dict[str, Any]:
        """What `restore` needs at the same position."""
        return {
            "account": self.account,
            "home_region": self.home_region,
            "global_services": sorted(self._global_services),
            "number": self._number,
            "specs": [msgspec.to_builtins(each) for each in self._specs.values()],
            "tallies": {
                arn: [each.since, each.position, each.taken, each.unselected]
                for arn, each in self.tallies.items()
            },
            "roots": sorted(self.roots),
        }

    def restore(self, state: dict[str, Any], kept_total: int = 0) -> None:
        """Be as when `state` was taken, with so many events kept before."""
        specs = (msgspec.convert(each, TrailSpec) for each in state.get("specs", []))
        self._specs = {each.arn: each for each in specs}
        self._number = state.get("number", 0)
        self.tallies = {arn: Tally(*each) for arn, each in state.get("tallies", {}).items()}
        self.roots = set(state.get("roots", []))
        self.observe({"type": SETTINGS_FRAME, **state})
        if "tallies" not in state:  # Of a version that knew one trail, which took everything.
            for tally in self.tallies.values():
                tally.taken = kept_total

    def by_arn(self, arn: str) -> Trail:
        """The trail of that ARN, also one that is no longer in force but owes a delivery."""
        found = self._trail(self.specs().get(arn))
        if found is not None:
            return found
        return Trail(arn, arn.rpartition("/")[2], self.bucket, self.prefix)

    def _compile(self, kept_total: int = 0, position: int = 0) -> None:
        specs = self.specs()
        logging = (self._trail(each) for each in specs.values() if each.logging)
        self.all = tuple(each for each in logging if each is not None)
        self.roots |= {each.root for each in self._made(specs.values())}
        self.tallies = {arn: self.tallies.get(arn) or Tally(kept_total, position) for arn in specs}

    def _made(self, specs: Iterable[TrailSpec]) -> list[Trail]:
        return [made for each in specs if (made := self._trail(each)) is not None]

    def _trail(self, spec: TrailSpec | None) -> Trail | None:
        if spec is None:
            return None
        return Trail(
            spec.arn,
            spec.name,
            self.bucket,
            self.prefix if spec.is_default else spec.prefix,
            spec.organization,
            spec.kms_key_id,
            spec.validation,
            reach_of(spec),
            takes_of(spec, self._global_services),
            needs_structures(spec),
        )


__all__ = ["DEFAULT_ACCOUNT", "DEFAULT_HOME_REGION", "DEFAULT_NAME", "Change", "Trail", "Trails"]
