"""The articles' 16 statements that can be tested, S1 to S16."""

from genart_lessons.ledger import games, pictures, transfer, walks
from genart_lessons.ledger.evidence import Accepts, Paper, Rejects, Shown, printed
from genart_lessons.ledger.row import CORRECTED, FAILS, HOLDS, Row

_DALLE2 = Paper(
    "Ramesh et al., 2022", "https://arxiv.org/abs/2204.06125",
    "We use diffusion models for the decoder and experiment with both autoregressive and diffusion "
    "models for the prior (abstract).",
)  # fmt: skip
_LATENT = Paper(
    "Rombach et al., 2022", "https://arxiv.org/abs/2112.10752",
    "Latent diffusion models are diffusion models in the latent space of a pretrained autoencoder "
    "(abstract, in short); that autoencoder is trained with a perceptual and a patch-based "
    "adversarial loss (section 3.1).",
)  # fmt: skip
_VQGAN = Paper(
    "Esser et al., 2021", "https://arxiv.org/abs/2012.09841",
    "The origin of such a first stage: an autoencoder with a codebook and an adversarial loss, "
    "whose codes another model then learns.",
)  # fmt: skip
_CLIP = Paper(
    "Radford et al., 2021", "https://arxiv.org/abs/2103.00020",
    "An image encoder and a text encoder are trained together to predict which pictures and texts "
    "belong together (abstract, in short).",
)  # fmt: skip
_TRANSFER = Paper(
    "Yosinski et al., 2014", "https://arxiv.org/abs/1411.1792",
    "How transferable are features in deep neural networks? Measured layer by layer: starting from "
    "transferred features helps, less so for distant tasks.",
)  # fmt: skip
_STYLEGAN_ADA = Paper(
    "Karras et al., 2020", "https://arxiv.org/abs/2006.06676",
    "Trains GANs on a thousand pictures, among them 1,336 faces from paintings (MetFaces), with "
    "and without transfer from a larger set.",
)  # fmt: skip

_P_RIGHT = r"\mathbb{E}_{q(z\mid x)}[\log p(x\mid z)]-D_{KL}(q(z\mid x)\Vert p(z))"

