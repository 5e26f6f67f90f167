"""The former name of `convergence clear-stuck`: `python clear_stuck_pipeline.py --pipeline-id=ID --run-id=ID`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "scripts"))

from convergence_command import replace_with

if __name__ == "__main__":
    replace_with("clear-stuck", *sys.argv[1:])
