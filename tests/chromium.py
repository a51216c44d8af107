"""A real browser, where Chromium and what drives it are installed."""

import contextlib
import importlib.util
import shutil

CHROMIUM = shutil.which("chromium")


@contextlib.contextmanager
def started():
    """A browser, or `None` where there is none."""
    if CHROMIUM is None or importlib.util.find_spec("playwright") is None:
        yield None
        return
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic"],
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def listening(browser):
    """Opens pages; what a console says, or a page asks for, is an error.

    Yields:
        Function of a path, the width of the window and the colour scheme, to
        the page; `None` without a browser.
    """
    said, asked = [], []

    def opened(path, width=1280, scheme="light"):
        if browser is None:
            return None
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        page.on(
            "console",
            lambda m: said.append(m.text) if m.type == "error" else None,
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.locator(".sample").first.scroll_into_view_if_needed()
        page.wait_for_selector(".sample .views", state="attached")
        settle(page)
        return page

    yield opened
    assert said == []
    assert all(url.startswith("file:") for url in asked)
    assert len(asked) == len(set(asked))


def settle(page):
    """Waits until what is due has been painted."""
    page.evaluate(
        "new Promise(done => requestAnimationFrame("
        "() => requestAnimationFrame(done)))"
    )
