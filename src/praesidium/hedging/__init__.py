"""From paths and a policy to an episode."""
