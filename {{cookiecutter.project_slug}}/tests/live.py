"""LIVE=1 runs the behaviour tests against a real Cycles, with tenant names that are new each time."""

import os
import secrets

LIVE = os.environ.get("LIVE") == "1"
TAG = f"-{secrets.token_hex(4)}" if LIVE else ""
