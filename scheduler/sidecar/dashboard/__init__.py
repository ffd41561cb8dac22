"""What the scheduler is doing, at a glance: one page for a person with a browser."""

from .page import Page, page, routes

__all__ = ["Page", "page", "routes"]
