"""The monitoring pack against the real API and the real promtool."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
sys.path.insert(0, str(Path(__file__).parents[1] / "assets"))
sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))
