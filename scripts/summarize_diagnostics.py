"""Tables of invariance, robustness and efficiency: praesidium diagnose."""

import sys

from praesidium.cli import main

main(["diagnose", *sys.argv[1:]])
