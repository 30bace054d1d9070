"""A grid of methods or of ablations: --mode benchmark or --mode ablation, all other flags as of praesidium."""

import argparse

from praesidium.cli import main

if __name__ == "__main__":  # worker processes import this file
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--mode", choices=["benchmark", "ablation"], default="benchmark")
    known, rest = parser.parse_known_args()
    main([{"benchmark": "benchmark", "ablation": "ablate"}[known.mode], *rest])
