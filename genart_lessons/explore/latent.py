"""The latent explorer: sliders along directions of a decoder's code, with the walk along each."""

from collections.abc import Callable

import torch

from genart_lessons.explore.base import Explorer, slider
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

STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


def latent(
    decode: Callable, *, codes=None, directions=None, names=None, n_sliders: int = 4,
    temperature: float = 0.0, seed: int = 0, invert: bool = False, title: str = "Latent explorer",
) -> Explorer:  # fmt: skip
    """Sliders that move a code z along directions, in standard deviations, and decode it.

    decode: z (N, latent) → pictures (N, C, H, W) in [0, 1].
    codes: (M, latent) codes of real pictures: the sliders start at their mean and follow their
    principal directions. directions: (K, latent), one step each, to follow instead; names: (K).
    The temperature, at first ``temperature``, lets chance (drawn with ``seed``) into the
    directions that have no slider.
    Beside the picture stand the walks along every slider from here, −3 to 3.
    Raises ValueError when neither is given or the shapes do not fit.
    """
    origin, scatter, ways, labels = _frame(codes, directions, n_sliders)
    labels = list(names or labels)
    demand("latent (explore)", title=title, **{f"name {i}": n for i, n in enumerate(labels, 1)})
    if len(labels) != len(ways):
        raise ValueError(f"explore.latent: {len(labels)} names for {len(ways)} directions.")
    controls = {f"s{i + 1}": slider(name, 0.0, -3, 3, 0.25) for i, name in enumerate(labels)}
    rank = torch.linalg.matrix_rank
    free = bool(rank(torch.cat([ways, scatter])) > rank(ways))
    if free:  # otherwise chance has nowhere to go, and a slider for it would do nothing
        controls["temperature"] = slider("temperature", temperature, 0, 1.5, 0.05)
    inverse = torch.linalg.pinv(ways)
    device = next((t.device for t in (codes, directions) if hasattr(t, "device")), "cpu")
    before: list[float] = [0.0] * len(ways)

    def draw(temperature=0.0, seed=0, **steps):
        nonlocal before
        here = [steps[f"s{i + 1}"] for i in range(len(ways))]
        moved = [i for i, (a, b) in enumerate(zip(here, before, strict=True)) if a != b]
        before = here
        chance = torch.randn(len(scatter), generator=torch.Generator().manual_seed(seed)) @ scatter
        chance = chance - chance @ inverse @ ways  # keep it out of the sliders' directions
        steps = _walks(here)
        z = origin + steps @ ways + temperature * chance
        with torch.no_grad():
            decoded = decode(z.to(device))
        if len(decoded) != len(z):
            raise ValueError(f"decode gave {len(decoded)} pictures for {len(z)} codes.")
        pictures = as_pictures(decoded, invert=invert, function="latent (explore)")
        told = [f"{name}: {s:+.2f}".replace("-", "−") for name, s in zip(labels, here, strict=True)]
        line = ", ".join(told) + (f"; temperature {temperature:.2f}, seed {seed}" if free else "")
        return _draw(pictures, told, here, moved, title, f"{title}: {line}."), line

    return Explorer(controls, draw, title=title, seed=seed if free else None)


def _frame(codes, directions, n_sliders):
    """Origin (latent), scatter (R, latent), the sliders' directions (K, latent), their names."""
    if codes is None and directions is None:
        raise ValueError("explore.latent needs codes=model's codes of some pictures (M, latent), "
                         "or directions=(K, latent).")  # fmt: skip
    given = {"codes": codes, "directions": directions}
    tensors = {k: torch.as_tensor(v).detach().cpu().float() for k, v in given.items()
               if v is not None}  # fmt: skip
    for name, t in tensors.items():
        if t.ndim != 2 or not t.isfinite().all() or (name == "codes" and len(t) < 2):
            raise ValueError(
                f"explore.latent: {name} must be a matrix (rows, latent) of finite numbers with "
                f"at least {1 + (name == 'codes')} row(s); it is {tuple(t.shape)}."
            )
    if len({t.shape[1] for t in tensors.values()}) > 1:
        raise ValueError("explore.latent: codes and directions have different latent sizes.")
    origin = torch.zeros(next(iter(tensors.values())).shape[1])
    scatter = torch.eye(len(origin))
    if codes is not None:
        origin = tensors["codes"].mean(0)
        _, s, v = torch.linalg.svd(tensors["codes"] - origin, full_matrices=False)
        v = v * v.gather(1, v.abs().argmax(1, keepdim=True)).sign()  # one sign on every machine
        scatter = v * (s / (len(tensors["codes"]) - 1) ** 0.5)[:, None]
    if directions is not None:
        ways, labels = tensors["directions"], [f"direction {i + 1}" for i in range(len(directions))]
    else:
        ways, share = scatter[:n_sliders], (s**2 / (s**2).sum())[:n_sliders].tolist()
        labels = [f"direction {i + 1} ({p:.0%})" for i, p in enumerate(share)]
    return origin, scatter, ways, labels


def _walks(here: list[float]) -> torch.Tensor:
    """Slider values (1 + K · 7, K): where we are, then for each slider its seven stations."""
    places = torch.tensor(here).repeat(1 + len(here) * len(STEPS), 1)
    for i in range(len(here)):
        places[1 + i * len(STEPS) :][: len(STEPS), i] = torch.tensor(STEPS)
    return places


def _draw(pictures, told, here, moved, title, alt):
    """The picture at its largest on the left; on the right a strip and a track for each slider."""
    w, h = cell_size(pictures, 1, 256, None, wish=64)
    big = fit(pictures[0], max(w, 256), max(h, 256))
    x0, line, pitch = MARGIN + 256 + 28, h + 34, w + GAP
    top = MARGIN + 32
    height = top + max(big.shape[0], len(here) * line) + MARGIN
    _, ax, sheet = canvas(x0 + len(STEPS) * pitch - GAP + MARGIN, height, title, alt)
    ax.text(MARGIN, MARGIN - 2, title, size=12, weight="bold", va="top", color=INK)
    place(sheet, big, MARGIN, top, 256, big.shape[0])
    for i, s in enumerate(here):
        y, on = top + i * line, i in moved
        colour = PALETTE[1] if on else PALETTE[0]
        ax.text(x0, y, told[i], size=9, va="center", color=INK, weight="bold" if on else "normal")
        for c in range(len(STEPS)):
            small = fit(pictures[1 + i * len(STEPS) + c], w, h)
            place(sheet, small, x0 + c * pitch, y + 9, w, h)
        first, last = x0 + w / 2, x0 + (len(STEPS) - 1) * pitch + w / 2
        ax.plot((first, last), (y + h + 15,) * 2, color=MUTED, linewidth=1, linestyle="-")
        at = first + (s - STEPS[0]) / (STEPS[-1] - STEPS[0]) * (last - first)
        ax.plot(at, y + h + 15, "o", color=colour, markersize=7)
    return spread(ax, sheet)
