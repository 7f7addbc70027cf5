"""The loader that users of the system already know by name."""
