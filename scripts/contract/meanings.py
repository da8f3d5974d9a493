"""What the fields mean: the sentences of the contract that a type cannot say.

Invariant: every name here is a field of a struct of that name; `schemas.py` refuses any other.
"""

from __future__ import annotations

from collections.abc import Mapping

_OFFER_END = "When the offer ends"
_MONEY = "The amount, as a decimal string"

FIELDS: Mapping[str, Mapping[str, str]] = {
    "Money": {"amount": _MONEY, "currency": "ISO 4217 code"},
    "PushAddress": {
        "platform": "Which push service the device belongs to",
        "token": "The device's token; needed by fcm and apns",
        "subscription": "A Web Push subscription; webpush needs it or a token",
    },
    "Recipient": {
        "id": "The person's id; also the record's key",
        "email": "E-mail address",
        "phone": "Phone number in E.164 form",
        "push": "The person's devices",
        "locale": "BCP 47; falls back to the language, then to the template's default",
        "timezone": "IANA name; quiet hours are kept in it",
        "country": "ISO 3166-1 code of two letters",
        "name": "How the person is called",
        "preferred_channels": "Used where the request names no channels, best first",
        "attributes": "Anything else that templates may use",
    },
    "Churn": {
        "reason": "Why the person left",
        "last_active": "The last day on which they were seen",
        "segment": "What analytics calls the group",
        "lifetime_value": "What they have spent",
    },
    "Offer": {
        "kind": "What is offered",
        "amount": "Needed by amount_off",
        "percent": "Needed by percent_off",
        "expires_in": "ISO 8601 duration, counted from when the offer is issued",
        "expires_at": _OFFER_END,
        "pool": "Id of the coupon pool that codes come from",
    },
    "Geo": {
        "fences": "Ids of fences or groups of fences",
        "expires_at": "Until when the request waits, armed",
    },
    "Fallback": {
        "after": "ISO 8601 duration after which the next channel is tried",
        "unless": "What keeps the next channel from being tried",
    },
    "Variant": {
        "name": "Name of the arm",
        "weight": "Share of people, against the other arms' weights",
        "template": "In place of the request's template",
        "variables": "In place of the request's variables",
        "offer": "In place of the request's offer",
    },
    "Experiment": {
        "name": "Who falls into which arm depends on this name and the person alone",
        "variants": "The arms",
        "holdout": "Share of people who get nothing and are counted",
    },
    "SendData": {
        "campaign": "What analytics groups by",
        "template": "Id of a folder under templates/",
        "recipient": "The person",
        "channels": "Allowed channels, best first; default: the person's preferred channels, "
        "else the template's own order",
        "variables": "Personalisation values for the template; at most 64 KiB",
        "churn": "Why and when the person left",
        "offer": "What the person gets for coming back",
        "not_before": "Do not send earlier",
        "expires_at": "Do not send at all after this",
        "purpose": "Consent class and duplicate policy; default: the template's, else promotional",
        "priority": "Between campaigns that compete for a lane",
        "geo": "The request waits, armed, until the person is seen inside a fence",
        "fallback": "When to try the next channel",
        "experiment": "Arms and hold-out",
        "test": "The whole path without a provider call",
    },
    "CancelData": {
        "source": "CloudEvents source of the request, beside its id",
        "id": "CloudEvents id of the request, beside its source",
        "campaign": "All requests of this campaign",
        "recipient_id": "With a campaign: only this person's",
    },
    "PresenceData": {
        "recipient_id": "Who was seen",
        "observed_at": "When",
        "latitude": "Degrees, WGS 84",
        "longitude": "Degrees, WGS 84",
        "accuracy_m": "Radius of uncertainty in metres",
        "fence": "In place of coordinates, where the device did the matching",
    },
    "ConversionData": {
        "recipient_id": "Who came back",
        "kind": "order, subscription, login, redemption, or any other word",
        "occurred_at": "When; default: when it was taken in",
        "value": "What it was worth",
        "order_id": "The shop's order",
        "coupon_code": "The code that was used",
    },
    "ConsentData": {
        "channel": "all stops or allows every channel",
        "state": "What the person said",
        "source": "Where they said it",
        "occurred_at": "When they said it; default: when it was taken in",
        "recipient_id": "Who said it",
        "email": "The address it is about",
        "phone": "The number it is about",
        "topic": "Only messages of this topic",
        "evidence": "What proves it, in words",
    },
    "Redeem": {
        "order_id": "Redeeming again for the same order gives the same answer",
        "value": "What the order is worth",
    },
    "Generate": {"count": "How many", "prefix": "What every code begins with"},
    "Pool": {"codes": "Codes to add", "generate": "Make unguessable codes"},
    "SwitchState": {
        "state": "stopped holds sends back, running lets them go",
        "reason": "Why, for whoever looks next",
        "discard": "What is queued in the scope ends as killed",
    },
    "FactData": {
        "send_id": "The request, once admitted",
        "delivery_id": "The send on one channel",
        "request_source": "CloudEvents source of the request",
        "request_id": "CloudEvents id of the request",
        "template_version": "Digest of the template that was used",
        "variant": "Arm of the experiment",
        "locale": "Of the text that was sent",
        "channel": "email, sms, push; in consent events also all",
        "provider": "Who took the message",
        "provider_message_id": "The provider's own id",
        "recipient_id": "Null where an address is not known to be anybody's",
        "attempt": "Number of the provider call, from 1",
        "reason": "Why; of a conversion its kind",
        "url": "Where the link leads; null where it would tell who the person is",
        "link": "Number of the link in its message, from 0",
        "actor": "Who opened or clicked",
        "actor_reasons": "What the actor was judged by",
        "segments": "SMS segments",
        "cost": _MONEY,
        "coupon_code": "The code",
        "value": _MONEY,
        "currency": "ISO 4217 code of value and cost",
        "attributed_to": "The delivery that a conversion is credited to",
        "window": "ISO 8601 duration in which it was credited",
        "is_holdout": "The person was held out",
        "is_test": "The request was a test",
    },
}
