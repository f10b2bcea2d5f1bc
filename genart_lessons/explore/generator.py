"""The generator's explorer: from one code to another, and how daring the codes may be."""

from collections.abc import Callable, Sequence

import ipywidgets as widgets
import torch

from genart_lessons.explore.base import LABEL, Explorer, slider
from genart_lessons.show.look import INK, MUTED, PALETTE, demand
from genart_lessons.show.pictures import (
    GAP,
    MARGIN,
    as_pictures,
    canvas,
    cell_size,
    fit,
    place,
    spread,
)  # fmt: skip

STATIONS = 9  # pictures of the walk, and of the samples below it
OTHERS = range(101, 101 + STATIONS)  # the seeds of the samples: the fields A and B take them, too
WIDEST = 4.0  # standard deviations; a normal number is farther out once in 16 000 times
BIG = 224


def generator(
    decode: Callable, latent: int, *, classes: Sequence[str] | None = None, directions=None,
    names=None, a: int = 1, b: int = 2, mix: float = 0.0, truncation: float = WIDEST,
    invert: bool = False, device="cpu", title: str = "The generator's codes",
) -> Explorer:  # fmt: skip
    """Walk between the codes of two seeds, cut off daring codes, and see what is generated.

    decode: z (N, latent) on ``device`` → pictures (N, C, H, W) in [0, 1]; with ``classes``, the
    names of the classes, it is called as decode(z, y) with y (N,) whole numbers.
    Seed s stands for the code ``torch.randn(latent, generator=torch.Generator().manual_seed(s))``.
    The mix goes from A to B on an arc (eq. 3.27). The truncation t squeezes every number of a code
    into −t to t, as if it had been drawn from the normal distribution cut off there; 4: not cut
    (Brock, Donahue & Simonyan 2019, https://arxiv.org/abs/1809.11096, section 3.1, who draw again
    instead; so a seed's picture changes gradually).
    directions: (K, latent), added to every code by a slider each, −3 to 3 times; names: (K).
    Beside the picture stand the walk from A to B and nine samples, of the seeds 101 to 109.
    Raises ValueError when shapes or names do not fit.
    """
    if isinstance(latent, bool) or not isinstance(latent, int) or latent < 2:
        raise ValueError(f"explore.generator: latent is the length of a code, from 2; not {latent}."
                         )  # fmt: skip
    ways, labels = _ways(directions, names, latent)
    classes = list(classes) if classes is not None else []
    demand("generator (explore)", title=title,
           **{f"name {i}": name for i, name in enumerate(labels, 1)},
           **{f"class {i}": name for i, name in enumerate(classes, 1)})  # fmt: skip
    others = torch.stack([code(seed, latent) for seed in OTHERS])

    def draw(a, b, mix, truncation, y=0, **steps):
        push = torch.tensor([steps[f"s{i + 1}"] for i in range(len(ways))]) @ ways
        ends = truncated(torch.stack((code(a, latent), code(b, latent))), truncation)
        where = torch.cat((torch.tensor([float(mix)]), torch.linspace(0, 1, STATIONS)))
        walk = slerp(ends[0], ends[1], where)
        z = torch.cat((walk, truncated(others, truncation))) + push
        with torch.no_grad():
            extra = (torch.full((len(z),), y, dtype=torch.long, device=device),) if classes else ()
            decoded = decode(z.to(device), *extra)
        if len(decoded) != len(z):
            raise ValueError(f"decode gave {len(decoded)} pictures for {len(z)} codes.")
        pictures = as_pictures(decoded, invert=invert, function="generator (explore)")
        cut = f"cut off at ±{truncation:.2f}" if truncation < WIDEST else "not cut off"
        line = f"{mix:.0%} of the way from seed {a} to seed {b}; codes {cut}"
        line += "".join(f"; {name} {steps[f's{i + 1}']:+.2f}".replace("-", "−")
                        for i, name in enumerate(labels) if steps[f"s{i + 1}"])  # fmt: skip
        line += f"; {classes[y]}" if classes else ""
        return _draw(pictures, a, b, mix, cut, title, f"{title}: {line}."), line

    controls = {"a": _seed("seed A", a), "b": _seed("seed B", b)}
    controls["mix"] = slider("mix, A to B", mix, 0.0, 1.0, 0.05)
    controls["truncation"] = slider("truncation t", truncation, 0.1, WIDEST, 0.1)
    for i, name in enumerate(labels):
        controls[f"s{i + 1}"] = slider(name, 0.0, -3, 3, 0.25)
    if classes:
        many = widgets.ToggleButtons if len(classes) <= 4 else widgets.Dropdown
        controls["y"] = many(options=[(name, i) for i, name in enumerate(classes)], value=0,
                             description="class", style=LABEL)  # fmt: skip
    return _Generator(controls, draw, title=title)


