"""Whether two records are equal as JSON, though their bytes differ.

Members may come in another order, characters may be escaped another way, and there may be other
white space; that makes a copy. A number written another way is equal if its value is, however
large. Anything else is another content, and so is a repeated member: which of the two counts is
every reader's own choice, which is what a forger would use.
"""

import json
from decimal import Decimal, DecimalException
from typing import Any


def same_json(left: bytes, right: bytes) -> bool:
    """Whether both are JSON and equal; False when in doubt."""
    if left == right:
        return True
    try:
        return bool(_parse(left) == _parse(right))
    except (ValueError, RecursionError, DecimalException):
        return False


def _parse(data: bytes) -> Any:
    return json.loads(
        data.decode(),
        object_pairs_hook=_members,
        parse_int=_number,
        parse_float=_number,
        parse_constant=lambda name: ("constant", name),
    )


def _number(text: str) -> tuple[str, Decimal]:
    # Tagged, since Python holds 1 == True; a Decimal, since it holds 1.0 == 1.00000000000000001.
    return ("number", Decimal(text))


def _members(pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    return members if len(members) == len(pairs) else ("repeated", pairs)
