"""`opentrail`: what a person types.

Most commands ask a running aggregator over HTTP (`client.py`); `up` starts one, `import` starts an
agent, `index rebuild` works on the home itself. Modules are loaded when their command is given:
a command has to answer in the time of a keystroke.

Exit codes: 0 done, also when nothing was found; 1 no answer, or sums that do not agree; 2 a wrong
command line or query; 78 a wrong configuration.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from opentrail.errors import OpenTrailError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    from opentrail_aggregator.cli.arguments import build_parser

    arguments = list(sys.argv[1:] if argv is None else argv)
    options = build_parser().parse_args(arguments)
    try:
        module = _loaded(options.module)
        code: int = getattr(module, options.function)(options)
        sys.stdout.flush()
        return code
    except OpenTrailError as error:
        print(f"opentrail: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, a pager) has seen enough. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _loaded(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"opentrail_aggregator.cli.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("opentrail"):
            raise
        raise OpenTrailError(
            f"{error.name} is not installed here; the agent needs no more, this command does: "
            "pip install 'opentrail[aggregator]'"
        ) from error
