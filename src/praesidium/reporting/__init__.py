"""Tables and figures of what the store holds."""
