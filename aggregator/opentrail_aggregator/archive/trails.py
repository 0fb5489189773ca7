"""Which trails there are and which events each selects.

One trail for now: `default`, everything, of the install's account and home region. A change of the
settings is a control frame in the log, so which trail an event goes to follows from the log alone.
Trails with selectors will be added here: `Trails.of` gets the category and later the decoded view.
"""

from dataclasses import dataclass
from typing import Any

DEFAULT_ACCOUNT = "000000000000"
DEFAULT_HOME_REGION = "us-east-1"
DEFAULT_NAME = "default"
SETTINGS_FRAME = "settings"


@dataclass(frozen=True, slots=True)
class Trail:
    """A trail as far as delivery needs it."""

    arn: str
    name: str
    bucket: str
    prefix: str


class Trails:
    """The trails in force at one position of the log."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        account: str = DEFAULT_ACCOUNT,
        home_region: str = DEFAULT_HOME_REGION,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self.account = account
        self.home_region = home_region
        self.all: tuple[Trail, ...] = ()
        self._compile()

    def observe(self, control: dict[str, Any]) -> None:
        """Take note of a control frame; only those about trails and the install matter."""
        if control.get("type") != SETTINGS_FRAME:
            return
        account, home_region = control.get("account"), control.get("home_region")
        if isinstance(account, str) and account:
            self.account = account
        if isinstance(home_region, str) and home_region:
            self.home_region = home_region
        self._compile()

    def state(self) -> dict[str, Any]:
        """What `restore` needs at the same position."""
        return {"account": self.account, "home_region": self.home_region}

    def restore(self, state: dict[str, Any]) -> None:
        """Be as when `state` was taken."""
        self.observe({"type": SETTINGS_FRAME, **state})

    def by_arn(self, arn: str) -> Trail:
        """The trail of that ARN, also one that is no longer in force but owes a delivery."""
        for trail in self.all:
            if trail.arn == arn:
                return trail
        return Trail(arn, arn.rpartition("/")[2], self._bucket, self._prefix)

    def _compile(self) -> None:
        arn = f"arn:aws:cloudtrail:{self.home_region}:{self.account}:trail/{DEFAULT_NAME}"
        self.all = (Trail(arn, DEFAULT_NAME, self._bucket, self._prefix),)
