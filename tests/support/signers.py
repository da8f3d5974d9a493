"""Signs webhook calls as SendGrid and Twilio do, with keys made for the run.

Invariant: what is signed is the bytes that are sent; a test that changes one byte has no signature.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from twilio.request_validator import RequestValidator

TWILIO_TOKEN = "twilio-token-0123456789abcdef"

Signed = tuple[bytes, dict[str, str]]
"""A body and the headers that go with it."""


class SendGridSigner:
    """The event webhook's key pair; `public_key` is what the gateway is given."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """The public key as SendGrid shows it."""
        raw = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(raw).decode()

    def sign(self, events: Sequence[Mapping[str, Any]]) -> Signed:
        """A call with these events."""
        body, at = json.dumps(list(events)).encode(), str(int(time.time()))
        signature = self._key.sign(at.encode() + body, ec.ECDSA(hashes.SHA256()))
        return body, {
            "Content-Type": "application/json",
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": at,
        }


def sign_twilio(url: str, form: Mapping[str, str]) -> Signed:
    """A call of Twilio's to a public URL."""
    signature = RequestValidator(TWILIO_TOKEN).compute_signature(url, form)
    return urlencode(form).encode(), {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": signature,
    }


def write_service_account(path: Path, token_uri: str) -> Path:
    """A Firebase service account file whose tokens come from `token_uri`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "test-project",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "gateway@test-project.iam.example",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(account))
    return path