ROWS = (
    Row(
        "S1", "A§3.3", "GAN training suffers from mode collapse and instability", HOLDS, "04",
        (Shown(games.modes_are_lost), Accepts("4.25")),
        note="With remedies: penalties, other losses, smaller ambitions.",
    ),
    Row(
        "S2", "A§3.1", "a VAE's samples are often worse than a GAN's", HOLDS, "04",
        (Shown(games.a_gan_is_sharper),),
        note="In sharpness. But a VAE can answer for a given picture, and leaves out less.",
    ),
    Row(
        "S3", "A§3.2", "least-squares and cross-entropy losses are both used for GANs", HOLDS, "04",
        (Shown(games.both_losses_work), Accepts("4.12")),
    ),
    Row(
        "S4", "A§2", "GAN and VAE can be combined for more varied and better samples",
        CORRECTED, "04", (Shown(games.together_in_part),),
        corrected="They can be combined, for crisper pictures at nearly the VAE's error; random "
                  "pictures are not better in every respect.",
    ),
    Row(
        "S5", "A§2", "art data are scarce, so models pre-trained elsewhere are transferred",
        HOLDS, "09", (Shown(transfer.features_of_photos_help_with_emoji),),
        note="Measured here on small pictures; chapter 09 follows and makes it its subject.",
        papers=(_TRANSFER, _STYLEGAN_ADA),
    ),
    Row(
        "S6", "B§3.1", "DALL-E 2 and Stable Diffusion use GANs or variants of them", FAILS, "07",
        (Shown(walks.latent_diffusion_has_no_critic),),
        corrected="Both are diffusion models, guided by a text.",
        note="Something is in it: the autoencoder whose codes Stable Diffusion works on was "
             "trained with an adversarial loss beside others. What *generates*, the denoiser of "
             "the codes, was not.",
        papers=(_DALLE2, _LATENT, _VQGAN),
    ),
    Row(
        "S7", "B§4.1",
        "a DCGAN generator is dense, upsampling and convolution layers; the discriminator "
        "convolution, downsampling and dense",
        HOLDS, "04", (Shown(games.what_a_dcgan_is_made_of),),
        note="The paper's own layers are strided and transposed convolutions.",
    ),
    Row(
        "S8", "B§4.3", 'beam search and top-k sampling draw "the most likely next word"',
        FAILS, "05",
        (Rejects("5.18", printed("5.18", "S8"), "no draw at all"),
         Rejects("5.19", printed("5.19", "S8"), "top-k keeps k"),
         Rejects("5.22", printed("5.22", "S8"), "the last symbol only"),
         Accepts("5.21")),
        corrected="Only greedy decoding takes the likeliest word. Top-k draws among the $k$ "
                  "likeliest; beam search draws nothing and looks for a likely *whole*.",
    ),
    Row(
        "S9", "B§2.2",
        "jointly trained encoders of two modalities allow cross-modal generation (CLIP, DALL-E)",
        HOLDS, "10", (Shown(transfer.words_find_unseen_pictures),),
        note="What is measured here is the bridge: words find pictures that were never seen. To "
             "*generate*, a decoder or a diffusion model follows; chapter 10 builds it. (The first "
             "DALL-E writes text and picture as one sequence, and uses CLIP to choose.)",
        papers=(_CLIP, _DALLE2),
    ),
    Row(
        "S10", "C, VAE", "a VAE maps data to a *high*-dimensional latent space", CORRECTED, "03",
        (Shown(pictures.codes_are_smaller_than_pictures),),
        corrected="To a latent space, as a rule of far fewer dimensions than the data.",
    ),
    Row(
        "S11", "C, GAN", "steps 2-4 are repeated until both networks' parameters converge",
        FAILS, "04",
        (Accepts("4.25"), Accepts("4.26"), Accepts("4.27"), Shown(games.two_players_go_round)),
        corrected="In general they do not converge: one stops by looking at pictures and at "
                  "measures of them, and averages weights. With a penalty they can.",
    ),
    Row(
        "S12", "D§3.4",
        "autoencoders denoise, compress and generate; GANs repair and upscale images",
        CORRECTED, "02",
        (Accepts("2.9"), Rejects("2.14", printed("2.14", "S12"), "cannot be compressed"),
         Shown(pictures.autoencoders_denoise),
         Shown(pictures.autoencoders_compress_and_do_not_generate)),
        corrected="They denoise and compress; to generate, a law for the codes must be added, as "
                  "a VAE does.",
        note="That GANs repair and upscale pictures is true of published ones; chapter 11 follows.",
        papers=(Paper("Ledig et al., 2017", "https://arxiv.org/abs/1609.04802",
                      "SRGAN: photo-realistic single image super-resolution with a GAN."),),
    ),
    Row(
        "S13", "E§4.1", r"the generator's loss is the negative of $\log(1-D(G(z)))$", FAILS, "04",
        (Rejects("4.13", printed("4.13", "S13"), "the sign is turned round"), Accepts("4.14")),
        corrected=r"$\mathbb{E}[\log(1-D(G(z)))]$, or in practice $-\mathbb{E}[\log D(G(z))]$.",
    ),
    Row(
        "S14", "E§4.2",
        r"reconstruction loss $\log p_\theta(x\mid\hat x)$ and the KL loss are added up and "
        "minimised",
        FAILS, "03",
        (Rejects("3.5", printed("3.5", "S14"), "the two terms are added"),
         Accepts("3.5", _P_RIGHT)),
        corrected=r"With $-\log p_\theta(x\mid z)$ it holds: a loss is minus a log-likelihood.",
    ),
    Row(
        "S15", "E§3.4",
        "a diffusion model's loss is the difference between generated and target image; a "
        "variational bound estimates the parameters of the *forward* process",
        FAILS, "07",
        (Accepts("7.16"), Accepts("7.20"), Shown(walks.the_literal_loss_paints_the_mean),
         Shown(walks.nothing_forward_is_estimated)),
        corrected="The loss is the difference between the noise that was added and the guess at "
                  "it; the bound is for the *reverse* process. The forward one is chosen.",
        note="A schedule can be learnt along with it (Kingma et al., 2021); it is the exception.",
    ),
    Row(
        "S16", "E§3.4",
        "conditional diffusion feeds the condition (a text, say) into reverse sampling",
        HOLDS, "07",
        (Accepts("7.35"), Accepts("7.36"), Shown(walks.the_condition_is_heard)),
        note="Without a classifier the condition must have been there in training, too.",
    ),
)  # fmt: skip
