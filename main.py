"""`python3 main.py ARGS` is `secateur ARGS`."""

import sys

from secateur.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
