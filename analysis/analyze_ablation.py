"""CSV, pivots and distances to hirm_full of an ablation grid: praesidium analyze."""

import sys

from praesidium.cli import main

if __name__ == "__main__":  # worker processes import this file
    main(["analyze", *sys.argv[1:]])
