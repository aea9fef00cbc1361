"""stage=demo_app on the shapes world, served by the real command line and used in a headless browser.

Needs what the package does without: `uv pip install gradio playwright`, and a Chromium on the PATH.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection, socket
from typing import Any

import pytest
from integration.command_line import ROOT, command

pytest.importorskip("gradio")
sync_api: Any = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")

OPTIONS = ("stage=demo_app", "method=[npnet]", "method.npnet.artifact=packaged/shapes", "scorer=[shapes_verifier]")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(command(tmp_path, *OPTIONS), cwd=ROOT, env=os.environ | {"GRADIO_SERVER_PORT": str(port)})
    try:
        wait_for(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(server: "subprocess.Popen[bytes]", port: int) -> None:
    for _ in range(120):
        assert server.poll() is None
        try:
            create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(1)
    pytest.fail("the page is not served")


def test_a_visitor_gets_the_pair_of_a_prompt_and_a_sentence_for_a_mistake(address: str, tmp_path: Path) -> None:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.get_by_role("heading", name="Golden noise: standard and npnet").wait_for()
        page.get_by_label("Prompt").fill("a red circle above a blue square")
        page.get_by_role("button", name="Submit").click()
        shown = page.locator("img[src*='.png']")
        shown.wait_for(timeout=120_000)
        width, height = shown.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
        page.screenshot(path=tmp_path / "page.png")
        page.get_by_label("Prompt").fill("")
        page.get_by_role("button", name="Submit").click()
        page.get_by_text("prompt='': prompt must be a text").wait_for(timeout=30_000)
        browser.close()
    (picture,) = (tmp_path / "samples").rglob("side_by_side.png")
    from PIL import Image

    with Image.open(picture) as made:
        assert made.size == (width, height)
