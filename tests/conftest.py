"""One temporary home for the whole run: no test reads or writes the reader's own progress.

And one thread for each process: on a busy machine the threads of tiny matrix products wait for
each other, and a test that takes a second alone takes twenty.
"""

import os
import tempfile

os.environ.setdefault("GENART_HOME", tempfile.mkdtemp(prefix="genart-test-home-"))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")
