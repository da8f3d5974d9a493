"""Schemas of what the API answers: the decision record, people, results, lists.

Invariant: published schemas are open, so that a later version may say more; the tests close them
and hold real answers against them. Enumerations come from the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.schemas import Schema, ref
from gateway.core.attribution import PersonState
from gateway.core.delivery import State
from gateway.core.gates import Cause
from gateway.core.request import ChannelName, Purpose
from gateway.store.results import COUNTED
