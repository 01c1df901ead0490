"""What several processes do, for tests/test_data_parallel.py: a program that torchrun starts.

parallel_runs.py runs FILE       checks the laws below, then calls main.py with each line of the file, in one group
parallel_runs.py fails COMMAND   calls main.py, and lets the second process fail in the third step
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":  # and not in the processes that decode images, which would import all this each time
    sys.path.insert(0, str(Path(__file__).parent.parent))
    os.environ["OMP_NUM_THREADS"] = "1"
    from tests.parallel_laws import start

    sys.exit(start(*sys.argv[1:]))
