"""The explorers in a real JupyterLab, in a real browser, moved by the keyboard.

One server and one browser serve the whole file, with folders of their own; the test skips itself
where playwright or Chromium is missing. Nothing may ask the network for anything.
"""

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt install chromium")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install playwright"
)

SMALL = """\
from genart_lessons import explore
box = explore.two_gaussians(mu=1.0, sigma=0.6)
box"""
SLOW = """\
import time
from PIL import Image
drawn = []
def draw(k, seed):
    drawn.append(k)
    time.sleep(0.3)
    if k > 9:
        raise ValueError("k must stay below 10")
    return Image.new("RGB", (60, 40), (int(20 * k), seed, 0)), f"k is {k:g}, seed {seed}"
slow = explore.Explorer({"k": explore.slider("k", 0, 0, 20, 0.5)}, draw, title="Slow", seed=3)
slow"""
COUNT = "print('drawn', len(drawn), 'last', drawn[-1])"
PICTURES = ".jp-RenderedImage img"


# --- the server and the browser ------------------------------------------------------------------


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab of our own: (address, token, folder of its notebooks)."""
    folder = tmp_path_factory.mktemp("lab")
    notebooks, settings = folder / "notebooks", folder / "JUPYTER_CONFIG_DIR" / "labconfig"
    notebooks.mkdir()
    settings.mkdir(parents=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (settings / "page_config.json").write_text(json.dumps(quiet))
    own = ["CONFIG", "DATA", "RUNTIME"]
    env = {**os.environ, **{f"JUPYTER_{n}_DIR": str(folder / f"JUPYTER_{n}_DIR") for n in own}}
    env |= {f"JUPYTERLAB_{n}_DIR": str(folder / n) for n in ("SETTINGS", "WORKSPACES")}
    env |= {"IPYTHONDIR": str(folder / "ipython"), "GENART_HOME": str(folder / "home")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(12)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
        "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={notebooks}", f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    log = folder / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=env, cwd=notebooks, stdout=out, stderr=out)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(server, f"{address}/api/status?token={token}", log)
        yield address, token, notebooks
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_up(server, url, log, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser():
    with playwright.sync_playwright() as driver:
        # --no-sandbox: in containers Chromium runs as root; it only ever meets our own pages.
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_notebook(lab, browser):
    """open_notebook(file) → a page with that notebook and its kernel; guards the network."""
    address, token, notebooks = lab
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    page, outside = context.new_page(), []
    note = lambda asked: None if local(asked.url) else outside.append(asked.url)  # noqa: E731
    page.on("request", note)
    page.on("websocket", note)

    def open_it(file: Path):
        shutil.copy(file, notebooks / file.name)
        page.goto(f"{address}/lab/tree/{file.name}?reset&token={token}")
        page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
        page.evaluate("""async () => {
            const session = jupyterapp.shell.currentWidget.sessionContext;
            await session.ready;
            await session.session.kernel.info;
            await jupyterapp.commands.execute('application:toggle-left-area');
        }""")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        return page

    yield open_it
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    context.close()
    assert not outside, f"asked the network for {sorted(set(outside))[:5]}"


def local(url: str) -> bool:
    """Does this address stay on this machine?"""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname == "127.0.0.1"


def write_notebook(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    return path


def run_all(page, seconds=60) -> None:
    page.set_default_timeout(seconds * 1000)
    assert page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")


def press(page, slider: int, key: str, times: int = 1) -> None:
    page.locator(".noUi-handle").nth(slider).focus()
    for _ in range(times):
        page.keyboard.press(key)


def picture(page, number: int = 0) -> str:
    return page.locator(PICTURES).nth(number).get_attribute("src")


def wait_for_change(page, old: str, number: int = 0) -> None:
    page.wait_for_function(
        "([css, n, old]) => document.querySelectorAll(css)[n]?.src !== old",
        arg=[PICTURES, number, old], timeout=20_000,
    )  # fmt: skip


# --- the tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("http://127.0.0.1:8888/lab", True), ("ws://127.0.0.1:8888/api", True),
        ("data:image/png;base64,AA", True), ("https://example.org/x.js", False),
        ("http://127.0.0.1.example.org/", False), ("//example.org/x", False),
    ],
)  # fmt: skip
def test_the_network_guard_tells_here_from_there(url, stays):
    assert local(url) is stays


def test_the_keyboard_moves_the_picture_in_place(open_notebook, lab, tmp_path):
    page = open_notebook(write_notebook(tmp_path / "small.ipynb", SMALL))
    run_all(page)
    page.wait_for_selector(PICTURES)
    first = picture(page)
    press(page, 0, "ArrowRight")
    wait_for_change(page, first)
    second = picture(page)
    press(page, 0, "ArrowLeft")
    wait_for_change(page, second)
    assert picture(page) == first  # back where we were, to the byte
    assert page.locator(PICTURES).count() == 1  # one picture, redrawn; not a pile of them
    press(page, 1, "ArrowRight", 3)
    page.get_by_text("KL(q‖p) =").wait_for()
    wait_for_change(page, first)
    # What is saved now is what stands there now: no kernel needed to see it.
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    saved = nbformat.read(lab[2] / "small.ipynb", as_version=4)
    controls, stored, line = saved.cells[0].outputs
    assert controls.data["text/plain"] == "Run this cell to move: μ of q, σ of q."
    assert picture(page).endswith(stored.data["image/png"].strip())
    assert "KL(q‖p)" in line.data["text/plain"]


def test_a_stored_notebook_shows_the_still_picture_without_running(open_notebook, tmp_path):
    from nbclient import NotebookClient

    path = write_notebook(tmp_path / "stored.ipynb", SMALL)
    notebook = nbformat.read(path, as_version=4)
    here = {"metadata": {"path": str(ROOT)}}
    NotebookClient(notebook, timeout=60, resources=here, store_widget_state=False).execute()
    controls, stored, _ = notebook.cells[0].outputs
    # As committed chapters are: the live widget's view means nothing without its kernel.
    del controls.data["application/vnd.jupyter.widget-view+json"]
    nbformat.write(notebook, path)
    page = open_notebook(path)
    page.wait_for_selector(PICTURES)
    still = base64.b64decode(picture(page).split(",")[1])
    assert still == base64.b64decode(stored.data["image/png"]) and still[:4] == b"\x89PNG"
    assert page.get_by_text("Run this cell to move: μ of q, σ of q.").is_visible()
    assert page.locator(".noUi-handle").count() == 0
    run_all(page)  # and it comes alive
    page.wait_for_selector(".noUi-handle")
    before = picture(page)
    press(page, 0, "ArrowRight")
    wait_for_change(page, before)


def test_a_slow_drawing_skips_stale_values_and_a_mistake_is_told(open_notebook, tmp_path):
    page = open_notebook(write_notebook(tmp_path / "slow.ipynb", SMALL, SLOW, COUNT))
    run_all(page)
    page.wait_for_selector(f":nth-match({PICTURES}, 2)")
    press(page, 2, "ArrowRight", 16)  # faster than it can draw
    page.get_by_text("k is 8, seed 3", exact=True).wait_for()
    page.get_by_role("button", name="Another seed").click()
    page.get_by_text("k is 8, seed 4", exact=True).wait_for()
    page.evaluate("""() => {
        jupyterapp.shell.currentWidget.content.activeCellIndex = 2;
        return jupyterapp.commands.execute('notebook:run-cell');
    }""")
    told = page.locator(".jp-RenderedText", has_text="drawn").last
    page.wait_for_function("e => !e.innerText.includes('drawn 1 ')", arg=told.element_handle())
    _, count, _, last = told.inner_text().split()
    assert float(last) == 8 and int(count) < 10  # 18 without the rule: start, 16 keys, the seed
    before = picture(page, 1)
    press(page, 2, "ArrowRight", 6)
    page.get_by_text("ValueError: k must stay below 10").wait_for()
    wait_for_change(page, before, 1)
    page.get_by_role("button", name="Reset").nth(1).click()
    page.get_by_text("k is 0, seed 3", exact=True).wait_for()


GAME = "from genart_lessons import explore\nexplore.game()"
GENERATOR = """import torch
from genart_lessons import explore
explore.generator(
    lambda z, y: (z[:, :1, None, None] + y[:, None, None, None]).sigmoid().expand(-1, 1, 8, 8),
    4, classes=["dark", "light"])"""


def test_a_choice_a_seed_and_a_class_move_their_pictures(open_notebook, tmp_path):
    page = open_notebook(write_notebook(tmp_path / "gan.ipynb", GAME, GENERATOR))
    run_all(page)
    page.wait_for_selector(f":nth-match({PICTURES}, 2)")
    page.get_by_text("spirals out").first.wait_for()
    before = picture(page)
    page.get_by_label("rule of the steps").select_option(label="extragradient")
    wait_for_change(page, before)
    page.get_by_text("spirals in").first.wait_for()
    before = picture(page, 1)
    page.get_by_role("button", name="light").click()
    wait_for_change(page, before, 1)
    before = picture(page, 1)
    page.locator(".noUi-handle").nth(3).focus()  # the first of the second explorer: the mix
    page.keyboard.press("ArrowRight")
    wait_for_change(page, before, 1)


@pytest.fixture
def chapter():
    """The stored chapter 03, as a learner opens it."""
    found = sorted((ROOT / "chapters").glob("03_*.ipynb"))
    if not found:
        pytest.skip("chapter 03 is not there yet")
    return found[0]


def explorers(notebook: Path) -> list[str]:
    """The stored pictures that belong to explorers, in their order."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = [cell.outputs for cell in cells if cell.cell_type == "code"]
    return [
        after.data["image/png"].strip()
        for shown in outputs
        for before, after in zip(shown, shown[1:], strict=False)
        if before.get("data", {}).get("text/plain", "").startswith("Run this cell to move:")
    ]


