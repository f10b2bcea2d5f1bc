"""The two code listings of the articles, shape for shape in PyTorch, and mended versions.

``run_l1`` and ``run_l2`` go through a listing line by line, as Keras would, and say at each line
what comes out, until one cannot run. Keras' pictures are (H, W, C); here a step's shape is told in
that order, and the layers work on (B, C, H, W). 'same' padding is Keras': a convolution of stride s
turns a side h into ⌈h/s⌉, a transposed one into h·s. Keras starts a layer's weights from Glorot's
uniform numbers; so do we.

``MendedGAN`` is what the listings are after, with each fault put right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genart_lessons.models.gan import GAN, discriminator_loss, generator_loss

# -- layers that pad as Keras does -----------------------------------------------------------------


class SameConv2d(nn.Conv2d):
    """A convolution with Keras' padding='same': (B, C, H, W) → (B, out, ⌈H/s⌉, ⌈W/s⌉).

    Where the padding is odd, the extra pixel is at the bottom and at the right, as in TensorFlow.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for side, kernel, stride in zip(
            reversed(input.shape[2:]),
            reversed(self.kernel_size),
            reversed(self.stride),
            strict=True,
        ):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(input, pads))


class SameTransposed2d(nn.ConvTranspose2d):
    """A transposed convolution with padding='same': (B, C, H, W) → (B, out, s·H, s·W).

    It is the transpose of ``SameConv2d`` from the larger side, cut off in the same places.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        height, width = (
            side * s
            for side, s in zip(input.shape[2:], self.stride, strict=True)  # type: ignore
        )
        whole = super().forward(input)
        before = [max(k - s, 0) // 2 for k, s in zip(self.kernel_size, self.stride, strict=True)]
        short = [max(height - whole.shape[2], 0), max(width - whole.shape[3], 0)]
        whole = F.pad(whole, (0, short[1], 0, short[0]))  # where the kernel is below the stride
        return whole[:, :, before[0] : before[0] + height, before[1] : before[1] + width]


# -- a listing, line by line -----------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One line of a listing: what stands there, what came out, and whether it could run."""

    line: str
    shape: str
    ok: bool = True
    why: str = ""


@dataclass(frozen=True)
class Trace:
    """A listing run as far as it goes.

    ``steps``: the lines that were run, the last of them the one that failed, if one did.
    ``faults``: everything that is wrong with it, each with whether that was found by running.
    """

    name: str
    steps: tuple[Step, ...]
    faults: tuple[Step, ...]

    @property
    def failed(self) -> Step | None:
        """The line that cannot run; None where all of them can."""
        return next((step for step in self.steps if not step.ok), None)

    def __repr__(self) -> str:
        lines = [f"{self.name}:"]
        for step in self.steps:
            lines.append(f" {'✔' if step.ok else '✘'} {step.line:54} {step.shape}".rstrip())
            lines += [f"     {step.why}"] if step.why else []
        lines += ["and besides:"] + [f" ✘ {f.line}\n     {f.why}" for f in self.faults]
        return "\n".join(lines)


def _keras(x: Tensor) -> str:
    """A tensor's shape as Keras tells it, without the batch: (64, 64, 3)."""
    shape = tuple(x.shape[1:])
    return str((*shape[1:], shape[0]) if len(shape) == 3 else shape)


def reshape(x: Tensor, *to: int) -> Tensor:
    """Keras' ``Reshape((H, W, C))``: (B, …) → (B, C, H, W), where the numbers come to as many.

    Raises ValueError, in Keras' words, where they do not.
    """
    h, w, c = to
    numbers = x[0].numel()
    if numbers != h * w * c:
        raise ValueError(
            f"total size of new array must be unchanged: {numbers:,} numbers cannot be put into "
            f"{h}·{w}·{c} = {h * w * c:,}."
        )
    flat = x.permute(0, 2, 3, 1) if x.ndim == 4 else x  # Keras counts the channels last
    return flat.reshape(len(x), h, w, c).permute(0, 3, 1, 2)


def through(x: Tensor, plan: list[tuple[str, Callable[[Tensor], Tensor]]]) -> tuple[Step, ...]:
    steps = [Step(f"an input of {_keras(x)}", _keras(x))]
    for line, layer in plan:
        try:
            x = layer(x)
        except ValueError as error:
            return (*steps, Step(line, "", ok=False, why=f"ValueError: {error}"))
        steps.append(Step(line, _keras(x)))
    return tuple(steps)


