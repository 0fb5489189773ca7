"""doctor: what is wrong with this installation, and how to end it.  Exit code 1 if anything is."""

import argparse
import json
from pathlib import Path

from opentrail.clock import SystemClock
from opentrail.errors import ConfigError
from opentrail_aggregator.cli.client import home_of
from opentrail_aggregator.cli.settings_of_home import settings_of
from opentrail_aggregator.config import load
from opentrail_aggregator.doctor import of_home, of_host
from opentrail_aggregator.doctor.patient import Finding, Patient

CHECKS = (*of_host.CHECKS, *of_home.CHECKS)


def doctor(options: argparse.Namespace) -> int:
    """`opentrail doctor`."""
    found = examined(options)
    if options.output == "json":
        rows = [{"check": each.check, "what": each.what, "fix": each.fix} for each in found]
        print(json.dumps(rows, indent=1))
        return 1 if found else 0
    for each in found:
        print(f"{each.check}: {each.what}\n    fix: {each.fix}")
    if not found:
        print(f"nothing found by {len(CHECKS) + 1} checks; `opentrail status` says how it runs")
    return 1 if found else 0


def examined(options: argparse.Namespace) -> list[Finding]:
    """Everything that is found; a wrong configuration is all that can be found."""
    try:
        settings = load(Path(options.config)) if options.config else settings_of(home_of(options))
    except ConfigError as error:
        fix = "correct it there; `opentrail-aggregator validate` tells when it is right"
        return [Finding("configuration", str(error), fix)]
    patient = Patient(settings, SystemClock())
    return [finding for check in CHECKS for finding in check(patient)]
