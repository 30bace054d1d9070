"""CSV, pivots and distances to hirm_full of an ablation grid: praesidium analyze."""

import sys

from praesidium.cli import main

main(["analyze", *sys.argv[1:]])
