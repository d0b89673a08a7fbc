"""LibreTranslate's clients work against this server as they are."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.runtime.onnx.test_translate import post

TEXT = "Котката седи на стола."


@pytest.fixture(scope="module")
def wanted(http: httpx.Client) -> list[str]:
    """The translation and the next best one, as the checkpoint says: five beams."""
    found = post(http, model="mbart50", text=TEXT, source="bg", target="en", n=2)["translations"][0]
    return [found["text"], *(each["text"] for each in found["alternatives"])]


def test_libretranslatepy_translates_and_detects(http: httpx.Client, wanted: list[str]) -> None:
    libretranslatepy = pytest.importorskip("libretranslatepy")
    client = libretranslatepy.LibreTranslateAPI(str(http.base_url))
    assert client.translate(TEXT, "bg", "en") == wanted[0]
    assert client.detect("Това е едно доста дълго изречение на български език.")[0]["language"] == "bg"
    assert client.languages() == [
        {"code": code, "name": name, "targets": ["bg", "en", "sw"]}
        for code, name in (("bg", "Bulgarian"), ("en", "English"), ("sw", "Swahili"))
    ]


def test_bodies_are_json_or_forms_and_texts_one_or_several(http: httpx.Client, wanted: list[str]) -> None:
    body: dict[str, Any] = {"q": TEXT, "source": "bg", "target": "en"}
    assert post(http, "/translate", **body) == {"translatedText": wanted[0]}
    assert http.post("/translate", data=body).json() == {"translatedText": wanted[0]}
    many = post(http, "/translate", **{**body, "q": [TEXT, ""]}, alternatives=1, api_key="any")
    assert many == {"translatedText": [wanted[0], ""], "alternatives": [[wanted[1]], []]}
    found = post(http, "/translate", **{**body, "source": "auto"})
    assert found["translatedText"] == wanted[0]
    assert set(found["detectedLanguage"]) == {"language", "confidence"}
    html = post(http, "/translate", **{**body, "q": f"<b>{TEXT}</b>"}, format="html")
    assert html["translatedText"].startswith("<b>")


def test_faults_are_one_sentence(http: httpx.Client) -> None:
    body = {"q": TEXT, "source": "bg", "target": "fi"}
    refused = http.post("/translate", json=body)
    assert refused.status_code == 400
    assert set(refused.json()) == {"error"}
    assert "bul_Cyrl, eng_Latn, swh_Latn" in refused.json()["error"]
    assert http.post("/translate", json={"q": TEXT}).json() == {"error": "source: Field required."}
    foreign = http.post("/translate", data=body, headers={"origin": "http://127.0.0.1:1"})
    assert "form" in foreign.json()["error"]
    assert http.post("/detect", content="x", headers={"content-type": "text/plain"}).status_code == 400
