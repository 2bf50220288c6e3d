"""An embedded Cycles: both planes (runtime and admin) in one process on one port, for development and tests.

It answers as the real servers do (runtime 0.1.25.59, admin 0.1.25.55), without Java and Redis. Start it with
`python -m emulator`. Its own control plane, `/_emulator/...`, makes faults, moves the clock and shows the state.
To be read in this order: ledger (the money), runtime and admin (the calls), planes (the HTTP around them).
"""

VERSION = "1"
