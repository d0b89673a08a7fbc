"""The conversation that is on the screen, as it is remembered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from runtime.chat.template import Message
from runtime.chat.tools.loop import Event
from runtime.errors import HistoryUnusable
from tui.choosing.choices import Choices
from tui.events import AnswerFinished
from tui.history import conversations, tree
from tui.history.answers import AnswerWriter
from tui.history.drafts import Draft, draft_of, save_draft
from tui.history.records import Conversation, Entry, Figures, NewMessage, State
from tui.history.turns import to_messages
from tui.keeper import Keeper

# So many of the last messages are put on the screen.
MOST_SHOWN = 200


class Talk:
    """One conversation at a time; it is made when something is typed or said. `last` is the message at its end.

    `model` is what answers, by what it can be asked for again, and `choices` how it is asked; both are remembered with
    the conversation. All methods may raise `HistoryUnusable`.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.conversation: Conversation | None = None
        self.last: int | None = None
        self.model = ""
        self.choices = Choices()
        self.draft = Draft()
        self._making = asyncio.Lock()

    @property
    def system_prompt(self) -> str:
        """What the model is told before all else."""
        return self.conversation.system_prompt if self.conversation is not None else ""

    def begin(self) -> None:
        """A new conversation; the model and the choices stay."""
        self.conversation, self.last, self.draft = None, None, Draft()

    async def open(self, number: int) -> list[Entry]:
        """Go on with a conversation, in the way that was chosen there; its last messages. The model is not changed yet.

        Raises:
            ConversationNotFound: there is none of this number.
        """
        conversation = await self._keeper.do(conversations.get, number)
        self.draft = await self._keeper.do(draft_of, number)
        self.conversation = conversation
        self.choices = Choices.from_settings(conversation.settings, conversation.adapter)
        return await self.entries()

    async def choose_for(self, choices: Choices, model: str | None = None) -> None:
        """Remember how the conversation is answered from now on; `model` None leaves that as it was."""
        self.choices = choices
        self.model = self.model if model is None else model
        if self.conversation is not None:
            await self._keep_choices(self.conversation, self.conversation.model if model is None else model)

    async def entries(self) -> list[Entry]:
        """The last messages of the current branch."""
        if self.conversation is None:
            return []
        entries = await self._keeper.do(tree.branch, self.conversation.id, most=MOST_SHOWN)
        self.last = entries[-1].id if entries else None
        return entries

    async def figures(self) -> list[Figures]:
        """What each of the answers of the current branch took."""
        return [entry.figures for entry in await self.entries() if entry.figures is not None]

    async def say(self, text: str) -> Entry:
        """Put what the person said at the end."""
        return await self.say_after(self.last, text)

    async def say_after(self, parent: int | None, text: str) -> Entry:
        """Put what the person said after `parent`, beside what follows that."""
        conversation = await self._made()
        entry = await self._keeper.do(tree.add, conversation.id, parent, NewMessage("user", text))
        self.last = entry.id
        # It may have its title now.
        self.conversation = await self._keeper.do(conversations.get, conversation.id)
        return entry

    async def turns_to(self, entry: Entry) -> list[Message]:
        """What the model is told: all up to this message."""
        return to_messages(self.system_prompt, await self._keeper.do(tree.branch_to, entry.id))

    async def choose(self, message: int) -> list[Entry]:
        """Show the branch with this message; the last messages of it."""
        await self._keeper.do(tree.choose, message)
        return await self.entries()

    async def keep_draft(self, draft: Draft) -> bool:
        """Remember what is typed; whether that could be done now."""
        if draft == self.draft:
            return True
        conversation = await self._made()
        is_kept = await self._keeper.do(save_draft, conversation.id, draft, before=self.draft)
        if is_kept and self.conversation is not None and self.conversation.id == conversation.id:
            self.draft = draft
        return is_kept

    async def instruct(self, text: str) -> None:
        """Tell the model `text` before all else from now on."""
        conversation = await self._made()
        await self._keeper.do(conversations.set_system_prompt, conversation.id, text)
        self.conversation = await self._keeper.do(conversations.get, conversation.id)

    async def answer(self, said: Entry, model: str) -> KeptAnswer:
        """What writes the answer of `model` to `said` down."""
        if self.conversation is not None:
            await self._keep_choices(self.conversation, self.model or model)
        return KeptAnswer(self._keeper, AnswerWriter(self._keeper.store, said, model=model))

    async def go_on(self, cut: Entry, model: str) -> KeptAnswer:
        """What writes down how an answer that was cut goes on."""
        going_on = partial(AnswerWriter.going_on, self._keeper.store, cut, model=model)
        return KeptAnswer(self._keeper, await self._keeper.call(going_on))

    async def _made(self) -> Conversation:
        # What is typed and what is said may both be the first.
        async with self._making:
            if self.conversation is None:
                self.conversation = await self._keeper.do(
                    conversations.create,
                    model=self.model,
                    adapter=self.choices.adapter,
                    settings=self.choices.to_settings(),
                )
            return self.conversation

    async def _keep_choices(self, conversation: Conversation, model: str) -> None:
        adapter, settings = self.choices.adapter, self.choices.to_settings()
        if (conversation.model, conversation.adapter, conversation.settings) == (model, adapter, settings):
            return
        await self._keeper.do(
            conversations.set_choices, conversation.id, model=model, adapter=adapter, settings=settings
        )
        self.conversation = replace(conversation, model=model, adapter=adapter, settings=settings)


class KeptAnswer:
    """Writes an answer down while it comes. The first fault is kept in `fault`, and the answer comes nevertheless."""

    def __init__(self, keeper: Keeper, writer: AnswerWriter) -> None:
        self.fault: HistoryUnusable | None = None
        self._keeper = keeper
        self._writer = writer

    @property
    def last(self) -> int:
        """The last message so far."""
        return self._writer.last

    async def take(self, event: Event[AnswerFinished]) -> None:
        """Write down what comes next."""
        try:
            await self._keeper.call(partial(self._writer.take, event))
        except HistoryUnusable as fault:
            self.fault = self.fault or fault

    async def finish(self, state: State, fault: str = "") -> None:
        """Nothing comes any more."""
        try:
            await self._keeper.call(partial(self._writer.finish, state, fault))
        except HistoryUnusable as error:
            self.fault = self.fault or error
