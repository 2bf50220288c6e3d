"""An LLM service in which every model call is paid for by its tenant's budget in Cycles."""
