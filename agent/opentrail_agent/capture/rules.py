"""What is hidden: key names, paths and patterns, as data, and the quick test for their traces.

A key is meant if it is one of the names or ends with one, in any case and however its words are
joined: `sessionToken` also names `session_token`, `session-token` and `x-amz-session-token`.
A trace is a sequence of bytes without which no rule can apply; nearly all input has none, so
looking for traces is all it costs. This module hides nothing: `spans` finds the places.
"""

import functools
import re
from dataclasses import dataclass

HIDDEN = b"HIDDEN_DUE_TO_SECURITY_REASONS"
"""What stands in the place of a value, as in CloudTrail's own records."""

NAMES = (
    "password", "passwd", "passphrase", "secret", "secretAccessKey", "token", "sessionToken",
    "authorization", "cookie", "privateKey", "apiKey",
)  # fmt: skip
"""Key names that are hidden unless redaction is off."""
KEPT_KEYS = frozenset(
    (b"nexttoken", b"continuationtoken", b"pagetoken", b"nextpagetoken", b"paginationtoken")
)
"""They end like a secret and only say where a listing goes on."""
PROTECTED = frozenset(
    (
        "eventtime", "eventid", "eventsource", "eventname", "awsregion", "recipientaccountid",
        "useridentity", "useridentity.accountid", "accountid", "timewindow", "eventversion",
    )
)  # fmt: skip
"""Without these a record is no event, or another one: no rule may name them."""

LAST_APPLIED = b"last-applied-configuration"
"""The annotation in which kubectl keeps a copy of all it was given, secrets too."""
KUBERNETES_KINDS = frozenset((b"secret", b"secretlist", b"secrets"))
KUBERNETES_KEYS = frozenset((b"data", b"stringdata"))
PEM = b"private key-----"

PAIR_NAMES = frozenset((b"name", b"key", b"header", b"field"))
PAIR_VALUES = frozenset((b"value", b"values"))
"""{"name": "Authorization", "value": ...}: the value of what is called like a secret."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_JOINT = re.compile(rb"[_\-]")
_STEM_MIN = 6
# A text is thinned out before stems are looked for: a third of it is left, and what is not in the
# thin text was not in the whole one.
_THIN = b"bcdfghijklmnopqrstvwxyz"
_LOWER = bytes(range(256)).lower()
_LEFT_OUT = bytes(set(range(256)) - set(_THIN + _THIN.upper()))
# Of letters and joints; no encoder escapes them, so who does so hides something.
SUSPICIOUS_ESCAPE = re.compile(rb"\\u00(?:2d|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9a])")


@dataclass(frozen=True, slots=True)
class Rules:
    """Names and paths, compiled."""

    endings: tuple[bytes, ...]
    """A key that ends with one of these is meant; lower case."""
    rule_of: dict[bytes, str]
    stems: tuple[bytes, ...]
    """One of these is in every text, in lower case, that holds a key that is meant."""
    thin_stems: tuple[tuple[bytes, bytes], ...]
    """Each stem thinned out, and the stem."""
    paths: re.Pattern[str] | None
    steps: tuple[bytes, ...]
    """The last keys of the paths."""

    def rule_for(self, key: bytes) -> str:
        """The name of the rule that means `key` (lower case), empty if none does."""
        if not key.endswith(self.endings) or key in KEPT_KEYS:
            return ""
        return next(rule for ending, rule in self.rule_of.items() if key.endswith(ending))

    def has_path(self, path: str) -> bool:
        return self.paths is not None and self.paths.fullmatch(path) is not None

    def likely_stems(self, text: bytes) -> list[bytes]:
        """The stems that may be in `text`, in any case; those left out are not."""
        thin_text = text.translate(_LOWER, _LEFT_OUT)
        return [stem for thin, stem in self.thin_stems if thin in thin_text]

    def leave_traces(self, lower: bytes) -> bool:
        """Whether any rule may apply to a text, given in lower case."""
        return (
            any(stem in lower for stem in self.stems)
            or any(step in lower for step in self.steps)
            or SUSPICIOUS_ESCAPE.search(lower) is not None
        )


@functools.lru_cache(maxsize=256)
def rules_of(names: tuple[str, ...] = (), paths: tuple[str, ...] = ()) -> Rules:
    """The built-in rules and these."""
    rule_of: dict[bytes, str] = {LAST_APPLIED: "last-applied-configuration"}
    stems: set[bytes] = {LAST_APPLIED, b"private", b"secret"}
    for name in (*NAMES, *names):
        words = [word.lower().encode() for word in _WORD.findall(name)] or [name.lower().encode()]
        joined = {joint.join(words) for joint in (b"", b"_", b"-")}
        rule_of |= {ending: name for ending in (*joined, name.lower().encode())}
    for ending in rule_of:
        # Who looks for `token` finds `sessionToken`.
        if any(ending.endswith(each) for each in rule_of if each != ending):
            continue
        first = _JOINT.split(ending)[0]
        stems.add(first if len(first) >= _STEM_MIN else ending)
    # A text that holds the longer one holds the shorter one.
    fewest = [stem for stem in stems if not any(each in stem for each in stems - {stem})]
    thin = tuple((stem.translate(_LOWER, _LEFT_OUT), stem) for stem in sorted(fewest))
    steps = tuple(path.lower().rsplit(".", 1)[-1].encode() for path in paths)
    pattern = "|".join(
        r"\.".join("[^.]*" if step == "*" else re.escape(step) for step in path.lower().split("."))
        for path in paths
    )
    return Rules(
        tuple(rule_of), rule_of, tuple(sorted(fewest)), thin,
        re.compile(pattern) if paths else None,
        steps,
    )  # fmt: skip


def wrong_with(names: list[str], paths: list[str]) -> str:
    """What is wrong with names and paths from a configuration, empty if nothing."""
    for name in names:
        if (
            not name
            or '"' in name
            or "\\" in name
            or any(each.endswith(name.lower()) for each in PROTECTED)
        ):
            return f"redact_names: {name!r} is no key name that can be hidden"
    for path in paths:
        steps = path.split(".")
        if "" in steps or steps[-1] == "*" or path.lower() in PROTECTED:
            return (
                f"redact_paths: {path!r} cannot be hidden; write keys with dots between "
                "(`request.body.pin`, `*` for any one key but the last)"
            )
    return ""
