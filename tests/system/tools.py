"""Programs and rights that a fault test needs and a machine may lack.

Without them the test is skipped, and says so; with CI set it fails, for there everything runs.
"""

import os
import shutil
import subprocess

import pytest


def need(tool: str) -> str:
    """The path of a program on this machine."""
    path = shutil.which(tool)
    if path is None:
        _lacking(f"`{tool}` is missing: install it to run this test")
        raise AssertionError
    return path


def need_private_mounts() -> None:
    """A mount namespace of one's own, for a disk that is really full."""
    unshare = need("unshare")
    probe = [unshare, "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        _lacking("no right to mount in a private namespace: run as root")


def _lacking(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{what} (CI runs every test)")
    pytest.skip(what)
