"""What is asked of the record of calls."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from .models import Call

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256, pattern=r"^[^\x00-\x1f]*$")]
Time = Annotated[
    datetime,
    AfterValidator(lambda at: at.replace(tzinfo=at.tzinfo or UTC)),
    Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC)),
    AfterValidator(lambda at: at.astimezone(UTC)),
]
"""Times without a zone are UTC."""

EQUAL = ("tenant", "model", "route", "end_user", "request_id")
"""Columns that a query names as they are."""


class CallQuery(BaseModel, frozen=True):
    """Calls from `since` until before `until` with these texts; empty ones do not matter.

    `outcome` is one of a call's, or `refused`. A page begins after the call `before_id` at `before`.
    """

    tenant: Text = ""
    outcome: Text = ""
    model: Text = ""
    route: Text = ""
    end_user: Text = ""
    request_id: Text = ""
    since: Time | None = None
    until: Time | None = None
    before: Time | None = None
    before_id: Text = ""

    def after(self, call: Call) -> "CallQuery":
        """Return the query for what follows a call."""
        return self.model_copy(update={"before": call.at, "before_id": call.id})

    def address(self, **changes: object) -> str:
        """Return the query string of the first page with some parameters changed."""
        query = self.model_copy(update={"before": None, "before_id": "", **changes})
        return "?" + urlencode(query.model_dump(mode="json", exclude_defaults=True))
