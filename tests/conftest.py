"""One temporary home for the whole run: no test reads or writes the reader's own progress.

And one thread for each process: on a busy machine the threads of tiny matrix products wait for
each other, and a test that takes a second alone takes twenty.
"""

import os
import tempfile

os.environ.setdefault("GENART_HOME", tempfile.mkdtemp(prefix="genart-test-home-"))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """For tests of many tiny tensors, also where ``OMP_NUM_THREADS`` asks for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
