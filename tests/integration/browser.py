"""Pages in a headless Chromium: what their scripts make of them, and what goes wrong."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")

_ANSWER = re.compile(r'<pre id="answer">(.*?)</pre>', re.DOTALL)


@dataclass(frozen=True)
class Opened:
    """A page after its scripts ran. answer: what the test's own script gave. complaints: lines of the console."""

    dom: str
    answer: str
    complaints: list[str]


def opened(page: Path, script: str = "''", fragment: str = "") -> Opened:
    """script: an expression in JavaScript, evaluated when the page has loaded, whose text is the answer.

    The page's own policy allows no network. Chromium reports every request that it stops as a complaint.
    """
    assert CHROMIUM is not None
    copy = page.with_name(f"tested-{page.name}")
    told = f"const answer = document.createElement('pre'); answer.id = 'answer'; answer.textContent = {script};"
    own = f"<script>addEventListener('load', () => {{ {told} document.body.append(answer); }});</script>"
    copy.write_text(page.read_text("utf-8").replace("</body>", f"{own}</body>"), "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    profile = f"--user-data-dir={page.with_name('profile')}"
    command = [CHROMIUM, *options, profile, "--virtual-time-budget=5000", "--dump-dom", f"{copy.as_uri()}{fragment}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    found = _ANSWER.search(done.stdout)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert found is not None, f"the script failed: {complaints} {done.stderr[-2000:]}"
    return Opened(done.stdout, found[1], complaints)
