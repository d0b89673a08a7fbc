"""Keys, origins and addresses, as the command line gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.commands.access import check_origins, gather_keys, is_open
from runtime.errors import ConfigurationInvalid


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_keys_come_from_the_command_line_and_from_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "keys", "# of the office\nfirst\n\n  sécond  \r\n#third\n")
    assert gather_keys(["zeroth "], file) == ("zeroth", "first", "sécond")
    assert gather_keys([], None) == ()
    assert caplog.text == ""


@pytest.mark.parametrize("text", ["", "\n# nothing\n"])
def test_a_file_without_keys_is_refused_since_it_would_leave_the_server_open(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="holds no API key"):
        gather_keys([], write(tmp_path / "keys", text))


def test_a_key_file_that_cannot_be_read_and_an_empty_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"missing cannot be read"):
        gather_keys([], tmp_path / "missing")
    (tmp_path / "latin").write_bytes(b"s\xe9cret\n")
    with pytest.raises(ConfigurationInvalid, match=r"latin cannot be read"):
        gather_keys([], tmp_path / "latin")
    with pytest.raises(ConfigurationInvalid, match="empty"):
        gather_keys(["a", " "], None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_file_that_others_can_read_is_told_of_in_one_line(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert gather_keys([], write(tmp_path / "keys", "secret\n", mode)) == ("secret",)
    (record,) = caplog.records
    assert "chmod 600" in record.message
    assert "secret" not in record.message


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://chat.example", "chrome-extension://abc", "http://[::1]:80"]
)
def test_origins_as_browsers_write_them_are_taken(origin: str) -> None:
    check_origins([origin], has_keys=False)


@pytest.mark.parametrize(
    "origin", ["localhost:3000", "http://x/", "http://x/page", "HTTP://x", "http://X", "null", "", "http://*.x", "//x"]
)
def test_what_no_browser_would_send_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="is no origin"):
        check_origins(["http://x", origin], has_keys=True)


def test_all_origins_need_a_key() -> None:
    check_origins(["*"], has_keys=True)
    with pytest.raises(ConfigurationInvalid, match="--api-key"):
        check_origins(["*"], has_keys=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "fd00::1"])  # noqa: S104  # nothing listens
def test_an_address_that_others_reach_needs_a_key_or_the_word_insecure(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationInvalid, match="--insecure"):
        is_open((host, 80), has_keys=False, insecure=False)
    assert not is_open((host, 80), has_keys=True, insecure=True)
    assert caplog.text == ""
    assert is_open((host, 80), has_keys=False, insecure=True)
    (record,) = caplog.records
    assert host in record.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_alone_needs_neither(host: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not is_open((host, 80), has_keys=False, insecure=True)
    assert caplog.text == ""
