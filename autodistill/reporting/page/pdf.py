"""report.pdf, printed from report.html by a Chromium if one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ...spec import StudyError
from ...study.record.folder import replace

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 120


def chromium() -> str | None:
    """The path of a Chromium on PATH, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def print_pdf(page: Path) -> Path | None:
    """Prints `page` to a .pdf beside it; None if no Chromium is installed. Raises StudyError if printing fails."""
    browser, target = chromium(), page.with_suffix(".pdf")
    if browser is None:
        return None
    with tempfile.TemporaryDirectory(prefix="autodistill-", ignore_cleanup_errors=True) as folder:
        draft = Path(folder) / "page.pdf"
        command = [browser, "--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}/profile"]
        command += ["--no-sandbox"] * (os.geteuid() == 0)  # Chromium refuses its sandbox to root
        command += ["--window-size=760,1000", "--no-pdf-header-footer", "--virtual-time-budget=10000"]
        _run([*command, f"--print-to-pdf={draft}", page.absolute().as_uri()])
        if not draft.exists():
            raise StudyError(f"{browser} printed nothing for {page}; open it in a browser and print it there")
        replace(target, draft.read_bytes())
    return target


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StudyError(f"{command[0]} could not print the page ({error}); open it in a browser and print it there") from error
