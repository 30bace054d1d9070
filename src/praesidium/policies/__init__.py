"""Rules from state to position."""
