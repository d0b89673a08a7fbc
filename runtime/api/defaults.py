"""What a bundle says where a request says nothing."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from runtime.card import LOCK_OPTIONS, ModelCard

BodyT = TypeVar("BodyT", bound=BaseModel)


def filled(body: BodyT, card: ModelCard) -> BodyT:
    """The request with the defaults of the model's bundle in those fields that it leaves out.

    Of the fields for language and scripts all are the request's, where it has one of them. The adapter, which is not
    chosen by a field of a bundle's request, is none of them.
    """
    known = type(body).model_fields
    is_locked = any(name in body.model_fields_set for name in LOCK_OPTIONS)
    defaults = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in card.defaults.items()
        if name in known and name != "adapter" and not (is_locked and name in LOCK_OPTIONS)
    }
    return body.model_copy(update={name: value for name, value in defaults.items() if getattr(body, name) is None})
