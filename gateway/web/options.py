"""What the web can be told at start.

Invariant: everything that a client can make us wait for or hold has a bound here.
This file knows no handler and reads no environment.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Settings of the web.

    `public_url` is the base of every link, `api_keys` open `/v1/*` and `/`.
    Of the bounds, `head_timeout_s` is for a request's head, `body_timeout_s` for its body, and
    `answer_timeout_s` for all from the head's end to the last byte of the answer read.
    """

    public_url: str
    brand_name: str
    brand_site: str
    api_keys: tuple[str, ...]
    body_bytes_max: int = MIB
    head_timeout_s: float = 10.0
    body_timeout_s: float = 15.0
    answer_timeout_s: float = 30.0
    keepalive_timeout_s: float = 75.0
    connections_max: int = 4096
    close_timeout_s: float = 10.0
    retry_after_s: int = 5
    session_s: int = 12 * 3600
