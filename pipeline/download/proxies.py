"""Find the proxy of a URL in the environment, and name it in errors."""

import os
import urllib.parse
import urllib.request

from data.redacted_urls import redact

_USABLE = ("http", "https")
"""Schemes of proxies that urllib speaks to."""


def describe_route(url: str) -> str:
    """Return how a URL is reached, to stand behind it in an error; empty if it is reached directly.

    Example:
        " through the proxy http://proxy:3128 (https_proxy)"
    """
    variable, proxy = _find_proxy(url)
    if proxy:
        return f" through the proxy {redact(proxy)} ({variable})"
    if _find_variable("all_proxy") and not _is_direct(url):
        return f" (not through {_find_variable('all_proxy')}, which is not read: set {_variable_of(url)})"
    return ""


def find_proxy_fault(url: str) -> str:
    """Return why the proxy of a URL can't be used; empty if it can, or if there is none."""
    variable, proxy = _find_proxy(url)
    scheme = proxy.partition("://")[0].lower() if "://" in proxy else "http"
    if scheme in _USABLE:
        return ""
    return f"{variable} names a {scheme} proxy, but only http and https proxies can be used"


def _find_proxy(url: str) -> tuple[str, str]:
    """Return the environment variable that names the proxy of a URL, and the proxy as text; both empty if none does."""
    variable = _find_variable(_variable_of(url))
    if not variable or _is_direct(url):
        return "", ""
    proxy = os.environ[variable]
    return variable, proxy if "://" in proxy else f"http://{proxy}"


def _find_variable(name: str) -> str:
    """Return the environment variable of this name that is set, in small letters first, as urllib does."""
    return next((one for one in (name, name.upper()) if os.environ.get(one)), "")


def _variable_of(url: str) -> str:
    return url.partition(":")[0].lower() + "_proxy"


def _is_direct(url: str) -> bool:
    """Return whether no_proxy excludes the host of a URL."""
    host = urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
    return bool(urllib.request.proxy_bypass(host))
