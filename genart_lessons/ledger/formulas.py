r"""The articles' 32 formulas, A1 to E5: what is printed, the verdict, and what shows it.

Most of the evidence is in the registry: the printed formula is what a learner would type, and is
accepted or refused as a learner's would be.
"""

from genart_lessons.derivation import Derivation, worked
from genart_lessons.ledger import games, pictures
from genart_lessons.ledger.evidence import Accepts, Chain, Rejects, Shown, printed
from genart_lessons.ledger.row import CORRECTED, FAILS, HOLDS, Row

_VALUE = r"\mathbb{E}_{x\sim p_{data}}[\log D(x)]+\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]"
_GAME = rf"$\min_G\max_D V(D,G)={_VALUE}$"
_GENERATOR = r"\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]"
_BOTH = r"-\mathbb{E}_{x\sim p_{data}}[\log D(x)]-\mathbb{E}_{z\sim p_z}[\log(1-D(G(z)))]"
_ELBO = r"\mathbb{E}_{q(z\mid x)}[\log\frac{p(x,z)}{q(z\mid x)}]"
_GAUSSIAN_KL = r"\frac12\sum_{i=1}^{n}(\mu_i^2+\sigma_i^2-1-\log\sigma_i^2)"

_SIGN = Derivation(
    "mu real \n sigma > 0",
    (
        r"D_{KL}(\mathcal{N}(\mu,\sigma^2)\Vert\mathcal{N}(0,1))",
        ("=", r"-\frac12\left(\mu^2+\sigma^2-1-\log\sigma^2\right)", "as printed"),
    ),
    "C4, for one number of the code",
)
_TURNED = Derivation(
    "mu real \n sigma > 0",
    (
        r"D_{KL}(\mathcal{N}(\mu,\sigma^2)\Vert\mathcal{N}(0,1))",
        ("=", r"\frac12\left(\mu^2+\sigma^2-1-\log\sigma^2\right)", "with the right sign"),
    ),
    "C4 with its sign turned",
)

FROM_A = (
    Row(
        "A1", "A§4.1", _GAME, HOLDS, "04",
        (Accepts("4.1", _VALUE), Accepts("4.4"), Accepts("4.6")),
    ),
    Row(
        "A2", "A§4.2", rf"discriminator: $\max_D V(D)={_VALUE}$", HOLDS, "04",
        (Accepts("4.1", _VALUE), Accepts("4.4")),
    ),
    Row(
        "A3", "A§4.2", rf"generator: $\min_G V(G)={_GENERATOR}$", HOLDS, "04",
        (Accepts("4.13", _GENERATOR), Accepts("4.15")),
        note="It is the half of $V$ that depends on $G$. In practice it saturates, (4.15): where "
             "the discriminator is sure, hardly any gradient is left.",
    ),
    Row(
        "A4", "A§4.2", 'substituting A3 into A2 gives A1 ("the min-max game")', FAILS, "04",
        (Shown(games.the_order_of_the_two),),
        corrected=r"The game is $\min_G\max_D V$. Substituting the inner $\min_G$ into $\max_D$ is "
                  r"$\max_D\min_G V$, another problem; in general $\max\min\le\min\max$.",
        note="That the game is a min-max game is right; the step that is said to lead there is not."
             " Where the generator may be any distribution the two values agree, but their "
             "solutions do not.",
    ),
    Row(
        "A5", "A§4.1", r"at the optimum (a Nash equilibrium) $p_g=p_{data}$", HOLDS, "04",
        (Accepts("4.8"), Shown(games.the_generator_arrives),
         Chain(worked.right("best discriminator"), worked.broken("best discriminator"))),
        note="If both networks can be any function, and the discriminator is at its best.",
    ),
)  # fmt: skip

