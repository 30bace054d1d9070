"""Claims that can be sold."""
