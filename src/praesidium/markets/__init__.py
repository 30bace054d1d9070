"""Price dynamics that can be simulated."""
