"""All that is known of a model before its weights are loaded: its file, its checked header, its chat template."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, cast

import msgspec

from runtime.chat.instructions import embedding_prompt
from runtime.chat.reasoning import marks_of, span_of
from runtime.chat.template import PLAIN, PLAIN_TASK, ChatTemplate, Message
from runtime.engine.messages import Generate
from runtime.engine.rules import Rules
from runtime.engine.sampling import SamplingParams
from runtime.errors import InvalidRequest
from runtime.language.lock import LockMode, lock_of
from runtime.language.regions import Span
from runtime.models.adapter import check_adapter
from runtime.models.encoding import Encoding, encoding_of
from runtime.models.inspect import Header, check_loadable, read_header
from runtime.models.onnx_folder import OnnxFolder, read_folder
from runtime.models.seq2seq import SEQ2SEQ
from runtime.models.store import ModelFile

if TYPE_CHECKING:
    from runtime.chat.prompt import ChatPrompt
    from runtime.config import EngineConfig
    from runtime.hardware.plan import Plan
    from runtime.hardware.probe import Machine
    from runtime.models.bundles import Bundle
    from runtime.translation.translator import Translator


class Options(TypedDict, total=False):
    """Keywords of a request: those of `SamplingParams`, where to stop, the adapter, and the language to keep to.

    `language` is the name or code of one, or "auto" for the user's; `scripts`, where given, are kept to instead.
    """

    max_tokens: int
    max_characters: int
    language: str
    scripts: tuple[str, ...]
    mode: LockMode
    stop: tuple[str, ...]
    adapter: str
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    logit_bias: dict[int, float]
    seed: int


_SAMPLING = frozenset(SamplingParams.__struct_fields__)
# What answers are kept in: whoever names one of these leaves none of the others to defaults.
LOCK_OPTIONS = frozenset({"language", "scripts", "mode"})


def with_defaults(options: Options, defaults: Options) -> Options:
    """The options, with the defaults of a bundle where they say nothing."""
    left_out = LOCK_OPTIONS if LOCK_OPTIONS & options.keys() else frozenset()
    given = {name: value for name, value in defaults.items() if name not in left_out}
    return cast("Options", {**given, **options})


class ModelCard:
    """Turns conversations and texts into requests for a model's engine."""

    def __init__(self, file: ModelFile, header: Header | OnnxFolder) -> None:
        self.name = file.name
        self.file = file
        self.header = header

    @classmethod
    def read(cls, file: ModelFile) -> Self:
        """Read and check the header of `file`, or the settings of a folder of ONNX graphs.

        Raises:
            ModelFileInvalid, UnsupportedArchitecture: the file cannot be run.
        """
        if file.path.is_dir():
            return cls(file, read_folder(file.path))
        header = read_header(file.path)
        check_loadable(header)
        return cls(file, header)

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template of the bundle or of the model, or the plain one."""
        bos, eos = (self.header.token_text(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
        own = self.bundle.template if self.bundle is not None else None
        known = self.file.entry.tool_dialect if self.file.entry is not None and own is None else None
        return ChatTemplate(
            self.header.chat_template if own is None else own,
            bos_token=bos,
            eos_token=eos,
            tool_dialect=self.file.tool_dialect or known,
            plain=PLAIN_TASK if self.has_encoder else PLAIN,
            tool_source=self.header.tool_template if own is None else None,
            system=self.bundle.recipe.defaults.system if self.bundle is not None else None,
        )

    @property
    def bundle(self) -> Bundle | None:
        """The bundle that the model is in, if it is in one."""
        return self.file.bundle

    @property
    def defaults(self) -> Options:
        """What requests get that say nothing else, the adapter among it; nothing but from a bundle."""
        if self.bundle is None:
            return Options()
        adapter = {} if self.bundle.adapter_key is None else {"adapter": self.bundle.adapter_key}
        return cast("Options", {**self.bundle.recipe.defaults.options(), **adapter})

    def of(self, file: ModelFile) -> ModelCard:
        """The card of another bundle on the same file, which is not read again."""
        return ModelCard(file, self.header)

    @cached_property
    def encoding(self) -> Encoding | None:
        """How the model makes vectors or scores; None where it generates text."""
        return self.header.encoding if isinstance(self.header, OnnxFolder) else encoding_of(self.header)

    @cached_property
    def translator(self) -> Translator | None:
        """How the model is told of languages; None where it is not one that translates."""
        if not isinstance(self.header, OnnxFolder) or not self.header.has_encoder:
            return None
        from runtime.translation.translator import Translator

        return Translator(self.name, self.header.settings)

    def as_trained(self, request: Generate, asked_rules: Mapping[str, Any] | None = None) -> Generate:
        """A request with what the checkpoint says of the beginning of answers, and of what they may not be.

        `asked_rules` are those that the request has of its own.
        """
        if self.translator is None:
            return msgspec.structs.replace(request, rules=Rules(**asked_rules)) if asked_rules else request
        from runtime.translation.translator import rules_of, start_of

        settings = self.translator.settings
        begin = request.begin or start_of(settings)
        return msgspec.structs.replace(request, begin=begin, rules=rules_of(settings, len(begin), **asked_rules or {}))

    def plan(self, machine: Machine, limits: EngineConfig) -> Plan:
        """How to run the model on `machine`, within `limits`.

        Raises:
            ModelLoadFailed: the machine cannot hold it.
        """
        from runtime.hardware.choice import plan_for, plan_for_folder

        if isinstance(self.header, OnnxFolder):
            return plan_for_folder(machine, self.header, limits)
        return plan_for(machine, self.header.shape(), limits, self.encoding)

    def check_adapter(self, path: Path) -> None:
        """Refuse the file at `path` unless it is a LoRA for this model.

        Raises:
            ModelFileInvalid: it is none, or belongs to another model.
            InvalidRequest: the model takes none.
        """
        if isinstance(self.header, OnnxFolder):
            raise InvalidRequest(
                f"{self.name} is a folder of ONNX graphs, which take no adapters.",
                remedy="Merge it: demotic convert BASE --adapter ADAPTER --to onnx.",
            )
        check_adapter(path, self.header)

    def instruct(self, instruction: str, text: str) -> str:
        """A query with what it is for, in the form that the embedding model was trained with.

        Raises:
            InvalidRequest: it was trained with none.
        """
        return embedding_prompt(self.header.architecture, self.encoding, instruction, text)

    @property
    def has_encoder(self) -> bool:
        """Whether it is an encoder-decoder, which reads the prompt as a whole and writes an answer to it."""
        if isinstance(self.header, OnnxFolder):
            return self.header.has_encoder
        return self.header.architecture in SEQ2SEQ

    @property
    def is_chat(self) -> bool:
        """Whether the model was trained for conversations; a base model only continues texts."""
        if self.bundle is not None and self.bundle.recipe.template is not None:
            return True
        return self.file.entry.task == "chat" if self.file.entry else self.template.source is not None

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it was made for: "chat", "completion", "translate", or what `Encoding.capabilities` tells."""
        if self.encoding is not None:
            return self.encoding.capabilities
        if self.translator is not None and self.translator.only_translates:
            return ("translate", "chat", "completion")
        return ("chat", "completion") if self.is_chat else ("completion",)

    def chat_request(self, messages: str | Iterable[Message], **options: Unpack[Options]) -> Generate:
        """The engine's request for a conversation; a string stands for one user message.

        Raises:
            InvalidRequest: the template refuses the messages.
            ModelFileInvalid: the template cannot be used.
        """
        turns = [Message("user", messages)] if isinstance(messages, str) else list(messages)
        prompt = self.template.render(turns)
        marks = marks_of(self.template.source)
        said = next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
        return msgspec.structs.replace(
            self._request(prompt, options, said, () if marks is None else (span_of(marks, prompt),)),
            stop=options.get("stop", ()) + self.template.stop,
            parse_special=True,
            param="messages",
        )

    def completion_request(self, prompt: str, **options: Unpack[Options]) -> Generate:
        """The engine's request for a text to continue.

        Raises:
            InvalidRequest: there is no such language or script.
        """
        return self.as_trained(self._request(prompt, options, prompt, ()))

    def prompt_request(self, prompt: ChatPrompt, said: str, **options: Unpack[Options]) -> Generate:
        """The engine's request for a rendered conversation, with tools where it has any, in which the user `said` this.

        Raises:
            InvalidRequest: there is no such language or script, or a tool's schema cannot be enforced.
        """
        plain = self._request(prompt.text, options, said, prompt.exempt)
        return prompt.to_request(
            plain.request_id,
            plain.sampling,
            plain.max_tokens,
            stop=plain.stop,
            adapter=plain.adapter,
            lock=plain.lock,
            max_characters=plain.max_characters,
        )

    def _request(self, prompt: str, options: Options, said: str, exempt: tuple[Span, ...]) -> Generate:
        """The request for an answer to what a user `said`; of it `exempt` is kept in no language."""
        options = with_defaults(options, self.defaults)
        sampling: dict[str, Any] = {name: value for name, value in options.items() if name in _SAMPLING}
        return Generate(
            request_id=uuid.uuid4().hex,
            prompt=prompt,
            sampling=SamplingParams(**sampling),
            max_tokens=options.get("max_tokens"),
            stop=options.get("stop", ()),
            adapter=options.get("adapter"),
            max_characters=options.get("max_characters"),
            lock=lock_of(
                said,
                language=options.get("language"),
                scripts=options.get("scripts"),
                mode=options.get("mode"),
                exempt=exempt,
            ),
        )

    def infill(self, before: str, after: str) -> str:
        """The prompt for a text between two others; names of control tokens in it are to be read as those.

        Raises:
            InvalidRequest: the model has no tokens for this.
        """
        if self.has_encoder:
            raise InvalidRequest(
                f"{self.name} fills gaps where the prompt marks them.",
                remedy="Write the text in 'prompt' as a whole, with <extra_id_0> in place of the gap.",
                param="suffix",
            )
        marks = [self.header.token_text(f"tokenizer.ggml.fim_{part}_token_id") for part in ("pre", "suf", "mid")]
        if not all(marks):
            raise InvalidRequest(
                f"{self.name} cannot write a text between two others.",
                remedy="Leave 'suffix' out, or choose a model with tokens for this, such as a code model.",
                param="suffix",
            )
        prefix, suffix, middle = marks
        return f"{prefix}{before}{suffix}{after}{middle}"
