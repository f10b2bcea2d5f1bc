"""One temporary home for the whole run: no test reads or writes the reader's own progress."""

import os
import tempfile

os.environ.setdefault("GENART_HOME", tempfile.mkdtemp(prefix="genart-test-home-"))
os.environ.setdefault("MPLBACKEND", "Agg")
