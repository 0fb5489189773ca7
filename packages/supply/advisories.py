"""`make audit`: is anything known against what is pinned?

    python -m packages.supply.advisories [--service URL]

One question to OSV (https://osv.dev), the database that the Python packaging index's own advisories
are in too: every pinned name and version, in one request.  Names and versions are all that leaves
this machine.

    exit code 0   it answered, and knows of nothing
              1   it knows of something: each is listed
              3   nobody answered, or not for everything: NOTHING IS KNOWN either way, said loudly
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

from packages.supply.pinned import Pinned, SupplyError, read_pinned

SERVICE = "https://api.osv.dev"
SERVICE_VARIABLE = "OPENTRAIL_ADVISORIES"
TIMEOUT_SECONDS = 30
ANSWER_MAX_BYTES = 8 << 20
CLEAN, KNOWN, NOBODY = 0, 1, 3


class NoAnswerError(Exception):
    """The service did not say anything that can be used."""


def ask(service: str, pinned: Iterable[Pinned]) -> list[tuple[Pinned, list[str]]]:
    """What is known against each, in order; raises NoAnswerError unless all were answered."""
    asked = list(pinned)
    queries = [
        {"package": {"name": each.name, "ecosystem": "PyPI"}, "version": each.version}
        for each in asked
    ]
    request = urllib.request.Request(
        f"{service.rstrip('/')}/v1/querybatch",
        json.dumps({"queries": queries}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            content: Any = json.loads(answer.read(ANSWER_MAX_BYTES))
        results = content["results"]
        found = [[str(each["id"]) for each in one.get("vulns", [])] for one in results]
        cut = [one for one in results if one.get("next_page_token")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoAnswerError(f"{type(error).__name__}: {error}") from error
    if len(found) != len(asked):
        raise NoAnswerError(f"{len(asked)} packages were asked for, {len(found)} answered")
    if cut and not any(found):
        raise NoAnswerError("an answer was cut into pages, and its first one says nothing")
    return list(zip(asked, found, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description="ask what is known against what is pinned")
    parser.add_argument("--service", default=os.environ.get(SERVICE_VARIABLE, SERVICE))
    options = parser.parse_args()
    try:
        pinned = read_pinned()
    except SupplyError as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    try:
        answers = ask(options.service, pinned.values())
    except NoAnswerError as error:
        print(
            f"audit: NOT DONE. No advisory service answers here: {options.service} ({error}).\n"
            f"audit: nothing is known about {len(pinned)} pinned packages, neither good nor bad.\n"
            "audit: run it where that address can be reached, or name a mirror of it with\n"
            f"audit: {SERVICE_VARIABLE}=URL; before a release it has to have been done.",
            file=sys.stderr,
        )
        return NOBODY
    known = [(each, ids) for each, ids in answers if ids]
    for each, ids in known:
        used = ", ".join(sorted(each.roles)) or "only builds and tests"
        print(f"{each.name} {each.version} ({used}): {' '.join(ids)}")
    print(f"{len(pinned)} packages asked about, {len(known)} with advisories ({options.service})")
    return KNOWN if known else CLEAN


if __name__ == "__main__":
    sys.exit(main())