FROM_B = (
    Row(
        "B1", "B§3.1, §4.1",
        rf"{_GAME}, with $G(z;\theta_g):z\mapsto x$ and $D(x;\theta_d):x\mapsto[0,1]$",
        HOLDS, "04", (Accepts("4.1", _VALUE), Accepts("1.1")),
    ),
    Row(
        "B2", "B§3.2",
        r"$\log p(x)=D_{KL}(q(z\mid x)\Vert p(z\mid x))+\mathcal L(\theta,\phi;x)$, where "
        r"$\mathcal L$ is called \"the reconstruction loss\"".replace('\\"', '"'),
        CORRECTED, "03",
        (Accepts("3.3"), Rejects("3.3", printed("3.3", "B2"), "the whole bound")),
        corrected=r"The identity holds if $\mathcal L$ is the whole evidence bound: "
                  r"reconstruction *minus* $D_{KL}(q(z\mid x)\Vert p(z))$.",
    ),
    Row(
        "B3", "B§4.2",
        rf"$\log p(x)=D_{{KL}}(q(z\mid x)\Vert p(z\mid x))+{_ELBO}$", HOLDS, "03",
        (Accepts("3.3", rf"D_{{KL}}(q(z\mid x)\Vert p(z\mid x))+{_ELBO}"),),
    ),
    Row(
        "B4", "B§4.2",
        r"since $D_{KL}\ge 0$, the second term of B3 is a lower bound of $\log p(x)$", HOLDS, "03",
        (Accepts("3.4", _ELBO), Accepts("3.6"), Accepts("1.18")),
        note='The text then maximises "the lower bound of" this term, which is itself the bound.',
    ),
    Row(
        "B5", "B§4.2",
        r"$\mathcal L=\mathbb E_{q}[\log p(x\mid z)]-D_{KL}(q(z\mid x;\phi)\Vert p(z))$",
        HOLDS, "03",
        (Accepts("3.5", r"\mathbb{E}_{q(z\mid x)}[\log p(x\mid z)]-D_{KL}(q(z\mid x)\Vert p(z))"),
         Chain(worked.right("evidence bound"), worked.broken("evidence bound"))),
    ),
    Row(
        "B6", "B§3.3, §4.3", r"$P(x)=\prod_{t=1}^{T}P(x_t\mid x_{<t};\theta)$", HOLDS, "05",
        (Accepts("5.1", r"\prod_{t=1}^{T}p(x_t\mid x_{<t})"), Accepts("5.2")),
        note="It is no assumption: every distribution over sequences can be written so.",
    ),
    Row(
        "B7", "B§4.3",
        r"$\mathcal L(\theta)=\sum_{x}\log P(x;\theta)=\sum_x\sum_t\log P(x_t\mid x_{<t};\theta)$, "
        "to be maximised",
        HOLDS, "05",
        (Accepts("5.3", r"\sum_{t=1}^{T}\log p(x_t\mid x_{<t})"), Accepts("5.4")),
        note="For sequences drawn independently. The loss that is lowered is minus its mean.",
    ),
)  # fmt: skip

FROM_C = (
    Row(
        "C1", "C, GAN", r"$L_{gen}=E_{x\sim p_{data}}[\log(1-D(G(x)))]$", FAILS, "04",
        (Rejects("4.13", printed("4.13", "C1"), "the mean is taken over data"),
         Rejects("4.1", printed("4.1", "C1"), "the second mean is taken over data")),
        corrected=rf"${_GENERATOR}$: the generator is given noise, not data.",
    ),
    Row(
        "C2", "C, GAN", rf"$L_{{disc}}={_VALUE}$, called a loss", CORRECTED, "04",
        (Accepts("4.1", _VALUE), Rejects("4.12", printed("4.12", "C2"), "to be maximised")),
        corrected=rf"It is the value, to be maximised. The loss is minus it: ${_BOTH}$.",
    ),
    Row(
        "C3", "C, VAE", r"$L_{recon}=\lVert x-\hat x\rVert^2$", CORRECTED, "03",
        (Accepts("3.16"), Rejects("3.16", printed("3.16", "C3", 1), "this is a loss")),
        corrected=r"For Gaussian pixels $-\log p(x\mid z)=\frac{\lVert x-\hat x\rVert^2}{2\sigma^2}"
                  r"+\frac D2\log(2\pi\sigma^2)$: the squared error is $2\sigma^2$ times that, up "
                  "to a constant.",
    ),
    Row(
        "C4", "C, VAE",
        rf"$L_{{KL}}=-{_GAUSSIAN_KL}$, with $n$ \"the input's dimension\"".replace('\\"', '"'),
        FAILS, "03",
        (Rejects("3.11", printed("3.11", "C4"), "the sign is turned round"),
         Chain(_SIGN, _TURNED, holds=False)),
        corrected=rf"${_GAUSSIAN_KL}$, where $n$ is the number of numbers in the *code*.",
        note="A divergence is never negative, and this one, as printed, never positive.",
    ),
    Row(
        "C5", "C, VAE", r"$L_{vae}=L_{recon}+\lambda L_{KL}$", CORRECTED, "03",
        (Accepts("3.17"), Rejects("3.17", r"\lVert x-\hat{x}\rVert^2-2\sigma^2 K"
                                          r"+D\sigma^2\log(2\pi\sigma^2)")),
        corrected=r"With $\lambda=2\sigma^2$, and C4 with the right sign, it is $-2\sigma^2$ times "
                  "the bound, up to a constant.",
    ),
)  # fmt: skip

