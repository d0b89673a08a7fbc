"""Looking things up on the hub, and how each way in which that fails is told."""

import socket
from collections.abc import Iterator

import httpx
import pytest
from huggingface_hub import errors as hub_errors

from runtime.errors import DemoticError, DownloadFailed, ModelNotFound
from runtime.models import hub as border
from runtime.models.hub import FOREIGN_ERRORS, look_up
from tests.fakes.hub import COMMIT, FakeHub, running_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with running_hub() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.endpoint)
        yield fake


def test_a_repository_is_described_with_sizes_and_digests(hub: FakeHub) -> None:
    hub.add("a/b", x__gguf=b"12345")
    found = look_up("a/b")
    assert (found.repo, found.commit, found.license) == ("a/b", COMMIT, "apache-2.0")
    assert [(file.path, file.size) for file in found.files] == [("x.gguf", 5)]
    assert found.files[0].sha256 == "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"


def test_file_names_that_lead_outside_are_not_even_seen(hub: FakeHub) -> None:
    repository = hub.add("a/b", x__gguf=b"1")
    repository.files["../../evil.gguf"] = b"2"
    repository.files["/etc/evil.gguf"] = b"3"
    assert [file.path for file in look_up("a/b").files] == ["x.gguf"]


def test_a_commit_that_leads_outside_is_refused(hub: FakeHub) -> None:
    hub.add("a/b", x__gguf=b"1").commit = "../../../x"
    with pytest.raises(DownloadFailed, match="did not answer as a model hub does"):
        look_up("a/b")


def test_a_missing_or_private_repository_is_not_found(hub: FakeHub) -> None:
    with pytest.raises(ModelNotFound, match=r"no model named 'hf:a/b'\. Check its spelling .* set HF_TOKEN"):
        look_up("a/b")


def test_a_missing_revision_is_not_found(hub: FakeHub) -> None:
    hub.add("a/b", x__gguf=b"1")
    with pytest.raises(ModelNotFound, match="a/b has no revision 'v9'"):
        look_up("a/b", "v9")


def test_the_token_goes_along(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("a/b", x__gguf=b"1")
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    look_up("a/b")
    assert [request.authorization for request in hub.requests] == ["Bearer hf_mine"]


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (500, "", "The hub answered 500"),
        (429, "", "too many requests"),
        (403, "", r"refuses access to a/b \(403\)\. Set HF_TOKEN"),
        (200, "<html>Please log in to the hotel's network</html>", "did not answer as a model hub does"),
        (200, "[]", "did not answer as a model hub does"),
        (200, "{}", "did not answer as a model hub does"),
    ],
)
def test_an_answer_that_is_none_is_told(hub: FakeHub, status: int, body: str, fault: str) -> None:
    hub.answer = (status, body)
    with pytest.raises(DownloadFailed, match=fault):
        look_up("a/b")


def test_a_hub_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(DownloadFailed, match=r"The hub at http://127\.0\.0\.1:\d+ cannot be reached"):
            look_up("a/b")


def test_an_endpoint_that_is_no_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "not an address")
    with pytest.raises(DownloadFailed):
        look_up("a/b")


def subclasses(root: type[BaseException]) -> set[type[BaseException]]:
    return {root}.union(*(subclasses(each) for each in root.__subclasses__()))


# What look-ups and downloads can meet; the others of that module belong to inference, log-in, buckets and caches.
HUB_ERRORS = sorted(
    {
        hub_errors.OfflineModeIsEnabled,
        hub_errors.HFValidationError,
        hub_errors.LocalTokenNotFoundError,
        *subclasses(hub_errors.HfHubHTTPError),
    },
    key=str,
)
HTTPX_ERRORS = sorted({*subclasses(httpx.HTTPError), httpx.InvalidURL, *subclasses(httpx.StreamError)}, key=str)


@pytest.mark.parametrize("kind", HUB_ERRORS + HTTPX_ERRORS, ids=lambda kind: kind.__name__)
def test_every_foreign_error_is_caught_at_the_border(kind: type[BaseException]) -> None:
    assert issubclass(kind, FOREIGN_ERRORS)


@pytest.mark.parametrize(
    "fault",
    [
        hub_errors.OfflineModeIsEnabled("offline"),
        hub_errors.HFValidationError("no such name"),
        httpx.ConnectError("refused\nsecond line"),
        httpx.InvalidURL("no"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(),
        ValueError("not JSON"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_every_mapped_error_is_one_sentence_and_a_remedy(fault: Exception) -> None:
    with pytest.raises(DemoticError) as caught, border.mapped("a/b", "main", "x.gguf"):
        raise fault
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert caught.value.remedy.endswith(".")
