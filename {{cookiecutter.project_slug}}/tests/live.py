"""The live suite: Cycles stands at CYCLES_BASE_URL, and what is made there gets names that are new each time."""

import os
import secrets

LIVE = os.environ.get("LIVE") == "1"
TAG = f"-{secrets.token_hex(4)}" if LIVE else ""
