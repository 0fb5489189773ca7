"""What the agent watches, and how: the settings of capture."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from opentrail.settings import Seconds

from .rules import wrong_with

Kind = Literal["auto", "ndjson", "cloudtrail", "mapped"]
Redact = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSettings:
    """How objects of another shape become CloudTrail records."""

    fields: Annotated[
        dict[str, str],
        "CloudTrail field -> path in the source's object, both dotted "
        "(`userIdentity.userName: user.name`).",
    ] = field(default_factory=dict)
    constants: Annotated[
        dict[str, str],
        "CloudTrail field -> fixed text, where `fields` finds nothing "
        "(`eventSource: shop.example.com`).",
    ] = field(default_factory=dict)
    time: Annotated[
        Literal["rfc3339", "seconds", "milliseconds"],
        "How the source writes the time that becomes eventTime: text, or a number since 1970.",
    ] = "rfc3339"
    key: Annotated[
        list[str],
        "Paths whose values together name one event for ever; its eventID is derived from them.",
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.fields and "eventTime" not in self.fields:
            raise ValueError("fields: eventTime is missing; a record without a time is no event")
        names = {name.split(".")[0] for name in [*self.fields, *self.constants]}
        if "additionalEventData" in names:
            raise ValueError("additionalEventData holds the original object and cannot be mapped")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """One source: a file, or all files that match a glob."""

    path: Annotated[
        str, "A file or a glob (`/var/log/audit/*.json`; `**` for any depth); absolute."
    ]
    kind: Annotated[
        Kind,
        '`auto` and `cloudtrail` take lines, arrays and {"Records": [...]}; `ndjson` only '
        "objects one after the other; `mapped` the same, through `mapping`.",
    ] = "auto"
    account: Annotated[str, "Account of records that name none (12 digits)."] = ""
    region: Annotated[str, "Region of records that name none."] = ""
    mapping: Annotated[MappingSettings, "For kind `mapped`."] = field(
        default_factory=MappingSettings
    )
    redact: Annotated[
        Redact,
        "Whether secrets are replaced by HIDDEN_DUE_TO_SECURITY_REASONS before anything is kept: "
        "`auto` does so for kind `mapped` only.",
    ] = "auto"
    redact_names: Annotated[
        list[str],
        "Further key names, beside the built-in ones: keys that end so are hidden, in any case "
        "and joined in any way (`pinCode` also hides `user_pin_code`).",
    ] = field(default_factory=list)
    redact_paths: Annotated[
        list[str],
        "Paths in the source's object whose values are hidden (`request.body.pin`; `*` for any "
        "one key; lists are looked into).",
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f"path: {self.path!r} is not absolute; write it from / on")
        if (self.kind == "mapped") != bool(self.mapping.fields):
            raise ValueError("kind: mapped and mapping.fields go together: give both or neither")
        if self.account and not (len(self.account) == 12 and self.account.isdigit()):
            raise ValueError(f"account: {self.account!r} is not 12 digits")
        wrong = wrong_with(self.redact_names, self.redact_paths)
        if wrong:
            raise ValueError(wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """How files are followed."""

    watch: Annotated[list[WatchSettings], "What to follow."] = field(default_factory=list)
    poll: Annotated[Seconds, "How often files that are written to are looked at."] = Seconds(0.1)
    poll_idle: Annotated[
        Seconds,
        "How often all others are, and folders for new files; at most 1s. Half as often, but at "
        "least every 0.9s, with more than 250 files.",
    ] = Seconds(0.5)
    linger: Annotated[
        Seconds, "How long a batch waits to fill while events are few; at most 1s."
    ] = Seconds(0.25)
    rotated_keep: Annotated[
        Seconds, "How long a file that was moved out of sight is followed after its last growth."
    ] = Seconds(300)
    deleted_keep: Annotated[
        Seconds, "How long a deleted file is kept open after its last growth."
    ] = Seconds(10)
    open_files_max: Annotated[
        int, "Files kept open at the same time; others are opened when they grow."
    ] = 4096
    remembered_max: Annotated[
        int, "Ended files that are remembered, to know them again as .gz or copy."
    ] = 2000

    def __post_init__(self) -> None:
        if not 0 < self.poll <= self.poll_idle <= 1:
            raise ValueError("poll and poll_idle: 0 < poll <= poll_idle <= 1s")
        if not 0 <= self.linger <= 1:
            raise ValueError("linger: between 0 and 1s")
