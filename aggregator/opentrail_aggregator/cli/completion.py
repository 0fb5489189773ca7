"""completion: the script by which a shell completes `opentrail`."""

import argparse

from opentrail.completion import completion_of


def show(options: argparse.Namespace) -> int:
    """`opentrail completion bash`."""
    from opentrail_aggregator.cli.arguments import build_parser

    print(completion_of(build_parser(), options.shell))
    return 0
