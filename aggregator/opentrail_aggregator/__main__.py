"""`opentrail-aggregator`: starts `daemon.py`, or says what has to be installed first."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    try:
        from opentrail_aggregator.daemon import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("opentrail"):
            raise
        print(
            f"opentrail-aggregator: {error.name} is not installed here; the agent needs no more, "
            "the aggregator does: pip install 'opentrail[aggregator]'",
            file=sys.stderr,
        )
        return 1
    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
