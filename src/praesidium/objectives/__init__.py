"""From risks by environment to one training loss."""
