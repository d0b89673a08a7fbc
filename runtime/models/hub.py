"""The border to the model hub: huggingface-hub is called here alone, and every foreign error is mapped here.

huggingface-hub answers what a repository holds (commit, sizes, SHA-256), and knows the token and the addresses;
`download.py` fetches the bytes. Importing this file costs a fifth of a second: only a download does it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import huggingface_hub
from huggingface_hub import errors as hub_errors

from runtime.errors import DemoticError, DownloadFailed, ModelNotFound
from runtime.models.name import is_safe_file

DEFAULT_ENDPOINT = "https://huggingface.co"
TIMEOUT_SECONDS = 30.0

_COMMIT = re.compile(r"[0-9a-f]{40}")
# What the hub's client and httpx can raise: requests' errors are OSErrors, httpx2's come through hub_errors.HTTPError.
_HUB_HTTP_ERROR: type[Exception] = getattr(hub_errors, "HTTPError", OSError)
FOREIGN_ERRORS = (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, _HUB_HTTP_ERROR)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; `size` in bytes, `sha256` None for a small file that git holds itself."""

    path: str
    size: int
    sha256: str | None


@dataclass(frozen=True)
class Repository:
    """What a repository holds at one commit."""

    repo: str
    commit: str
    files: tuple[RemoteFile, ...]
    license: str | None


def endpoint() -> str:
    """The hub's address; HF_ENDPOINT moves it."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def look_up(repo: str, revision: str | None = None) -> Repository:
    """Ask the hub what a repository holds.

    Raises:
        ModelNotFound: there is no such repository or revision, or it is private.
        DownloadFailed: the hub cannot be reached, refuses, or answers nonsense.
    """
    with mapped(repo, revision):
        api = huggingface_hub.HfApi(endpoint=endpoint(), library_name="demotic")
        try:
            info = api.model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
            return _read_info(repo, info)
        except (KeyError, TypeError, AttributeError) as fault:
            raise DownloadFailed(
                f"{endpoint()} did not answer as a model hub does.", remedy="Check HF_ENDPOINT."
            ) from fault


def address_of(repository: Repository, file: RemoteFile) -> tuple[str, dict[str, str]]:
    """The address of a file and the headers to send there, the token among them."""
    url = huggingface_hub.hf_hub_url(repository.repo, file.path, revision=repository.commit, endpoint=endpoint())
    headers = {"accept-encoding": "identity", "user-agent": "demotic"}
    if token := huggingface_hub.get_token():
        headers["authorization"] = f"Bearer {token}"
    return url, headers


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in {"1", "ON", "YES", "TRUE"}


@contextmanager
def mapped(repo: str, revision: str | None = None, file: str | None = None) -> Iterator[None]:
    """Turn the errors of huggingface-hub, httpx, requests and the system into ours."""
    try:
        yield
    except FOREIGN_ERRORS as fault:
        raise _ours(fault, repo, revision, file) from fault


def _ours(fault: Exception, repo: str, revision: str | None, file: str | None) -> DemoticError:
    page = f"{endpoint()}/{repo}"
    name = f"hf:{repo}{f'@{revision}' if revision and not file else ''}{f':{file}' if file else ''}"
    status, code = _status_and_code(fault)
    if isinstance(fault, hub_errors.OfflineModeIsEnabled):
        return offline(name)
    if isinstance(fault, hub_errors.GatedRepoError) or code == "GatedRepo":
        return DownloadFailed(
            f"{repo} asks people to accept its licence first.",
            remedy=f"Accept it at {page} and set HF_TOKEN to a token of your account.",
        )
    if isinstance(fault, hub_errors.RevisionNotFoundError):
        return ModelNotFound(name, remedy=f"{page} has no revision '{revision}'.")
    if isinstance(fault, (hub_errors.RepositoryNotFoundError, hub_errors.HFValidationError)):
        return ModelNotFound(name, remedy=f"Check its spelling at {page}, or set HF_TOKEN if it is private.")
    if status == 404:
        return ModelNotFound(name, remedy=f"See what {page} holds.")
    if status in {401, 403}:
        return DownloadFailed(
            f"The hub refuses access to {repo} ({status}).",
            remedy=f"Set HF_TOKEN to a token whose account may read {page}.",
        )
    if status == 429:
        return DownloadFailed("The hub says that there were too many requests.", remedy="Try again in a few minutes.")
    if status is not None:
        return DownloadFailed(f"The hub answered {status} for {name}.", remedy="Try again later.")
    if isinstance(fault, ValueError):
        return DownloadFailed(f"{endpoint()} did not answer as a model hub does.", remedy="Check HF_ENDPOINT.")
    return DownloadFailed(
        f"The hub at {endpoint()} cannot be reached: {first_line(fault)}.",
        remedy="Check the network and the proxy settings, then try again.",
    )


def offline(name: str) -> DownloadFailed:
    """The error for a download that HF_HUB_OFFLINE forbids."""
    return DownloadFailed(
        f"{name} is not on this machine, and HF_HUB_OFFLINE forbids downloads.",
        remedy="Unset HF_HUB_OFFLINE and run the command again.",
    )


def _status_and_code(fault: Exception) -> tuple[int | None, str | None]:
    response: Any = getattr(fault, "response", None)
    if response is None:
        return None, None
    return response.status_code, response.headers.get("x-error-code")


def _read_info(repo: str, info: huggingface_hub.ModelInfo) -> Repository:
    if not info.sha or not _COMMIT.fullmatch(info.sha):
        raise DownloadFailed(f"{endpoint()} did not answer as a model hub does.", remedy="Check HF_ENDPOINT.")
    files = []
    for sibling in info.siblings or ():
        size = sibling.lfs.size if sibling.lfs else sibling.size
        if size is not None and is_safe_file(sibling.rfilename):
            files.append(RemoteFile(sibling.rfilename, size, sibling.lfs.sha256 if sibling.lfs else None))
    licenses = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    return Repository(repo=repo, commit=info.sha, files=tuple(files), license=licenses[0] if licenses else None)


def first_line(fault: Exception) -> str:
    """What a foreign error says, in one line without its full stop."""
    lines = str(fault).strip().splitlines()
    return (lines[0] if lines else type(fault).__name__).rstrip(". ")
