"""The Python API is what the front door says, and the error tree is whole."""

from __future__ import annotations

import inspect

import demotic
from runtime import errors
from runtime.api.errors import TABLE, error_response


def test_the_front_door_offers_exactly_these_names() -> None:
    assert demotic.__all__ == ["Answer", "Message", "Model", "load", "main", "tool"]
    for name in demotic.__all__:
        assert getattr(demotic, name).__doc__


def error_classes() -> list[type[errors.DemoticError]]:
    return [
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, errors.DemoticError) and value is not errors.DemoticError
    ]


def test_the_error_tree_in_the_docstring_names_every_class() -> None:
    assert errors.__doc__ is not None
    for kind in error_classes():
        assert f" {kind.__name__} " in errors.__doc__


def test_every_error_that_a_request_can_meet_has_a_row_in_the_api_table() -> None:
    # These end a command before there is any request, or are of the chat, which is no server.
    without_row: set[type[errors.DemoticError]] = {
        errors.ConfigurationInvalid,
        errors.AddressInUse,
        errors.ConversionRefused,
    }
    without_row |= {errors.HistoryUnusable, errors.HistoryBusy, errors.ConversationNotFound, errors.ImportRefused}
    assert set(TABLE) == ({errors.DemoticError} | set(error_classes())) - without_row


def test_every_row_makes_an_openai_error_object() -> None:
    samples: dict[type[errors.DemoticError], errors.DemoticError] = {
        errors.ContextOverflow: errors.ContextOverflow(num_tokens=9, context_length=8),
        errors.ModelBusy: errors.ModelBusy("x", "has requests in flight"),
        errors.ModelNotFound: errors.ModelNotFound("x", nearest=("y",)),
        errors.QueueFull: errors.QueueFull(num_waiting=3),
        errors.TooManyRequests: errors.TooManyRequests(limit=2, retry_after=3),
        errors.UnsupportedLanguages: errors.UnsupportedLanguages("x", "fi", known=("bul_Cyrl",), param="target"),
        errors.WorkerDied: errors.WorkerDied("x", "was ended by SIGSEGV", retry_after=4),
    }
    for kind, (status, *_) in TABLE.items():
        response = error_response(samples.get(kind) or kind("It went wrong."))
        assert response.status_code == status
        assert bytes(response.body).startswith(b'{"error":{"message":"')
    assert error_response(samples[errors.QueueFull]).headers["retry-after"] == "1"
    assert error_response(samples[errors.TooManyRequests]).headers["retry-after"] == "3"
    assert error_response(samples[errors.WorkerDied]).headers["retry-after"] == "4"
