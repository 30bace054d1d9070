"""Praesidium: hedging policies that keep their rule when the regime shifts."""
