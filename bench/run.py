"""The figures of docs/performance.md, from one command.

    python -m bench.run                    all of them, at full size (about an hour)
    python -m bench.run pairs found        some of them
    python -m bench.run --scale small      a minute, to see that everything runs
    python -m bench.run --list             their names

Each ratio is taken against a peer in the same run on the same machine; the table is Markdown.
"""

import argparse
import sys
import time

from bench import (
    fair,
    latency,
    lookup,
    opensearch,
    opensearch_size,
    pairs,
    put,
    rebuild,
    s3import,
    search,
    sustained,
    trails,
    verify,
    weight,
)
from bench.figures import FULL, SCALES, Figure, Measure, table
from bench.machine import describe

MEASURES: dict[str, tuple[str, Measure]] = {
    "pairs": ("agent -> aggregator durable on disk, agent CPU, against the peers", pairs.run),
    "ack": ("acknowledgement after fsync at 10,000 events/s", latency.acknowledged),
    "fair": ("acknowledgements of quiet agents beside one that floods", fair.run),
    "found": ("written line -> found at 2,000 events/s, the aggregator's memory", latency.found),
    "bulk": ("into the real OpenSearch, against peers and a loader", opensearch.rate),
    "bulk-pair": ("agent, aggregator, _bulk to a sink, against the peers' pairs", opensearch.pair),
    "bulk-found": ("written line -> found in OpenSearch at 1,000 events/s", opensearch.found),
    "bulk-size": ("index bytes and server CPU against dynamic mapping", opensearch_size.size),
    "sustained": ("ten minutes at 10,000 events/s, every event then found", sustained.run),
    "search": ("questions over HTTP, 5 million events in 90 days", search.run),
    "lookup": ("LookupEvents, signed, by EventId and by Username within one day", lookup.run),
    "put": ("PutAuditEvents, signed, in batches of a hundred, durable", put.run),
    "selectors": ("events a second through the test of one trail", trails.selectors),
    "trails": ("the archive's CPU with five trails against one", trails.five),
    "verify": ("opentrail verify against the AWS CLI's validate-logs", verify.run),
    "rebuild": ("the embedded index made anew from the archive", rebuild.run),
    "memory": ("the agent's memory, also on a 50 MB single-line .gz", weight.agent_memory),
    "idle": ("an agent with nothing to do, with one file and with a thousand", weight.idle),
    "start": ("start with a 5 GB backlog", weight.start),
    "s3import": ("import from a real S3 server: many files, and large ones", s3import.run),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which figures (default: all)")
    parser.add_argument("--scale", choices=sorted(SCALES), default=FULL.name)
    parser.add_argument("--list", action="store_true", help="print the names and end")
    options = parser.parse_args()
    if options.list:
        for name, (meaning, _) in MEASURES.items():
            print(f"{name:<10} {meaning}")
        return 0
    unknown = set(options.names) - set(MEASURES)
    if unknown:
        parser.error(f"no such figure: {', '.join(sorted(unknown))}; --list names them")
    print(f"machine: {describe()}\nscale: {options.scale}\n", flush=True)
    figures: list[Figure] = []
    for name in options.names or MEASURES:
        started = time.monotonic()
        print(f"--- {name}: {MEASURES[name][0]}", flush=True)
        try:
            found = MEASURES[name][1](SCALES[options.scale])
        except Exception as error:  # One figure that cannot be had must not cost the others.
            print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
            found = [Figure(name, f"failed: {error}".split("\n")[0][:200], "", False)]
        figures += found
        print(table(found))
        print(f"--- {name}: {time.monotonic() - started:.0f} s\n", flush=True)
    print(table(figures))
    return 0 if all(each.holds is not False for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
