"""What is known of the events of a frame beyond the verdict: folder, and which trails take them.

Decodes each line once, and only as much of it as the trails look at. Where no trail looks at
anything, the category alone is decoded.
"""

from typing import Any, cast

import msgspec
import numpy as np

from opentrail_aggregator.archive.keys import DEFAULT_FOLDER, FOLDERS
from opentrail_aggregator.archive.trails import Trail, Trails
from opentrail_aggregator.consolidate.verdict import KEPT, REFUSED, Verdict
from opentrail_aggregator.trails.predicate import PlainView, SelectedView

FOLDER_NAMES = (DEFAULT_FOLDER, *sorted(FOLDERS.values()))
_FOLDER_CODES = {name: FOLDER_NAMES.index(folder) for name, folder in FOLDERS.items()}


class _Category(msgspec.Struct, gc=False):
    eventCategory: Any = None


_category_decoder = msgspec.json.Decoder(_Category)
_plain_decoder = msgspec.json.Decoder(PlainView)
_whole_decoder = msgspec.json.Decoder(SelectedView)
_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeError)
_NOT_KEPT = SelectedView()


class Chosen:
    """The answers for one frame."""

    def __init__(self, data: bytes, verdict: Verdict, trails: Trails) -> None:
        choosing = [trail for trail in trails.all if trail.takes is not None]
        decoders: list[Any] = [_category_decoder]
        if choosing:
            decoders.insert(0, _plain_decoder)
        if any(trail.looks_into for trail in choosing):
            decoders.insert(0, _whole_decoder)
        views = _decoded(data, verdict, decoders)
        self.folders = _folder_codes([view.eventCategory for view in views])
        """Folder of each line as a code, None when all are in the usual one."""
        self.masks = {trail.arn: _mask(trail, views) for trail in choosing}
        """Which events a trail takes; it takes all if it is not in here."""


def _mask(trail: Trail, views: list[Any]) -> Any:
    takes = trail.takes
    assert takes is not None
    # Plain views lack what this test does not look at (`looks_into`).
    count = len(views)
    return np.fromiter((takes(view) for view in cast("list[SelectedView]", views)), bool, count)


def _decoded(data: bytes, verdict: Verdict, decoders: list[Any]) -> list[Any]:
    """A view of each line.

    Refused lines can be anything, also two values on one line: with them in the batch, values and
    lines are not one to one and must not be decoded as if they were.
    """
    if REFUSED not in verdict.outcomes:
        try:
            return cast("list[Any]", decoders[0].decode_lines(data))
        except _ERRORS:
            if len(decoders) == 1:
                raise
    lines = data.split(b"\n")[:-1]
    return [
        _view(line, decoders) if verdict.outcomes[ordinal] == KEPT else _NOT_KEPT
        for ordinal, line in enumerate(lines)
    ]


def _view(line: bytes, decoders: list[Any]) -> Any:
    """As much of a record as can be read: a number out of range in a member that nothing else
    looks at must not hold up an archive. What cannot be read is absent."""
    for decoder in decoders[:-1]:
        try:
            view = decoder.decode(line)
        except _ERRORS:
            continue
        return SelectedView(**{name: getattr(view, name) for name in view.__struct_fields__})
    return SelectedView(eventCategory=decoders[-1].decode(line).eventCategory)


def _folder_codes(categories: list[Any]) -> Any:
    if _FOLDER_CODES.keys().isdisjoint(_texts(categories)):
        return None
    codes = [_FOLDER_CODES.get(each, 0) if isinstance(each, str) else 0 for each in categories]
    return np.array(codes, dtype=np.int64)


def _texts(categories: list[Any]) -> set[Any]:
    try:
        return set(categories)
    except TypeError:  # A category can be any JSON value.
        return {each for each in categories if isinstance(each, str)}
