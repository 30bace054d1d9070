"""Tables of invariance, robustness and efficiency: praesidium diagnose."""

import sys

from praesidium.cli import main

if __name__ == "__main__":  # worker processes import this file
    main(["diagnose", *sys.argv[1:]])
