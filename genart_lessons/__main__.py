"""``python3 -m genart_lessons COMMAND``: works from a clone with nothing installed but Python.

This file, ``genart_lessons/__init__.py`` and ``launcher/__init__.py`` must stay readable for an old
Python, which would otherwise die of a syntax error instead of saying what is wrong.
"""

import sys

OLDEST = (3, 11)


def main():
    """Run a command; return its exit code."""
    if sys.version_info < OLDEST:
        print(
            "genart: this is Python %d.%d, and the course needs Python %d.%d or newer: install one "
            "(python.org, conda, or your system's packages) and start with it, for example "
            "`python3.12 -m genart_lessons lab`." % (tuple(sys.version_info[:2]) + OLDEST),
            file=sys.stderr,
        )
        return 1
    from genart_lessons.launcher import commands

    return commands.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