class _Generator(Explorer):
    """An Explorer with a button beside each of the two seeds."""

    def _rows(self) -> list:
        *rows, reset = super()._rows()
        for i, name in enumerate(("a", "b")):
            button = widgets.Button(description=f"Another {name.upper()}", icon="random",
                                    tooltip="A further seed; the field takes any")  # fmt: skip
            button.on_click(lambda _, name=name: self.set(**{name: self.controls[name].value + 2}))
            rows[i] = widgets.HBox([rows[i], button])
        return [*rows, reset]


def code(seed: int, latent: int) -> torch.Tensor:
    """The code (latent,) that a seed stands for, the same on every machine."""
    return torch.randn(latent, generator=torch.Generator().manual_seed(int(seed)))


def truncated(z: torch.Tensor, t: float) -> torch.Tensor:
    """Standard normal numbers, moved to the same quantile of the normal cut off at −t and t."""
    if t >= WIDEST:
        return z
    ndtr = torch.special.ndtr
    share, inside = ndtr(z.double()), 2 * ndtr(torch.tensor(float(t), dtype=torch.double)) - 1
    moved = torch.special.ndtri((1 - inside) / 2 + share * inside)
    return moved.clamp(-t, t).to(z.dtype)


def slerp(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Eq. 3.27: codes (N, latent) on the arc from a to b (latent,) at the shares t (N,)."""
    omega = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1).acos()
    t = t[:, None]
    if omega < 1e-3 or omega > torch.pi - 1e-3:  # one and the same seed, or no arc in particular
        return (1 - t) * a + t * b
    return (((1 - t) * omega).sin() * a + (t * omega).sin() * b) / omega.sin()


def _seed(label: str, value: int):
    if isinstance(value, bool) or value != int(value) or not 0 <= value < 2**31 - 1:
        raise ValueError(f"The {label} is a whole number from 0 to 2³¹ − 2, not {value}.")
    return widgets.BoundedIntText(value=value, min=0, max=2**31 - 2, description=label,
                                  style=LABEL, layout={"width": "250px"})  # fmt: skip


def _ways(directions, names, latent: int):
    """Directions (K, latent) on the CPU and their K names; none of either when not given."""
    if directions is None:
        if names is not None:
            raise ValueError("explore.generator: names without directions.")
        return torch.zeros(0, latent), []
    ways = torch.as_tensor(directions).detach().cpu().float()
    if ways.ndim != 2 or ways.shape[1] != latent or not ways.isfinite().all():
        raise ValueError("explore.generator: directions must be a matrix (K, latent) of finite "
                         f"numbers with latent = {latent}; it is {tuple(ways.shape)}.")  # fmt: skip
    labels = list(names or [f"direction {i + 1}" for i in range(len(ways))])
    if len(labels) != len(ways):
        raise ValueError(f"explore.generator: {len(labels)} names for {len(ways)} directions.")
    return ways, labels


def _draw(pictures, a, b, mix, cut, title, alt):
    """The mix at its largest on the left; on the right the walk with its track, and the samples."""
    w, h = cell_size(pictures, STATIONS, 900 - 2 * MARGIN - BIG - 24, None, wish=64)
    pitch, x0, top = w + GAP, MARGIN + BIG + 24, MARGIN + 32
    big = fit(pictures[0], BIG, BIG)
    lower = top + 20 + h + 44
    height = max(top + BIG, lower + 20 + h) + MARGIN
    _, ax, sheet = canvas(max(x0 + STATIONS * pitch - GAP + MARGIN, 560), height, title, alt)
    ax.text(MARGIN, MARGIN - 2, title, size=12, weight="bold", va="top", color=INK)
    place(sheet, big, MARGIN, top, BIG, BIG)
    ax.text(x0, top, f"The walk from seed {a} to seed {b}", size=9, va="top", color=INK)
    ax.text(x0, lower, f"Seeds {OTHERS[0]} to {OTHERS[-1]}, codes {cut}", size=9, va="top",
            color=INK)  # fmt: skip
    for i in range(STATIONS):
        place(sheet, fit(pictures[1 + i], w, h), x0 + i * pitch, top + 20, w, h)
        place(sheet, fit(pictures[1 + STATIONS + i], w, h), x0 + i * pitch, lower + 20, w, h)
    first, last = x0 + w / 2, x0 + (STATIONS - 1) * pitch + w / 2
    track = top + 20 + h + 14
    ax.plot((first, last), (track, track), color=MUTED, linewidth=1, linestyle="-")
    ax.plot(first + mix * (last - first), track, "o", color=PALETTE[1], markersize=7)
    ax.text(first - 10, track, "A", size=9, ha="right", va="center", color=MUTED)
    ax.text(last + 10, track, "B", size=9, ha="left", va="center", color=MUTED)
    return spread(ax, sheet)
