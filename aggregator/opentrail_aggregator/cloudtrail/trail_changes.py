"""The operations that change trails. An answer means: the change is in the log, durable.

`default` is the installation's own: it can be stopped, started, tagged and given selectors, but its
place is the configuration file's and it cannot be deleted.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from opentrail.errors import OpenTrailError
from opentrail_aggregator.cloudtrail.call import Call
from opentrail_aggregator.cloudtrail.channel_calls import check_tags
from opentrail_aggregator.cloudtrail.errors import ApiError, unavailable
from opentrail_aggregator.cloudtrail.owner import acting_account
from opentrail_aggregator.cloudtrail.trail_input import Place, with_settings
from opentrail_aggregator.cloudtrail.trail_names import check_name, check_owner, find_trail
from opentrail_aggregator.cloudtrail.trail_shapes import EVERYTHING, selectors_of, settings_of
from opentrail_aggregator.cloudtrail.trails import named_trail
from opentrail_aggregator.ingest.control import ControlError
from opentrail_aggregator.trails.book import Decide, TrailBook
from opentrail_aggregator.trails.selectors import SelectorError, read_selectors
from opentrail_aggregator.trails.trail import TrailSpec

Trails = dict[str, TrailSpec]


class TrailChanges:
    """See above."""

    def __init__(
        self, book: TrailBook, place: Place, trails_max: int, now_s: Callable[[], int]
    ) -> None:
        self._book = book
        self._place = place
        self._trails_max = trails_max
        self._now_s = now_s

    async def create(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        name = given["Name"]
        if name.startswith("arn:"):
            raise ApiError("InvalidTrailNameException", "A new trail has a name, not an ARN.")
        check_name(name)
        account = acting_account(call.scope, self._place.account)
        if not account:
            raise ApiError("OperationNotPermittedException", "This key stands in no account.")
        tags = given.get("TagsList") or []
        check_tags(tags)
        blank = TrailSpec(
            name=name, home_region=call.region, account=account, created_at=self._now_s(),
            tags=[{"Key": tag["Key"], "Value": tag.get("Value") or ""} for tag in tags],
        )  # fmt: skip
        # Off to on would turn global events on; a new trail has them unless told otherwise.
        trail = with_settings(blank, given, self._place)

        def decide(trails: Trails) -> tuple[str, TrailSpec]:
            self._check_new(trails, trail)
            return trail.arn, trail

        return settings_of(await self._change(decide), self._place.bucket)

    async def update(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        def changed(trail: TrailSpec) -> TrailSpec:
            wanted = with_settings(trail, given, self._place)
            if not trail.is_default:
                return wanted
            # Its place is told as the archive's; saying that again changes nothing.
            same = msgspec.structs.replace(wanted, bucket="")
            if same != trail:
                raise ApiError(
                    "OperationNotPermittedException",
                    f"The trail {trail.name} is set by the configuration file; make another one.",
                )
            return trail

        trail = await self._of_trail(call, given["Name"], changed)
        return settings_of(trail, self._place.bucket)

    async def delete(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        def decide(trails: Trails) -> tuple[str, None]:
            trail = self._own(trails, call, given["Name"])
            if trail.is_default:
                raise ApiError(
                    "OperationNotPermittedException",
                    f"The trail {trail.name} is set by the configuration file; it can be stopped.",
                )
            return trail.arn, None

        await self._write(decide)
        return {}

    async def start(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        def changed(trail: TrailSpec) -> TrailSpec:
            if trail.logging:
                return trail
            return msgspec.structs.replace(trail, logging=True, started_at=self._now_s())

        await self._of_trail(call, given["Name"], changed)
        return {}

    async def stop(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        def changed(trail: TrailSpec) -> TrailSpec:
            if not trail.logging:
                return trail
            return msgspec.structs.replace(trail, logging=False, stopped_at=self._now_s())

        await self._of_trail(call, given["Name"], changed)
        return {}

    async def put_event_selectors(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        basic, advanced = given.get("EventSelectors"), given.get("AdvancedEventSelectors")

        def changed(trail: TrailSpec) -> TrailSpec:
            if trail.is_default and advanced == EVERYTHING and not basic:
                return msgspec.structs.replace(trail, everything=True, basic=[], advanced=[])
            try:
                read_selectors(_without_nulls(basic), _without_nulls(advanced))
            except SelectorError as error:
                raise ApiError("InvalidEventSelectorsException", str(error)[:1000]) from error
            return msgspec.structs.replace(
                trail, everything=False, basic=_without_nulls(basic) or [],
                advanced=_without_nulls(advanced) or [],
            )  # fmt: skip

        return selectors_of(await self._of_trail(call, given["TrailName"], changed))

    async def put_insight_selectors(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        name = named_trail(given)
        wanted = [_insight(each) for each in given["InsightSelectors"]]
        kinds = [each["InsightType"] for each in wanted]
        if len(set(kinds)) != len(kinds):
            raise ApiError("InvalidInsightSelectorsException", "An InsightType is given twice.")
        trail = await self._of_trail(
            call, name, lambda trail: msgspec.structs.replace(trail, insights=wanted)
        )
        return {"TrailARN": trail.arn, "InsightSelectors": trail.insights}

    async def tag(
        self, call: Call, arn: str, changed: Callable[[list[dict[str, str]]], list[dict[str, str]]]
    ) -> None:
        """Change the tags of a trail."""
        await self._of_trail(
            call, arn,
            lambda trail: msgspec.structs.replace(trail, tags=changed(trail.tags)),
            anywhere=True,
        )  # fmt: skip

    # How a change comes about.

    async def _of_trail(
        self,
        call: Call,
        name: str,
        changed: Callable[[TrailSpec], TrailSpec],
        *,
        anywhere: bool = False,
    ) -> TrailSpec:
        """The trail of the caller's after the change; nothing is written if it changes nothing."""
        now = [TrailSpec(name="none", home_region="none", account="0" * 12)]

        def decide(trails: Trails) -> tuple[str, TrailSpec] | None:
            trail = self._own(trails, call, name, anywhere=anywhere)
            now[0] = changed(trail)
            if now[0].multi_region and not trail.multi_region:
                self._check_room(trails, now[0])
            return None if now[0] == trail else (trail.arn, now[0])

        await self._write(decide)
        return now[0]

    async def _change(self, decide: Decide) -> TrailSpec:
        made = await self._write(decide)
        assert made is not None
        return made

    async def _write(self, decide: Decide) -> TrailSpec | None:
        try:
            return await asyncio.to_thread(self._book.change, decide)
        except ControlError as error:
            raise unavailable(
                "The change could not be written into the log now; ask what became of it, and try "
                "again."
            ) from error
        except OpenTrailError as error:
            raise unavailable("The trails cannot be read or written now; see the log.") from error

    def _own(
        self, trails: Mapping[str, TrailSpec], call: Call, name: str, *, anywhere: bool = False
    ) -> TrailSpec:
        trail = find_trail(trails, call, self._place.account, name)
        check_owner(trail, call, self._place.account, anywhere=anywhere)
        return trail

    def _check_new(self, trails: Trails, new: TrailSpec) -> None:
        for each in trails.values():
            if (each.name, each.account) == (new.name, new.account) and (
                each.home_region == new.home_region or each.multi_region
            ):
                raise ApiError(
                    "TrailAlreadyExistsException",
                    f"Trail {new.name} already exists for customer: {new.account}",
                )
        self._check_room(trails, new)

    def _check_room(self, trails: Trails, new: TrailSpec) -> None:
        """A multi-region trail counts in each region."""
        others = [
            each
            for each in trails.values()
            if each.account == new.account and not each.is_default and each.arn != new.arn
        ]
        regions = {each.home_region for each in others} if new.multi_region else set()
        for region in sorted(regions | {new.home_region}):
            there = sum(each.multi_region or each.home_region == region for each in others)
            if there >= self._trails_max:
                raise ApiError(
                    "MaximumNumberOfTrailsExceededException",
                    f"User: {new.account} already has {there} trails in {region} "
                    f"(cloudtrail.trails_max {self._trails_max}).",
                )


def _insight(given: dict[str, Any]) -> dict[str, Any]:
    categories = given.get("EventCategories")
    if given.get("InsightType") is None:
        raise ApiError(
            "InvalidInsightSelectorsException", "An Insight selector has an InsightType."
        )
    told = {"InsightType": given["InsightType"]}
    return {**told, **({"EventCategories": categories} if categories else {})}


def _without_nulls(given: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Members that are null are absent, as everywhere in this protocol."""
    return None if given is None else [_pruned(each) for each in given]


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _pruned(each) for name, each in value.items() if each is not None}
    return [_pruned(each) for each in value] if isinstance(value, list) else value
