"""The launcher: the commands behind ``python3 -m genart_lessons``.

``commands``, ``environment`` and ``requirements`` run before anything is installed, so they use the
standard library alone. The other modules run inside the prepared environment.
"""


class Problem(Exception):
    """Something that the reader can put right; its text is one clear sentence that says how."""
