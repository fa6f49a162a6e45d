"""What opening a database loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from commands import patience

CODE = """
import sys
from pathlib import Path
from dsum_bench.store.writer import Store
with Store.open(Path(sys.argv[1])):
    pass
assert not {"pandas", "numpy"} & sys.modules.keys(), "loaded for nothing"
import numpy, pandas
assert pandas.DataFrame({"a": numpy.arange(3)}).a.sum() == 3
"""


def test_opening_loads_neither_pandas_nor_numpy_and_leaves_both_usable(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(tmp_path / "dsum.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience(), check=False)
    assert done.returncode == 0, done.stderr
