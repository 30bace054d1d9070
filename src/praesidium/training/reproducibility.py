"""Random streams: one generator for each purpose, seeded by name."""

from __future__ import annotations

import hashlib

import torch


def stream(*purpose: str | int) -> torch.Generator:
    """A CPU generator that depends on the words of its purpose alone, such as ``stream(seed, "init", "head")``.

    Streams of different purposes are independent, so that adding one never shifts another.
    """
    digest = hashlib.sha256("/".join(str(word) for word in purpose).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
