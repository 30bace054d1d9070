"""The ablation grid: praesidium ablate, with the flags of the publication."""

import sys

from praesidium.cli import main

if __name__ == "__main__":  # worker processes import this file
    main(["ablate", *sys.argv[1:]])