FROM_D = (
    Row(
        "D1", "D§4.1.1", r"$D(x)=P(D(x)=1\mid x\text{ is real})$", FAILS, "04",
        (Rejects("4.4", printed("4.4", "D1"), "which is certain"),
         Rejects("4.4", printed("4.4", "D1", 1), "turned round by Bayes")),
        corrected=r"$D(x)=P(\text{real}\mid x)$; at its best "
                  r"$\frac{p_{data}(x)}{p_{data}(x)+p_g(x)}$.",
    ),
    Row(
        "D2", "D§4.1.1", r"$G(z)=P(D(G(z))=1\mid z\text{ is noise})$", FAILS, "04",
        (Rejects("4.2", printed("4.2", "D2"), "G(z) is taken for a probability"),),
        corrected=r"$G(z)$ is a picture. What is described is $D(G(z))$, the probability that the "
                  "discriminator gives to that picture of being real.",
    ),
    Row(
        "D3", "D§4.1.2", r"$x=D(E(x))$", FAILS, "02",
        (Rejects("2.2", printed("2.2", "D3"), "says nothing"),
         Rejects("2.x1", printed("2.x1", "D3")), Shown(pictures.what_does_not_come_back)),
        corrected=r"$x\approx D(E(x))$ is the aim. With $M$ codes for $N>M$ pictures at least "
                  "$N-M$ of them do not come back.",
        note="It can hold for pictures of one kind, and exactly for a code as long as the picture.",
    ),
    Row(
        "D4", "D§4.1.3", r"$x_{style}=\sigma(W_2\,\sigma(W_1x_{content}+b_1))$", FAILS, "08",
        (Accepts("8.1"), Shown(pictures.no_style_in_the_printed_style)),
        corrected=r"$\min_x\ \alpha L_{content}(x)+\beta L_{style}(x)$ over the pixels of $x$, or "
                  "over the weights of a network that is trained for one style.",
        note="It computes what it says, a network of two layers. Read as \"one network, trained "
             "for one style\" the idea is sound; what then matters is the loss.",
    ),
    Row(
        "D5", "D§4.1.3", r"$x_{content}=\sigma(W_4\,\sigma(W_3x_{content}+b_3))$", FAILS, "08",
        (Accepts("8.2"), Shown(pictures.one_fixed_point_for_all_photos)),
        corrected=r"$x_{content}\approx\hat x$ is the aim of an autoencoder, with an encoder and a "
                  "decoder that are trained for it.",
        note="As printed it is a condition on the picture, which the weights decide.",
    ),
    Row(
        "D6", "D§4.2.1", rf"$L_G={_BOTH}$, minimised by the generator", FAILS, "04",
        (Rejects("4.13", printed("4.13", "D6"), "helps the discriminator"),
         Shown(games.the_generator_walks_away)),
        corrected=rf"${_GENERATOR}$, or in practice "
                  r"$-\mathbb{E}_{z\sim p_z}[\log D(G(z))]$.",
    ),
    Row(
        "D7", "D§4.2.1", rf"$L_D={_BOTH}$", HOLDS, "04",
        (Accepts("4.12", _BOTH), Accepts("4.4")),
    ),
    Row(
        "D8", "D§4.2.2", r"$L_E=L_D=\mathbb E_{p_{data}}\lVert x-D(E(x))\rVert^2$", HOLDS, "02",
        (Accepts("2.1"), Accepts("2.x2")),
        note="One number for both, with two slopes.",
    ),
    Row(
        "D9", "D§4.2.3",
        r"$L_{content}=\mathbb E\lVert x_{content}-\hat x_{content}\rVert^2$ on CNN features",
        CORRECTED, "08",
        (Accepts("8.3"), Rejects("8.3", printed("8.3", "D9"), "the same up to a factor")),
        corrected=r"$\frac{1}{2CN}\sum_{c,i}(F_{ci}-P_{ci})^2$: the squared distance up to a "
                  "factor, of the features of *one* content picture, not of a distribution.",
    ),
    Row(
        "D10", "D§4.2.3",
        r"$L_{style}=\mathbb E\lVert x_{style}-\hat x_{style}\rVert^2$ on CNN features",
        FAILS, "08",
        (Rejects("8.7", printed("8.7", "D10"), "it is the Gram matrix that does"),
         Accepts("8.8"), Shown(pictures.style_without_places)),
        corrected=r"$\frac{1}{4C^2}\lVert G-A\rVert^2$ of the Gram matrices $G=\frac1N FF^\top$: "
                  "they forget the place, and the printed distance does not.",
    ),
)  # fmt: skip

