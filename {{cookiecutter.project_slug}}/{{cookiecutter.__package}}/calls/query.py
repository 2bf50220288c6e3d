"""What is asked of the record of calls."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError

from ..core.problems import Problem

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256, pattern=r"^[^\x00-\x1f]*$")]
Time = Annotated[datetime, AfterValidator(lambda at: (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC))]
"""Without a zone it is UTC."""
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
TEXTS = {"id", "tenant", "outcome", "model", "route", "end_user", "request_id"}


class Query(BaseModel, frozen=True):
    """Parameters of a page; empty ones are not given."""

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Self:
        """Return the query in a query string. Raise Problem invalid_request."""
        try:
            return cls.model_validate({name: text for name, text in params.items() if text})
        except (ValidationError, OverflowError):
            raise Problem("invalid_request") from None

    def address(self, **changes: object) -> str:
        """Return the query string with some parameters changed."""
        return "?" + urlencode(self.model_copy(update=changes).model_dump(mode="json", exclude_defaults=True))


class CallQuery(Query, frozen=True):
    """Calls from `since` until before `until` with these texts; empty ones do not matter.

    `outcome` is one of a call's, or `refused`. A page begins after the call `before_id` at `before`.
    """

    id: Text = ""
    tenant: Text = ""
    outcome: Text = ""
    model: Text = ""
    route: Text = ""
    end_user: Text = ""
    request_id: Text = ""
    since: Time = FIRST
    until: Time = LAST
    before: Time = LAST
    before_id: Text = ""

    def texts(self) -> dict[str, str]:
        """Return the values of columns. The outcome `refused` is none."""
        texts = self.model_dump(include=TEXTS, exclude_defaults=True)
        return {name: text for name, text in texts.items() if (name, text) != ("outcome", "refused")}

    def end(self) -> tuple[datetime, str]:
        """Return what calls come before: a time and an ID."""
        return min((self.until, ""), (self.before, self.before_id))

    def after(self, at: datetime = LAST, call_id: str = "") -> "CallQuery":
        """Return the query for the page after a call, or for the first page."""
        return self.model_copy(update={"before": at, "before_id": call_id})
