"""Hydra groups: one YAML file a choice."""
