"""From a decoded request to an admission: arm, offer, template, routes, plan.

Each choice is a gate of the decision record. What cannot be taken raises RefusedError.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.core import experiments, offers
from gateway.core import plan as plans
from gateway.core.experiments import Arm
from gateway.core.gates import Gate
from gateway.core.links import TrackedLinks
from gateway.core.offers import OfferTable
from gateway.core.places import Atlas, Place, place_of
from gateway.core.plan import Chosen, Plan, Route
from gateway.core.render import Template
from gateway.core.request import Event, SendData, with_offer
from gateway.core.tokens import Tokens
from gateway.core.variables import facts_of
from gateway.core.wire import encode_data
from gateway.errors import RefusedError
from gateway.flows.drafts import Drafts
from gateway.store.contract import Admission
from gateway.telemetry import Metrics


class Planner:
    """Decides everything about a request that needs no store."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        secret: bytes,
        clock: Clock,
        metrics: Metrics,
        atlas: Atlas,
        offers: OfferTable,
        tokens: Tokens,
        drafts: Drafts,
    ) -> None:
        self._catalog = catalog
        self._secret = secret
        self._clock = clock
        self._metrics = metrics
        self._atlas = atlas
        self._offers = offers
        self._tokens = tokens
        self._drafts = drafts

    def admission(self, event: Event) -> tuple[Admission, SendData]:
        """An admission, and the data that its message is made of. Raises RefusedError."""
        data = event.data
        if not isinstance(data, SendData):
            raise TypeError(event.type)
        self._metrics.unknown_fields.inc(event.unknown_fields)
        arm, applied, gates = self._armed(data)
        try:
            return self._planned(event, applied, arm, gates)
        except RefusedError as fault:
            raise _in_arm(fault, data, arm) from fault

    def _planned(
        self, event: Event, data: SendData, arm: Arm, gates: tuple[Gate, ...]
    ) -> tuple[Admission, SendData]:
        template = self._template(data.template)
        data, chosen_gates = self._offered(data, template)
        purpose = data.purpose or template.purpose
        allowed = self._allowed(data, template, purpose)
        routes = self._routes(data, template, allowed)
        chosen = Chosen(
            routes=routes,
            template_version=template.version,
            purpose=purpose,
            place=self._place(data),
            variant=arm.variant,
            is_holdout=arm.is_holdout,
        )
        plan = plans.plan_of(event, data, chosen, secret=self._secret, now=self._clock.now())
        self._check(template, plan, data, allowed)
        return Admission(plan, event.digest, encode_data(data), (*gates, *chosen_gates)), data

    def _check_channels(self, data: SendData) -> None:
        template = self._template(data.template)
        for fault in template.faults(facts_of(data), template.channels):
            raise RefusedError(fault.reason, fault.path, fault.what)

    def _place(self, data: SendData) -> Place:
        who = data.recipient
        return place_of(
            self._atlas,
            timezone=who.timezone,
            country=who.country,
            phone=who.phone,
            region=who.attributes.get("region"),
        )

    def _check(
        self, template: Template, plan: Plan, data: SendData, allowed: Sequence[str]
    ) -> None:
        """Refuse what cannot be rendered; the first channel's text is kept for its attempt."""
        facts = facts_of(data)
        first = plan.routes[0].channel if plan.routes and plan.pool is None else None
        for fault in template.faults(facts, [one for one in allowed if one != first]):
            raise RefusedError(fault.reason, fault.path, fault.what)
        if first is not None:
            delivery_id = plan.delivery_id(0)
            links = TrackedLinks(self._tokens, delivery_id)
            self._drafts.keep(delivery_id, data, template.render(first, facts, links))

    def _template(self, name: str) -> Template:
        template = self._catalog.get(name)
        if template is None:
            raise RefusedError("unknown_template", "$.data.template", f"no template {name!r}")
        return template

    def _armed(self, data: SendData) -> tuple[Arm, SendData, tuple[Gate, ...]]:
        experiment = data.experiment
        if experiment is None:
            return experiments.NO_ARM, data, ()
        arm = experiments.arm(experiment, experiments.person_key(data))
        for variant in experiment.variants:
            if variant.name != arm.variant:
                self._check_other_arm(data, Arm(variant.name, is_holdout=False))
        answer = "holdout" if arm.is_holdout else arm.variant or "none"
        gate = Gate("experiment", answer, experiment.name)
        return arm, experiments.applied(data, arm), (gate,)

    def _check_other_arm(self, data: SendData, arm: Arm) -> None:
        """A bad arm is refused for everybody: else the experiment would lose only its people."""
        other = experiments.applied(data, arm)
        try:
            self._check_channels(other)
        except RefusedError as fault:
            raise _in_arm(fault, data, arm) from fault

    def _offered(self, data: SendData, template: Template) -> tuple[SendData, tuple[Gate, ...]]:
        """The campaign's own offer, else the one that follows the reason, if the text has one."""
        if data.offer is not None:
            return data, (Gate("offer", data.offer.kind, "the campaign's"),)
        if not template.uses_offer:
            return data, ()
        chosen = offers.choose(self._offers, data.churn, self._clock.now())
        kind = chosen.offer.kind if chosen.offer else "none"
        gate = Gate("offer", kind, f"{chosen.row}: {chosen.why}")
        return with_offer(data, chosen.offer), (gate,)

    def _allowed(self, data: SendData, template: Template, purpose: str) -> list[str]:
        wanted = data.channels or data.recipient.preferred_channels or template.channels
        allowed = [channel for channel in dict.fromkeys(wanted) if template.has(channel)]
        if purpose == "promotional" and "email" in allowed and not template.has_unsubscribe:
            what = "the template has no unsubscribe link, which a promotional e-mail needs"
            raise RefusedError("invalid_field", "$.data.purpose", what)
        return allowed

    def _routes(
        self, data: SendData, template: Template, allowed: Sequence[str]
    ) -> tuple[Route, ...]:
        return tuple(
            Route(channel, template.locale_for(channel, data.recipient.locale), subjects)
            for channel in allowed
            if (subjects := plans.subjects_of(data, channel, self._secret))
        )


def _in_arm(fault: RefusedError, data: SendData, arm: Arm) -> RefusedError:
    """The same fault, named where the request says it."""
    variants = data.experiment.variants if data.experiment else ()
    for place, variant in enumerate(variants):
        if variant.name == arm.variant:
            path = experiments.path_in(variant, place, fault.path)
            return RefusedError(fault.reason, path, fault.what)
    return fault
