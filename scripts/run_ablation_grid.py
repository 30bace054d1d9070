"""The ablation grid: praesidium ablate, with the flags of the publication."""

import sys

from praesidium.cli import main

main(["ablate", *sys.argv[1:]])
