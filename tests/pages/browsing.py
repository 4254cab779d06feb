"""What tests ask a page in a browser."""

from playwright.sync_api import Page

PHONE = {"width": 390, "height": 844}


def is_wider_than_its_window(page: Page) -> bool:
    """Say whether a reader would have to scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))
