"""The headers that may pass between a browser and a preview, and the ones Vibe sets itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from vibe.hosts import Headers, split
from vibe.reach import Host

UI_COOKIES = ("_streamlit_user", "_streamlit_user_tokens", "_streamlit_session")
"""Cookies of Vibe's own UI. `_streamlit_xsrf` is not among them: a Streamlit app in a preview
has its own, on its own host, and its uploads need it."""

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    b"transfer-encoding upgrade http2-settings expect".split()
)
_REQUEST_DROPPED = HOP_BY_HOP | frozenset(
    b"host content-length origin referer cookie forwarded x-forwarded-for x-forwarded-host "
    b"x-forwarded-proto x-forwarded-port x-forwarded-server x-real-ip".split()
)
_RESPONSE_DROPPED = HOP_BY_HOP | frozenset(
    b"content-security-policy content-security-policy-report-only x-frame-options "
    b"strict-transport-security public-key-pins expect-ct referrer-policy permissions-policy "
    b"feature-policy x-content-type-options x-dns-prefetch-control cross-origin-opener-policy "
    b"cross-origin-embedder-policy cross-origin-resource-policy origin-agent-cluster "
    b"cross-origin-opener-policy-report-only cross-origin-embedder-policy-report-only "
    b"connection-allowlist connection-allowlist-report-only allow-connection-allowlist-from "
    b"clear-site-data service-worker-allowed report-to reporting-endpoints nel alt-svc link "
    b"speculation-rules refresh supports-loading-mode date server".split()
)
_DEVICES = (
    "accelerometer", "camera", "clipboard-read", "display-capture", "geolocation",
    "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone", "midi",
    "payment", "publickey-credentials-create", "publickey-credentials-get", "screen-wake-lock",
    "serial", "storage-access", "usb", "window-management", "xr-spatial-tracking",
)  # fmt: skip
"""What a small app has no business with. Full screen, sound and writing to the clipboard stay:
games and copy buttons use them, and each needs a click."""

_LOOPBACK = ("localhost", "127.0.0.1", "0.0.0.0", "[::1]")  # noqa: S104 - compared, not bound
_BLANK = "".join(map(chr, range(33)))

CONNECTIONS = "(response-origin{});redirects=allow;webrtc=block"
"""Connection Allowlists (WICG; Chrome and Edge since 152): whatever a page and its frames and
workers do, the browser connects to the page's own host only, and to the ones that a person has
allowed. Unlike CSP it also holds WebRTC, preconnect, name look-ups and the page's own navigation.
Redirects are the gateway's to judge."""


class Foreign(Exception):
    """The app tried to send its user to `place`, which is not the app."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


def preview_policy(
    host: str, socket_scheme: str, framed_by: tuple[str, ...], allowed: Sequence[Host] = ()
) -> Headers:
    """The security headers of every answer at a preview's host.

    Its pages may load from and talk to their own host and the `allowed` ones, over TLS, and no
    other; they frame, and send forms to, their own alone. They may be framed by the UI only, and
    get no pop-ups: an address opened by a click would carry data out. The referrer stays here.
    """
    # a host that is met without TLS is for the program in the box, not for a person's browser
    others = [f"{each.name}:{each.port}" for each in allowed if each.port != 80]
    loaded = "".join(f" https://{each}" for each in others)
    called = "".join(f" https://{each} wss://{each}" for each in others)
    csp = "; ".join(
        (
            f"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:{loaded}",
            f"connect-src 'self' {socket_scheme}://{host} data: blob:{called}",
            *(("frame-src 'self' data: blob:",) if others else ()),
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            f"frame-ancestors {' '.join(framed_by)}",
            "sandbox allow-scripts allow-same-origin allow-forms allow-modals allow-downloads "
            "allow-pointer-lock",
        )
    )
    return [
        (b"content-security-policy", csp.encode()),
        (
            b"connection-allowlist",
            CONNECTIONS.format("".join(f' "https://{each}"' for each in others)).encode(),
        ),
        (b"referrer-policy", b"same-origin"),
        (b"permissions-policy", ", ".join(f"{name}=()" for name in _DEVICES).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-dns-prefetch-control", b"off"),
        (b"x-robots-tag", b"noindex"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"origin-agent-cluster", b"?1"),
    ]


def ui_policy(host: str, previews: str) -> Headers:
    """The security headers of every answer at the UI's host.

    `frame-src` does more than choose what the UI frames: it also holds a framed preview that tries
    to navigate itself elsewhere. `img-src` keeps Markdown that a model wrote from calling out.
    """
    csp = "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' ws://{host} wss://{host} data: blob:",
            "worker-src 'self' blob:",
            f"frame-src {previews}",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
    return [
        (b"content-security-policy", csp.encode()),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"origin-agent-cluster", b"?1"),
    ]


def request_headers(headers: Headers, own: str, port: int) -> Headers:
    """What the app gets of a request's headers: as if the browser had gone to localhost:<port>.

    `own` is the preview's origin. Framing headers are left out; the connection sets its own.
    """
    inside = f"http://localhost:{port}"
    dropped = _REQUEST_DROPPED | _named_by_connection(headers)
    passed = [(b"host", f"localhost:{port}".encode())]
    passed += [(name, value) for name, value in headers if name not in dropped]
    for name, value in headers:
        text = value.decode("latin-1")
        if name == b"origin" and text == own:
            passed.append((b"origin", inside.encode()))
        elif name == b"referer" and (text == own or text.startswith(f"{own}/")):
            passed.append((b"referer", (inside + text[len(own) :]).encode("latin-1")))
        elif name == b"cookie" and (kept := _own_cookies(text)):
            passed.append((b"cookie", kept.encode("latin-1")))
    return passed


def response_headers(headers: Headers, own: str, port: int) -> Headers:
    """What the browser gets of an app's headers. Raises Foreign for a redirect elsewhere."""
    dropped = _RESPONSE_DROPPED | _named_by_connection(headers)
    passed: Headers = []
    for name, value in headers:
        if name in dropped or name.startswith(b"access-control-"):
            continue
        if name == b"location":
            passed.append((name, redirect(value.decode("latin-1"), own, port).encode("latin-1")))
        elif name == b"set-cookie":
            passed.append((name, re.sub(rb"(?i);\s*domain\s*(=[^;]*)?(?=;|$)", b"", value)))
        else:
            passed.append((name, value))
    return passed


def redirect(location: str, own: str, port: int) -> str:
    """A Location, put as an address of the preview. Raises Foreign if it is not the app's own.

    Read as a browser reads it: control characters vanish, a backslash is a slash.
    """
    cleaned = re.sub(r"[\t\r\n]", "", location).strip(_BLANK).replace("\\", "/")
    inside = {(name, str(port)) for name in _LOOPBACK}
    try:
        parts = urlsplit(urljoin(f"{own}/", cleaned))
        here = split(parts.netloc)
    except ValueError:
        raise Foreign(location[:200]) from None
    if parts.scheme not in ("http", "https") or here not in inside | {split(own.split("//")[1])}:
        raise Foreign(parts.netloc or f"{parts.scheme}:")
    if cleaned.startswith(("?", "#")) or not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|/", cleaned):
        return cleaned
    query = f"?{parts.query}" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    return f"{own}{parts.path or '/'}{query}{fragment}"


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    return frozenset(
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    )


def _own_cookies(cookies: str) -> str:
    kept = []
    for pair in cookies.split(";"):
        name = pair.partition("=")[0].strip()
        if not any(name == ours or name.startswith(f"{ours}_") for ours in UI_COOKIES):
            kept.append(pair.strip())
    return "; ".join(kept)
