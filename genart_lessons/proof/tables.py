r"""Names of tables in a formula: many spellings of ``p(x_t\mid x_{<t})``, one name, and its axes.

A table whose name mentions a step, such as p(x_t|x_<t), has an entry for each step t. With two axes
it has one for each whole sequence x and each step. Any letter may stand for the step.
"""

import re

_DOTS = r"(?:\\[lc]?dots[a-z]*|…|\.\.\.)"
_STEP = r"([A-Za-z](?:[-+]1)?)"


def one_spelling(text: str) -> str:
    """``q_\\phi(x_t|x_1,…,x_{t-1};\\phi)`` → ``q(x_t|x_<t)``: no braces and no parameters."""
    key = re.sub(r"[{}]|;[^)]*|_\{?(theta|phi)\}?", "", text).replace("(z,x)", "(x,z)")
    key = re.sub(rf"x_1(?:(?:,x_2)?,{_DOTS},x_|:){_STEP}", r"x_≤\1", key)
    key = re.sub(rf"x_{_STEP},{_DOTS},(?:x_2,)?x_1", r"x_≤\1", key)
    key = re.sub(r"x_≤([A-Za-z])-1", r"x_<\1", key)
    key = re.sub(r"x_<([A-Za-z])\+1", r"x_≤\1", key)
    key = re.sub(r"x_(<|≤|1:)([1-9])", _listed, key).replace("|)", ")")
    return re.sub(r"x_\d(?:,x_\d)+", lambda m: ",".join(sorted(m[0].split(","))), key)


def _listed(found: re.Match) -> str:
    last = int(found[2]) - (found[1] == "<")
    return ",".join(f"x_{k + 1}" for k in range(last))


def whole_sequence(text: str) -> str:
    r"""What a sum over all sequences runs over: ``x_1,\dots,x_T``, ``x_{1:T}``, ``x\in X`` → x."""
    text = re.sub(r"^([A-Za-z])\\in.*", r"\1", text)
    return "x" if re.fullmatch(r"x_≤[A-Za-z]", one_spelling(text)) else text


def with_step(key: str, letter: str, other: str = "#") -> str:
    """``key`` with ``other`` wherever ``letter`` stands for a step: p(x_i|x_<i) → p(x_#|x_<#)."""
    name, bracket, inside = key.partition("(")
    return name + bracket + re.sub(rf"(?<=[_<≤:]){letter}(?![A-Za-z])", other, inside)


def has_steps(key: str) -> bool:
    return with_step(key, "t") != key


def axes(key: str, kind: str) -> tuple[str, ...]:
    """What a table runs over: q(z|x), p(x,z), D(G(z)) over z; p_data(x) over x; p(x_t) over t."""
    whole = "z" if "z" in key.partition("(")[2] else "x"
    if not has_steps(key):
        return (whole,)
    return (whole, "t") if kind == "grid" else ("t",)
