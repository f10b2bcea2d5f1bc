"""``python3 -m genart_lessons.data``: check every data set against its card.

``--write`` measures the cards again instead (after a new version of a source or of Pillow).
"""

import json
import sys

from genart_lessons import runtime
from genart_lessons.data.cards import card_path, check, measure, names


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--write"]):
        print(__doc__)
        return 2
    for name in names():
        if arguments:
            path = card_path(name)
            kept = json.loads(path.read_text(encoding="utf-8")) | measure(name)
            runtime.atomic_write(path, json.dumps(kept, ensure_ascii=False, indent=2) + "\n")
        print(check(name))
    return 0 if all(check(name) for name in names()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
