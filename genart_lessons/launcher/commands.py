"""The commands: what can be typed, and what each one calls. Standard library only.

Everything heavy is imported inside a command, after the environment has been seen to.
"""

import argparse
import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from genart_lessons import runtime
from genart_lessons.launcher import Problem, environment


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="genart",
        description="A course in generative AI for art. Start with: genart lab",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, allow_abbrev=False)

    lab = add("lab", "Open the course in JupyterLab; other options go to Jupyter.")
    lab.add_argument("--no-browser", action="store_true", help="only print the address")
    lab.add_argument("--port", type=int, help="the port (default: the first free one)")
    add("test", "Check everything; with arguments, run pytest with them and nothing else.")
    add("doctor", "Say what this machine has and lacks, and how long the chapters will take.")
    run = add("run", "Run chapters without a browser; the notebooks themselves stay as they are.")
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="03, 03_vae or a path")
    build = add("build", "Make the notebooks anew from chapters/text, where the text has changed.")
    build.add_argument("chapters", nargs="*", metavar="CHAPTER", help="03, 03_vae or a path")
    build.add_argument("--all", action="store_true", help="even those that have not changed")
    build.add_argument("--check", action="store_true", help="only report; exit code 1 on a change")
    build.add_argument("--force", action="store_true", help="even over edits made in a notebook")
    train = add("train", "Train the weights that the course ships anew.")
    train.add_argument("name", nargs="?", metavar="NAME", help="which; without it, list them")
    add("bench", "Measure what the course promises, against the usual example, in one run.")
    return top


def main(argv: Sequence[str]) -> int:
    """Run one command; return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # for a ✔
    command_line = parser()
    args, rest = command_line.parse_known_args(argv)
    if rest and args.command not in ("lab", "test", "train", "bench"):
        command_line.error(f"unknown: {' '.join(rest)}")
    try:
        root = runtime.repo_root()
        environment.ensure(root, argv, extras=["dev"] if args.command == "test" else [])
        os.environ.pop(environment.ENTERED, None)  # not for those that we start
        os.environ.update(environment.child_environ(root))
        return globals()[f"_{args.command}"](root, args, [r for r in rest if r != "--"])
    except (Problem, runtime.SettingError) as problem:
        print(f"genart: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ngenart: stopped.", file=sys.stderr)
        return 130


def _lab(root: Path, args: argparse.Namespace, rest: list[str]) -> int:
    from genart_lessons.launcher import lab

    return lab.start(root, port=args.port, browser=not args.no_browser, extra=rest)


def _test(root: Path, args: argparse.Namespace, rest: list[str]) -> int:
    from genart_lessons.launcher import testing

    return testing.run(root, rest)


def _doctor(root: Path, args: argparse.Namespace, rest: list[str]) -> int:
    from genart_lessons.launcher import doctor

    return doctor.run(root)


def _run(root: Path, args: argparse.Namespace, rest: list[str]) -> int:
    from genart_lessons.launcher import building

    return building.run(root, args.chapters)


def _build(root: Path, args: argparse.Namespace, rest: list[str]) -> int:
    from genart_lessons.launcher import building

    if args.check:
        return building.check(root, args.chapters)
    return building.build(root, args.chapters, everything=args.all, force=args.force)


def _train(root: Path, args: argparse.Namespace, rest: list[str]) -> int:
    return _main_of("genart_lessons.training.recipes")([args.name, *rest] if args.name else [])


def _bench(root: Path, args: argparse.Namespace, rest: list[str]) -> int:
    return _main_of("genart_lessons.training.bench")(rest)


def _main_of(module: str) -> Callable[[list[str]], int]:
    """``main`` of a module above the launcher, which takes arguments and returns an exit code."""
    if importlib.util.find_spec(module) is None:
        raise Problem(f"this checkout has no {module} yet.")
    return importlib.import_module(module).main
