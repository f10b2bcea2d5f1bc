"""Icons, 32×32 in one ink, drawn from the seven icon fonts that ship inside qtawesome.

Only the font files are read: qtawesome itself is never imported, because it would ask for Qt.
Logos of companies and products are left out: they are trade marks, whatever the font's licence.
Left out too are the older editions (Font Awesome 5, Material Design Icons 5) of fonts that are
there in a newer one, and the brand fonts.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, features
from PIL import __version__ as pillow

from genart_lessons.data import cache
from genart_lessons.data.files import package_file, sha256
from genart_lessons.data.pictures import Icons, check_split, part, test_bases

SIZE, MARGIN, FINER = 32, 2, 4  # pixels, pixels, and how many times larger an icon is drawn
ALIKE = 0.06  # root-mean-square difference below which two icons are all but the same


@dataclass(frozen=True)
class Font:
    """One icon font: the name of its group, and the pattern of its files without the version."""

    group: str
    stem: str

    def files(self) -> tuple[Path, Path]:
        """The font, and the JSON that maps names to code points. Raises DataMissing."""
        return _fonts_file(f"{self.stem}-[0-9]*.ttf"), _fonts_file(f"{self.stem}-charmap-*.json")


FONTS = (
    Font("Codicons", "codicon"),
    Font("Elusive Icons", "elusiveicons-webfont"),
    Font("Font Awesome", "fontawesome6-solid-webfont"),
    Font("Font Awesome", "fontawesome6-regular-webfont"),
    Font("Material Design Icons", "materialdesignicons6-webfont"),
    Font("Phosphor", "phosphor"),
    Font("Remix Icon", "remixicon"),
)

# An icon whose name begins with one of these is a logo …
BRANDS = frozenset(
    """adobe alipay amazon android angular angularjs ansible apache app-store apple artstation
    atlassian aws azure babel baidu behance bilibili bitbucket blogger bootstrap buffer bulma
    cash-app centos codepen cordova coreos creative-commons cryengine css3 deathly-hallows
    debian delicious dev-to deviantart digg digital-ocean dingding discord disqus dlna docker
    dolby dot-net douban dribbble dropbox drupal electron-framework ember emby eslint ethereum
    evernote facebook facetime fedora figma finder firebase firefox flickr flutter font-awesome
    foursquare framer freebsd friendfeed gatsby gentoo github gitlab gmail gnome gog goodreads
    google googleplus graphql hackernews hololens home-assistant html5 hubot hubspot hulu
    instagram intercom invision iobroker iphone iphone-home ipod jabber jira jquery jsfiddle
    kakao kickstarter klingon kodi kubernetes language laravel lastfm lastpass linkedin linux
    litecoin livejournal lumx mac macbook manjaro mapbox mastercard mastodon material-design
    material-ui messenger mickey microsoft minecraft mixcloud myspace nativescript netease
    netflix nintendo nix nodejs npm npmjs nuxt ny-times octoface odnoklassniki onepassword
    openid opensource opera pandora pantone patreon paypal picasa pinterest pixelfed playstation
    plex plurk pokeball pokemon-go polymer powershell product-hunt qq qqchat quora raspberry-pi
    react reactjs reddit redhat redux remixicon rollupjs safari salesforce sass semantic-web
    signal-messenger sina skype slack slideshare snapchat sony soundcloud spotify
    square-facebook stack-exchange stack-overflow stackoverflow stackpath stackshare steam
    stripe stumbleupon symfony tailwind taobao teamviewer telegram tencent terraform tiktok
    trello triforce tumblr twitch twitter ubisoft ubuntu umbraco unity unreal unsplash viadeo
    vimeo visa vk vkontakte vlc vscode vuejs vuetify waze web-awesome wechat weibo whatsapp
    wikipedia wordpress xamarin xbox xing xmpp yahoo youtube zcool zend zhihu zigbee""".split()
)
# … or has one of these words in it …
BRAND_WORDS = frozenset({"logo", "google", "github", "octoface"})
# … and so are these whole names (their first words also begin names that are no logos).
BRAND_NAMES = frozenset(
    """arch chrome drive edge git ie language line medium netease-cloud-music origin podcast-apple
    ruby rust svelte switch windows css webpack w3c wix""".split()
)
NOT_BRANDS = frozenset({"apple-whole", "language"})  # a fruit; a globe with letters

STYLES = frozenset("bold fill filled light thin outline outlined line variant solid alt".split())
FRAMES = frozenset("circle square".split())  # "circle-check" is a check mark


def sources() -> list[Path]:
    """Every file that the icons come from, fonts and name lists. Raises DataMissing."""
    return [file for font in FONTS for file in font.files()]


def icons(split: str = "train") -> Icons:
    """Icons in one ink. ``x`` (N, 1, 32, 32) float32 in [0, 1], 1 = ink; named; grouped by font.

    About a tenth of the base names are for testing. The base is the first word of the name, so
    that "bell", "bell-outline" and "bell-plus" of every font stay together; an icon for testing
    that is all but the same as one for training (another font's, under another name) is left out.
    Raises ValueError for another split, DataMissing where the package is not there.
    """
    check_split(split)
    pixels, known = raw()
    bases = [base_of(name) for name in known["names"]]
    everything = Icons(pixels.float() / 255, known["names"], known["groups"], bases, "all")
    return part(everything, split, set(known["test"]))


def raw() -> tuple[torch.Tensor, dict]:
    """All icons (N, 1, 32, 32) uint8, with ``names``, ``groups`` and the ``test`` base names."""
    drawing = f"{pillow} {features.version('freetype2')}".encode()
    code = (Path(__file__), Path(__file__).with_name("pictures.py"))  # how to draw, how to split
    key = sha256(*sources(), *code, drawing)
    return cache.remembered("icons", key, _draw_all)


def base_of(name: str) -> str:
    """What variants have in common, the first telling word: ``"bell-off-outline"`` → ``"bell"``."""
    words = [word for word in name.split("-") if word]
    while len(words) > 1 and words[0] in FRAMES:
        words = words[1:]
    word = words[0]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def is_logo(name: str) -> bool:
    """Whether a name is that of a company or product."""
    words = name.split("-")
    if name in NOT_BRANDS:
        return False
    while len(words) > 1 and words[-1] in STYLES:
        words = words[:-1]
    begins = {"-".join(words[:n]) for n in (1, 2)}
    return bool(BRAND_WORDS & set(words) or BRANDS & begins or "-".join(words) in BRAND_NAMES)


def _fonts_file(pattern: str) -> Path:
    return package_file("qtawesome", f"fonts/{pattern}", "qtawesome>=1.4,<1.5")


def _draw_all() -> tuple[torch.Tensor, dict]:
    """Draw every icon; of pictures that agree in every pixel only the first is kept."""
    kept: dict[bytes, tuple[str, str]] = {}
    for font in FONTS:
        for name, picture in _draw_font(font):
            kept.setdefault(picture.tobytes(), (name, font.group))
    names, groups = map(list, zip(*kept.values(), strict=True))
    pixels = np.frombuffer(b"".join(kept), np.uint8).reshape(-1, 1, SIZE, SIZE)
    bases = [base_of(name) for name in names]
    for_test = test_bases(bases, ["icons"] * len(bases), largest=0.03)
    sound = _unlike(torch.from_numpy(pixels.copy()), [base in for_test for base in bases])
    known = {
        "names": [names[i] for i in sound],
        "groups": [groups[i] for i in sound],
        "test": sorted(for_test),
    }
    return torch.from_numpy(pixels[sound]), known


def _draw_font(font: Font):
    """Yield (name, (32, 32) uint8) for every icon of a font that is not a logo."""
    path, charmap = font.files()
    side = FINER * (SIZE - 2 * MARGIN)
    # BASIC: no shaping library, so the same result whether or not Pillow was built with one.
    ink = ImageFont.truetype(str(path), side, layout_engine=ImageFont.Layout.BASIC)
    codes: dict[int, str] = {}
    for name, code in sorted(json.loads(charmap.read_text(encoding="utf-8")).items()):
        if not is_logo(name) and name not in ("notdef", "blank"):
            codes.setdefault(int(code, 16), name)  # the first of several names for one picture
    for code, name in codes.items():
        picture = _draw(ink, chr(code))
        if picture.any():
            yield name, picture


def _draw(ink: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    """One icon, drawn large, centred by its ink, made to fit, and averaged down to 32×32."""
    side, canvas = int(ink.size), FINER * SIZE
    large = Image.new("L", (3 * canvas, 3 * canvas))
    ImageDraw.Draw(large).text((canvas, 2 * canvas), character, font=ink, fill=255, anchor="ls")
    glyph = large.crop(large.getbbox() or (0, 0, 1, 1))
    if max(glyph.size) > side:
        glyph.thumbnail((side, side), Image.Resampling.LANCZOS)
    centred = Image.new("L", (canvas, canvas))
    centred.paste(glyph, ((canvas - glyph.width) // 2, (canvas - glyph.height) // 2))
    return np.asarray(centred.reduce(FINER))


def _unlike(pixels: torch.Tensor, test: list[bool]) -> list[int]:
    """Which pictures to keep: all but the test pictures that a training picture looks just like."""
    flat, chosen = pixels.flatten(1).float() / 255, torch.tensor(test)
    difference = torch.cdist(flat[chosen], flat[~chosen]).amin(1) / flat.shape[1] ** 0.5
    keep = torch.ones(len(flat), dtype=torch.bool)
    keep[chosen] = difference >= ALIKE
    return keep.nonzero().flatten().tolist()
