"""An embedded Cycles: both planes of the real servers (runtime 0.1.25.59, admin 0.1.25.55) on one port."""

VERSION = "1"
