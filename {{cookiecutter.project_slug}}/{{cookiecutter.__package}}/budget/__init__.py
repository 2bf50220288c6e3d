"""All that speaks Cycles: hold before a call, settle after it."""
