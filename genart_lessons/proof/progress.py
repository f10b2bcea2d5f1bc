"""What the learner has verified, kept on this machine and nowhere else."""

import contextlib
import json
import time
from pathlib import Path

from genart_lessons import runtime
from genart_lessons.proof.verdict import Verdict


def path() -> Path:
    return runtime.home() / "progress.json"


def load() -> dict[str, dict]:
    """id → {"verified": bool, "tries": int, "when": epoch seconds}. A damaged file is set aside."""
    try:
        kept = json.loads(path().read_text(encoding="utf-8"))
        if not isinstance(kept, dict):
            raise ValueError("not a JSON object")
        return {id: entry for id, entry in kept.items() if isinstance(entry, dict)}
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        aside = path().with_suffix(".damaged.json")
        with contextlib.suppress(OSError):
            path().replace(aside)
            print(f"progress.json was damaged; it is kept as {aside.name}, and we start anew.")
        return {}
    except OSError:
        return {}  # it cannot be read: note() will say what is wrong when it cannot write either


def note(verdict: Verdict) -> None:
    """Remember a verdict; "not tried yet" is not worth remembering. Never stops a check."""
    if verdict.ok is None:
        return
    try:
        kept = load()
        before = kept.get(verdict.id, {})
        tries = before.get("tries", 0)
        kept[verdict.id] = {
            "verified": before.get("verified") is True or verdict.ok,
            "tries": (tries if isinstance(tries, int) else 0) + 1,
            "when": round(time.time()),
        }
        runtime.atomic_write(path(), json.dumps(kept, indent=1, sort_keys=True))
    except Exception as error:  # a full disk, a folder that is not ours, a home that is not there
        print(f"(your progress could not be written: {error})")
