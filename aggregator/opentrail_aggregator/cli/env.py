"""`opentrail env`: shell lines that point AWS's own tools at the aggregator of this home.

The secret is printed, for `eval "$(opentrail env)"`; it is the content of the key file, which its
owner can read anyway.
"""

import argparse
import shlex

from opentrail_aggregator.cli.client import endpoint_of, home_of, key_of


def show(options: argparse.Namespace) -> int:
    """Print the lines."""
    home = home_of(options)
    endpoint, key = endpoint_of(home), key_of(home)
    region = str(endpoint.get("region") or "us-east-1")
    variables = {
        "AWS_ENDPOINT_URL": str(endpoint["url"]),
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    print("unset AWS_SESSION_TOKEN AWS_PROFILE")
    return 0
