"""Whether a block of lines holds nothing but events: one decode per megabyte, nothing per event.

This is the quick look for what nearly all input is. It only ever says yes when `record.admit` would
say yes to every line; a no costs nothing but a closer look, line by line.
"""

import io
import operator
import re
from typing import Any

import msgspec

from opentrail.limits import EVENT_ID_MAX_BYTES, EVENT_MAX_BYTES
from opentrail.record import parse_time

from .redact import Redactor

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
# How many halves of times are remembered: minutes mostly, and the seconds of a minute.
_KNOWN_MAX = 20_000
# `YYYY-MM-DDTHH:MM:` and `SSZ`: a time is readable if each half is, beside any readable other.
_MINUTE = slice(0, 17)
_REST = slice(17, None)
_SOME_MINUTE, _SOME_REST = "2000-01-01T00:00:", "00Z"


class _Glance(msgspec.Struct, gc=False):
    """What admission asks for, in the types that nearly all records have."""

    eventTime: str
    eventID: str
    awsRegion: str = ""
    recipientAccountId: str = ""


class _Identity(msgspec.Struct, gc=False):
    accountId: str = ""


class _SecondGlance(msgspec.Struct, gc=False):
    """The same, where the account may have to be the caller's: a third dearer."""

    eventTime: str
    eventID: str
    awsRegion: str = ""
    recipientAccountId: str = ""
    userIdentity: _Identity | None = None


_first = operator.itemgetter(0)
_ending = operator.itemgetter(slice(-2, None))
_minute = operator.itemgetter(_MINUTE)
_rest = operator.itemgetter(_REST)


class Sight:
    """The quick look at blocks of one source; `account`, `region` stand in where none is said."""

    def __init__(self, account: str, region: str, redactor: Redactor | None = None) -> None:
        self._account = account
        self._region = region
        self._redactor = redactor
        self._glances = msgspec.json.Decoder(_Glance)
        self._second_glances = msgspec.json.Decoder(_SecondGlance)
        self._minutes: set[str] = set()
        self._rests: set[str] = set()

    def count(self, block: bytes) -> int:
        """How many events `block` is made of, one a line; 0: it needs a closer look."""
        if b"\r" in block:
            return 0
        lines = io.BytesIO(block).readlines()
        # A value cannot hold `}` LF `{`: so every line is at least one value, and as many values
        # as lines means that each is exactly one.
        if set(map(_first, lines)) != {0x7B} or set(map(_ending, lines)) != {b"}\n"}:
            return 0
        try:
            glances: list[Any] = self._glances.decode_lines(block)
            if not block.isascii():
                block.decode()  # What the decoder skips it does not check.
            accounts = {glance.recipientAccountId or self._account for glance in glances}
            if "" in accounts:
                glances = self._second_glances.decode_lines(block)
                accounts = {_account_of(glance) or self._account for glance in glances}
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return 0
        if len(glances) != len(lines) or not all(map(_ACCOUNT.fullmatch, accounts)):
            return 0
        if not self._all_admitted(glances):
            return 0
        if len(block) > EVENT_MAX_BYTES and max(map(len, lines)) > EVENT_MAX_BYTES:
            return 0
        if self._redactor is not None and not self._redactor.fits(block):
            return 0
        return len(lines)

    def _all_admitted(self, glances: list[Any]) -> bool:
        if not self._are_times({glance.eventTime for glance in glances}):
            return False
        regions = {glance.awsRegion or self._region for glance in glances}
        if not all(map(_REGION.fullmatch, regions)):
            return False
        ids = [glance.eventID for glance in glances]
        # In characters: four bytes each at most.
        if not all(ids) or max(map(len, ids)) * 4 > EVENT_ID_MAX_BYTES:
            return False
        return "".join(ids).isprintable()

    def _are_times(self, times: set[str]) -> bool:
        """Whether every one is a readable eventTime: few halves are looked at for many times."""
        minutes = set(map(_minute, times)) - self._minutes
        if any(parse_time(minute + _SOME_REST) is None for minute in minutes):
            return False
        rests = set(map(_rest, times)) - self._rests
        if any(parse_time(_SOME_MINUTE + rest) is None for rest in rests):
            return False
        for known, found in ((self._minutes, minutes), (self._rests, rests)):
            if len(known) > _KNOWN_MAX:
                known.clear()
            known |= found
        return True


def _account_of(glance: _SecondGlance) -> str:
    identity = glance.userIdentity
    return glance.recipientAccountId or (identity.accountId if identity else "")