def l1_generator(side: int = 64) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    """The lines of L1's generator; ``side`` is what its last line asks for."""
    return [
        ("Dense(128*8*8)", nn.Linear(100, 128 * 8 * 8)),
        ("Reshape((8, 8, 128))", lambda x: reshape(x, 8, 8, 128)),
        ("Conv2DTranspose(128, 5, strides=2, padding='same')", SameTransposed2d(128, 128, 5, 2)),
        ("Conv2D(128, 5, padding='same')", SameConv2d(128, 128, 5)),
        ("Conv2DTranspose(3, 5, strides=2, padding='same')", SameTransposed2d(128, 3, 5, 2)),
        (f"Reshape(({side}, {side}, 3))", lambda x: reshape(x, side, side, 3)),
    ]


def l2_generator(last: int = 512) -> list[tuple[str, Callable[[Tensor], Tensor]]]:
    """The lines of L2's generator; ``last`` is the width of its third dense layer."""
    return [
        ("Dense(128, activation='relu')", nn.Sequential(nn.Linear(100, 128), nn.ReLU())),
        ("Dense(256, activation='relu')", nn.Sequential(nn.Linear(128, 256), nn.ReLU())),
        (f"Dense({last}, activation='relu')", nn.Sequential(nn.Linear(256, last), nn.ReLU())),
        ("Flatten()", nn.Flatten()),
        ("Reshape((28, 28, 1))", lambda x: reshape(x, 28, 28, 1)),
        ("Conv2DTranspose(1, kernel_size=4, strides=2, padding='same', activation='tanh')",
         nn.Sequential(SameTransposed2d(1, 1, 4, 2), nn.Tanh())),
    ]  # fmt: skip


def run_l1() -> Trace:
    """L1's generator, line by line, on random codes: two stretches of 8 make 32, not 64."""
    return Trace("L1, the generator of article C", through(torch.randn(2, 100), l1_generator()),
                 faults_of_l1())  # fmt: skip


def run_l2() -> Trace:
    """L2's generator, line by line, on random codes: 512 numbers are not 28·28."""
    return Trace("L2, the generator of article D", through(torch.randn(2, 100), l2_generator()),
                 faults_of_l2())  # fmt: skip


def names_missing(code: str) -> list[str]:
    """Names that ``code`` uses and nobody defines: no import, no assignment, no built-in.

    Only reads the code (``ast``), and runs none of it.
    """
    import ast
    import builtins

    tree = ast.parse(code)
    used, made = [], set(dir(builtins)) | {"__name__"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                used.append(node.id)
            else:
                made.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.FunctionDef):
            made |= {node.name, *(a.arg for a in node.args.args)}
    return sorted({name for name in used if name not in made})


# What the two listings import, and the lines in which they use a name that they do not have.
NAMES_OF_L1 = """
import tensorflow as tf
from tensorflow.keras.layers import Input, Dense, Reshape, Conv2DTranspose, Conv2D
from tensorflow.keras.models import Model
x = Input(shape=(64, 64, 3))
x = Flatten()(x)
output = Dense(1, activation='sigmoid')(x)
"""
NAMES_OF_L2 = """
import tensorflow as tf
from tensorflow.keras.layers import Dense, Flatten, Reshape
from tensorflow.keras.models import Sequential
from tensorflow.keras.optimizers import Adam
def train_gan(dataset, batch_size, epochs, generator, discriminator, g_optimizer, d_optimizer):
    noise = np.random.normal(0, 1, (batch_size, 100))
    g_loss = gan.train_on_batch(noise, np.array([1] * batch_size))
dataset = load_data()
"""


def faults_of_l1() -> tuple[Step, ...]:
    """What else is wrong with L1, found by reading its names and by computing."""
    missing = ", ".join(names_missing(NAMES_OF_L1))
    return (
        Step(f"{missing} is used and never imported", "", False,
             "NameError in build_discriminator, before any picture is judged."),
        Step("no activation in any hidden layer", "", False,
             f"Layers without a bend are one affine map: {off_affine():.0e} away from one."),
        Step("no activation after the last layer", "", False,
             "Pixels may be any number, while pictures lie between two bounds."),
        Step("the generator and discriminator are never compiled, and train_gan is empty", "",
             False, "Nothing is trained: the loop's body is 'pass'."),
    )  # fmt: skip


def off_affine() -> float:
    """How far L1's generator, up to its last line, is from an affine map of the code."""
    layers = [layer for _, layer in l1_generator()[:-1]]

    def f(z: Tensor) -> Tensor:
        for layer in layers:
            z = layer(z)
        return z

    with torch.no_grad():
        a, b = torch.randn(2, 100), torch.randn(2, 100)
        return float((f((a + b) / 2) - (f(a) + f(b)) / 2).abs().max() / f(a).abs().max())


