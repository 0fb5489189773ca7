"""The options of `import` that say how S3 is asked."""

import argparse

from .settings import S3ClientSettings


def add_s3_options(command: argparse.ArgumentParser) -> None:
    """For paths that begin with s3://."""
    command.add_argument("--s3-endpoint", default="", metavar="URL", help="S3 that is not AWS")
    command.add_argument("--s3-region", default="", metavar="REGION", help="of the bucket")
    command.add_argument("--s3-profile", default="", metavar="NAME", help="of the AWS tools' files")
    command.add_argument("--s3-path-style", action="store_true", help="the bucket is in the path")
    command.add_argument(
        "--s3-workers", type=int, default=6, metavar="N", help="objects fetched at once (6)"
    )


def client_settings(options: argparse.Namespace) -> S3ClientSettings:
    """What the options say; raises ValueError."""
    return S3ClientSettings(
        endpoint=options.s3_endpoint,
        region=options.s3_region,
        profile=options.s3_profile,
        path_style=options.s3_path_style,
        workers=options.s3_workers,
    )
