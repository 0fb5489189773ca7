"""Which version this is, as installed."""

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("opentrail")
    except PackageNotFoundError:
        return "0 (not installed)"


VERSION = _installed()