def faults_of_l2() -> tuple[Step, ...]:
    """What else is wrong with L2."""
    fixed = through(torch.randn(2, 100), l2_generator(784))[-1].shape
    missing = ", ".join(names_missing(NAMES_OF_L2))
    return (
        Step(f"the last layer doubles 28 to {fixed}", "", False,
             "Mended to 784 numbers, the generator makes pictures of another size than the "
             "discriminator judges, (28, 28, 1)."),
        Step(f"{missing} are used and never defined", "", False,
             "NameError at the first noise, at the first generator step, and at the data."),
        Step("nothing is compiled, and both optimisers are never used", "", False,
             "train_on_batch needs a loss and an optimiser."),
        Step("the discriminator is not frozen in the generator's step", "", False,
             f"There it would learn to call fakes real: {_unlearnt()}."),
    )  # fmt: skip


def _unlearnt() -> str:
    """What a generator step with label 1 does to a discriminator that is not frozen."""
    torch.manual_seed(0)
    judge = nn.Linear(8, 1)
    fakes = torch.randn(64, 8) - 1
    optimizer = torch.optim.SGD(judge.parameters(), lr=0.5)
    before = float(judge(fakes).sigmoid().mean().detach())
    for _ in range(10):
        optimizer.zero_grad()
        F.softplus(-judge(fakes)).mean().backward()  # label 1 for what was made
        optimizer.step()
    after = float(judge(fakes).sigmoid().mean().detach())
    return f"ten such steps take a small judge's opinion of fakes from {before:.2f} to {after:.2f}"


# -- mended ----------------------------------------------------------------------------------------


class MendedGAN(GAN):
    """L2 with its faults put right, for digits (B, 1, 8, 8) in [0, 1].

    The dense layers of the listing end in as many numbers as the reshape wants, the transposed
    convolution of stride 2 starts from half the side, the last layer is bounded as the pictures
    are, and dropout and LeakyReLU are the listing's. One thing is added, without which it hardly
    learns in seconds: batch normalisation in the generator (Radford, Metz and Chintala 2016).
    ``widths``: of the dense layers.
    """

    def __init__(self, latent: int = 100, widths: tuple[int, ...] = (128, 256), channels: int = 16):
        sizes = (latent, *widths, channels * 16)
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]
        layers += [nn.Unflatten(1, (channels, 4, 4)), SameTransposed2d(channels, 1, 4, 2)]
        judge: list[nn.Module] = [
            SameConv2d(1, 32, 4, 2), nn.LeakyReLU(0.2), nn.Dropout(0.3),
            SameConv2d(32, 64, 4, 2), nn.LeakyReLU(0.2), nn.Dropout(0.3),
            nn.Flatten(), nn.Linear(64 * 4, 1), nn.Flatten(0),
        ]  # fmt: skip
        super().__init__(nn.Sequential(*layers, nn.Sigmoid()), nn.Sequential(*judge), latent)


def train_mended(x: Tensor, steps: int = 200, seed: int = 0) -> MendedGAN:
    """Train on digits x (N, 1, 8, 8) in [0, 1]: the listing's loop, with what it lacked.

    Each turn moves one network alone: fakes are detached in the discriminator's, and only the
    generator's weights are stepped in the generator's. Adam 2e-3 (ten times the listing's) with
    β₁ = 0.5, batches of 64. Returns the pair, in eval mode. Raises ValueError for pictures of
    another shape.
    """
    if x.ndim != 4 or x.shape[1:] != (1, 8, 8):
        raise ValueError(f"the mended listing takes digits (N, 1, 8, 8), not {tuple(x.shape)}.")
    torch.manual_seed(seed)
    model, chance = MendedGAN(), torch.Generator().manual_seed(seed)
    of_g, of_d = (
        torch.optim.Adam(part.parameters(), lr=2e-3, betas=(0.5, 0.999))
        for part in (model.generator, model.discriminator)
    )
    for _ in range(steps):
        real = x[torch.randint(len(x), (64,), generator=chance)]
        z = torch.randn(64, model.latent, generator=chance)
        of_d.zero_grad()
        discriminator_loss(model.judge(real), model.judge(model.make(z).detach())).backward()
        of_d.step()
        z = torch.randn(64, model.latent, generator=chance)
        of_g.zero_grad()
        generator_loss(model.judge(model.make(z))).backward()
        of_g.step()  # the discriminator's gradients are thrown away at its next turn: it is frozen
    return model.eval()
