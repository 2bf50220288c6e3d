"""All tests: behaviour over HTTP, units, and a look at the emulator."""