def test_the_stored_chapter_shows_its_explorers_as_stills(chapter, open_notebook):
    stored = explorers(chapter)
    assert stored, "chapter 03 has no explorer with a stored picture"
    page = open_notebook(chapter)
    scroll_to_cell_with(page, "Run this cell to move:")
    shown = [src.split(",")[1] for src in pictures_in_view(page)]
    assert set(shown) & set(stored)
    assert page.get_by_text("Error displaying widget").count() == 0


def test_the_chapter_runs_and_its_explorer_moves(chapter, open_notebook):
    page = open_notebook(chapter)
    run_all(page, seconds=240)
    scroll_to_cell_with(page, "Run this cell to move:")
    page.wait_for_selector(".noUi-handle")
    area = page.locator(".jp-OutputArea", has=page.locator(".noUi-handle")).first
    moving = area.locator(PICTURES).first
    before = moving.get_attribute("src")
    area.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    end = time.monotonic() + 20
    while moving.get_attribute("src") == before and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert moving.get_attribute("src") != before and area.locator(PICTURES).count() == 1


def scroll_to_cell_with(page, text: str) -> None:
    """Bring the first cell with an output that says this into view (Lab draws only what is)."""
    assert page.evaluate(
        """async text => {
            const notebook = jupyterapp.shell.currentWidget.content;
            for (const [i, cell] of notebook.widgets.entries()) {
                const outputs = cell.model.sharedModel.outputs ?? [];
                if (!JSON.stringify(outputs).includes(text)) continue;
                notebook.activeCellIndex = i;
                await notebook.scrollToItem(i, 'start');
                return true;
            }
            return false;
        }""",
        text,
    ), f"no cell's output says {text!r}"
    page.wait_for_timeout(1000)


def pictures_in_view(page) -> list[str]:
    page.wait_for_selector(PICTURES)
    return [image.get_attribute("src") for image in page.locator(PICTURES).all()]
