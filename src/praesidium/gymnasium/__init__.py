"""Hedging as a Gymnasium environment; importing this package registers ``praesidium/Hedging-v0``.

Gymnasium looks for no plugins by itself: import this package, or make ``praesidium.gymnasium:praesidium/Hedging-v0``.
"""

from __future__ import annotations

from gymnasium.envs.registration import register, registry

ID = "praesidium/Hedging-v0"

if ID not in registry:
    register(
        id=ID,
        entry_point="praesidium.gymnasium.environments:Hedging",
        vector_entry_point="praesidium.gymnasium.environments:VectorHedging",
    )
