"""The laboratory: whole processes, real HTTP, the real SDK and the emulator; the figures are in docs/guarantees.md."""