FROM_E = (
    Row("E1", "E§3.1, §4.1", _GAME, HOLDS, "04", (Accepts("4.1", _VALUE), Accepts("4.4"))),
    Row(
        "E2", "E§3.2, §4.2",
        r"$\mathcal L=\mathbb E_{q_\phi}[\log p_\theta(x\mid z)]-\beta "
        r"D_{KL}(q_\phi(z\mid x)\Vert p(z))$, called both \"the loss\" and the thing whose parts "
        "are minimised".replace('\\"', '"'),
        CORRECTED, "03",
        (Accepts("3.19", r"\mathbb{E}_{q(z\mid x)}[\log p(x\mid z)]"
                         r"-\beta D_{KL}(q(z\mid x)\Vert p(z))"),
         Rejects("3.19", printed("3.19", "E2"), "this is the loss")),
        corrected="The formula is right, and is to be *maximised*; the loss is minus it.",
    ),
    Row(
        "E3", "E§3.2",
        r"reparameterisation: $z\sim\mathcal N(\mu,\sigma^2)$ sampled so that gradients pass",
        CORRECTED, "03",
        (Accepts("3.12"), Rejects("3.12", printed("3.12", "E3"), "drawing cuts the gradient")),
        corrected=r"$z=\mu+\sigma\epsilon$ with $\epsilon\sim\mathcal N(0,1)$ drawn outside.",
    ),
    Row(
        "E4", "E§3.3, §4.3",
        r"$\mathrm{Attention}(Q,K,V)=\mathrm{softmax}(QK^\top/\sqrt{d_k})V$, with $d_k$ "
        '"the scaling factor"',
        CORRECTED, "06",
        (Accepts("6.4"), Rejects("6.2", printed("6.2", "E4"), "d_k is no factor"),
         Accepts("6.1")),
        corrected=r"The formula is right. $d_k$ is the width of a key; the factor is "
                  r"$\frac{1}{\sqrt{d_k}}$.",
    ),
    Row(
        "E5", "E§3.4", r"$q(x_T\mid x_0)=\prod_{t=1}^{T}q(x_t\mid x_{t-1})$", FAILS, "07",
        (Rejects("7.3", printed("7.3", "E5"), "one whole path"), Accepts("7.2"), Accepts("7.5")),
        corrected=r"The product is $q(x_1,\dots,x_T\mid x_0)$; for $x_T$ alone the states in "
                  "between are summed out.",
    ),
)  # fmt: skip

ROWS = (*FROM_A, *FROM_B, *FROM_C, *FROM_D, *FROM_E)
