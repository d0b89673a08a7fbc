"""An endpoint's model that says what a test wants: a real engine over a decoder that follows a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.backends.base import Chunk, Logits
from runtime.card import ModelCard
from runtime.engine.client import InProcessClient
from runtime.engine.engine import Engine
from runtime.errors import AdapterNotFound
from runtime.hardware.plan import Plan
from runtime.model import Model
from runtime.models.store import ModelFile
from tests.fakes.decoder import END, ByteTokenizer, ScriptedDecoder
from tests.fakes.worker import PLAN
from tests.tiny.gguf import write_tiny_gguf

# What its template puts before each answer, so that the script knows where that begins.
TURN = "<|assistant|>"
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}" + TURN + "{% endif %}"
)
CONTEXT = 100_000


class SureDecoder(ScriptedDecoder):
    """Never in doubt, so that it keeps to its script at any temperature."""

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        return super().forward(chunks, adapter) * 100


class ScriptedLoader:
    """`runtime.engine.pool.Loader` of one model, whose first answer is the first of `answers`, and so on."""

    def __init__(
        self, folder: Path, answers: Sequence[str], *, template: str = TEMPLATE, tool_dialect: str | None = None
    ) -> None:
        path = write_tiny_gguf(folder / "scripted.gguf", chat_template=template)
        self._file = ModelFile("scripted", path, None, "path", None, tool_dialect)
        self._next = next_of(answers)

    def read(self, name: str) -> ModelCard:
        return ModelCard.read(self._file)

    def plan(self, card: ModelCard, *, spare_bytes: int = 0) -> Plan:
        return PLAN

    def start(self, card: ModelCard, plan: Plan, progress: Callable[[float], bool]) -> Model:
        decoder = SureDecoder(self._next, context_length=CONTEXT, num_cells=CONTEXT * 4, batch_size=4096)
        client = InProcessClient(
            lambda emit, wake: Engine(decoder, ByteTokenizer(), max_waiting=8, emit=emit, wake=wake),
            close_backend=decoder.close,
        )
        return Model(card, plan, client)

    def adapters(self, name: str) -> tuple[str, ...]:
        return ()

    def attach(self, model: Model, adapter: str) -> None:
        raise AdapterNotFound(adapter)


def next_of(answers: Sequence[str]) -> Callable[[list[int]], int]:
    """What follows in a conversation whose first answer is the first of `answers`, and so on."""
    texts = [answer.encode() for answer in answers]

    def follow(tokens: list[int]) -> int:
        """The next token of the answer that is begun; an end where it goes another way than the script."""
        turns = bytes(token - 1 for token in tokens if token != END).split(TURN.encode())
        answer, said = texts[len(turns) - 2], turns[-1]
        return answer[len(said)] + 1 if answer.startswith(said) and len(said) < len(answer) else END

    return follow
