"""Two small experiments on what chapters 09 and 10 will treat: transfer, and pictures with words.

S5: features learnt elsewhere, and few labelled pictures. S9: two encoders that are trained together
(Radford et al. 2021), and pictures found by words that name unseen emoji.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons import data
from genart_lessons.ledger.evidence import Seen
from genart_lessons.models import perceptual
from genart_lessons.models.plane import mean_se

PER_GROUP, GROUPS = 5, 5  # labelled emoji of each group, and how many groups
SEEDS = 12


def _features(x: Tensor, random: bool) -> Tensor:
    """Means over places of two layers of a network, trained on photos or with random weights."""
    eye = perceptual.Perceptual(random=random)
    with torch.no_grad():
        found = [eye.features(part, ["b6", "b15"]) for part in x.split(64)]
    rows = [torch.cat([f.mean((2, 3)) for f in each.values()], 1) for each in found]
    return F.normalize(torch.cat(rows) - torch.cat(rows).mean(0), dim=1)


def _few(features: Tensor, y: Tensor, seed: int) -> float:
    """Accuracy of the nearest mean, from ``PER_GROUP`` labelled pictures of each group."""
    g = torch.Generator().manual_seed(seed)
    means, rest = [], torch.ones(len(y), dtype=torch.bool)
    for k in range(int(y.max()) + 1):
        rows = (y == k).nonzero().squeeze(1)
        chosen = rows[torch.randperm(len(rows), generator=g)[:PER_GROUP]]
        means.append(features[chosen].mean(0))
        rest[chosen] = False
    found = torch.cdist(features, torch.stack(means)).argmin(1)
    return float((found == y)[rest].double().mean())


def features_of_photos_help_with_emoji() -> Seen:
    """S5: from five labelled emoji a group, on pixels, with features learnt on photos, and with
    the same network untrained."""
    emoji = data.emoji("all", 64)
    names = sorted(set(emoji.groups), key=lambda g: (-emoji.groups.count(g), g))[:GROUPS]
    chosen = [i for g in names for i in [k for k, n in enumerate(emoji.groups) if n == g][::4][:50]]
    x, y = emoji.x[chosen], torch.tensor([names.index(emoji.groups[i]) for i in chosen])
    pixels = F.normalize((x - x.mean(0)).flatten(1), dim=1)
    kinds = {"pixels": pixels, "photos": _features(x, False), "untrained": _features(x, True)}
    right = {n: [_few(f, y, seed) for seed in range(SEEDS)] for n, f in kinds.items()}
    gain, se = mean_se([a - b for a, b in zip(right["photos"], right["pixels"], strict=True)])
    over, its = mean_se([a - b for a, b in zip(right["photos"], right["untrained"], strict=True)])
    score = {n: mean_se(each)[0] for n, each in right.items()}
    return Seen(
        gain > 2 * se,
        f"{PER_GROUP} labelled emoji of each of {GROUPS} groups: {score['photos']:.0%} of the "
        f"others right with features learnt on photos, {score['pixels']:.0%} on pixels (difference "
        f"{gain:.1%} ± {se:.1%}, {SEEDS} seeds; chance {1 / GROUPS:.0%})",
        over > 2 * its,
        f"the same network with random weights: {score['untrained']:.0%} (difference {over:.1%} ± "
        f"{its:.1%}), so it is what was learnt elsewhere that helps",
    )


# -- pictures and words --------------------------------------------------------------------------


def _words(names: list[str], known: list[str]) -> Tensor:
    """Which known words and pieces of three letters a name holds, (N, len(known))."""
    at = {piece: k for k, piece in enumerate(known)}
    table = torch.zeros(len(names), len(known))
    for row, name in enumerate(names):
        for piece in _pieces(name):
            if piece in at:
                table[row, at[piece]] = 1
    return table / table.sum(1, keepdim=True).clamp_min(1).sqrt()


def _pieces(name: str) -> set[str]:
    words = name.lower().replace("-", " ").split()
    return set(words) | {w[k : k + 3] for w in words for k in range(max(1, len(w) - 2))}


def words_find_unseen_pictures() -> Seen:
    """S9: two encoders trained together by InfoNCE on emoji and their names, then unseen emoji."""
    train, test = data.emoji("train"), data.emoji("test")
    counts: dict[str, int] = {}
    for name in train.names:
        for piece in _pieces(name):
            counts[piece] = counts.get(piece, 0) + 1
    known = sorted(piece for piece, n in counts.items() if n >= 3)
    pairs = [(F.avg_pool2d(e.x, 4).flatten(1) - 0.5, _words(e.names, known)) for e in (train, test)]
    right = _retrieval(*pairs[0], *pairs[1])
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(9))
    wrong = _retrieval(pairs[0][0], pairs[0][1][order], *pairs[1])
    chance = 10 / len(test)
    se = (chance * (1 - chance) / len(test)) ** 0.5
    return Seen(
        right > chance + 5 * se,
        f"by its name, an unseen emoji is among the ten nearest of {len(test)} in {right:.0%} of "
        f"cases (chance {chance:.1%} ± {se:.1%})",
        wrong < right / 2,
        f"trained with names dealt out at random: {wrong:.0%}",
    )


def _retrieval(x: Tensor, w: Tensor, x_test: Tensor, w_test: Tensor, steps: int = 120) -> float:
    """Train both encoders together; the share of names whose picture is among the ten nearest."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    see = nn.Sequential(nn.Linear(x.shape[1], 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 48))
    read = nn.Linear(w.shape[1], 48)
    optimizer = torch.optim.AdamW(
        [*see.parameters(), *read.parameters()], lr=2e-3, weight_decay=0.1
    )
    for _ in range(steps):
        rows = torch.randint(len(x), (256,), generator=g)
        a, b = F.normalize(see(x[rows]), dim=1), F.normalize(read(w[rows]), dim=1)
        logits, target = 10 * a @ b.T, torch.arange(256)
        loss = F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    see.eval()
    with torch.no_grad():
        near = F.normalize(read(w_test), dim=1) @ F.normalize(see(x_test), dim=1).T
    ranks = (near > near.diagonal()[:, None]).sum(1)
    return float((ranks < 10).double().mean())
