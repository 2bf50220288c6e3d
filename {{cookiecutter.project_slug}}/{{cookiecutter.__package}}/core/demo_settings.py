"""The settings of the demo provider."""

from pydantic import BaseModel, Field


class DemoSettings(BaseModel):
    """The settings of the demo provider, for the project's one settings class."""

    demo_delay_ms: int = Field(default=40, ge=0, le=10_000)
