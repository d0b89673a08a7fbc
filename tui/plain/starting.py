"""How a chat line by line starts: with a model that may have to be downloaded, and as the conversation was answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from runtime.errors import DemoticError
from tui.choosing.facts import facts_of
from tui.choosing.kept import lasting, settled
from tui.choosing.offers import Offer, Step, default_name, missing, pulled, sized
from tui.client import ChatClient
from tui.events import Endpoint
from tui.joining import Joined, Server
from tui.switching import SwitchedServer
from tui.talk import Talk
from tui.words import _

Say = Callable[[str], None]
Read = Callable[[], Awaitable[bytes | None]]

_YES, _NO = ("y", "yes", "1"), ("n", "no", "2")
# A line for each tenth: a screen reader reads them all.
_TENTHS = 10


def reference_of(server: Server) -> str:
    """The file that the chat's own server was asked for, by its whole path; nothing of other models and servers."""
    return lasting(server.model or "") if isinstance(server, SwitchedServer) else ""


async def endpoint_of(server: Server, say: Say, read: Read | None) -> Endpoint:
    """What answers; where it is not on this machine, the person is asked about a download, unless `read` is None.

    Raises:
        DemoticError: nothing can answer.
    """
    try:
        return await server.endpoint()
    except DemoticError:
        if read is None or not isinstance(server, SwitchedServer):
            raise
        wanted = server.model or await default_name()
        offer = await missing(wanted)
        if offer is None:
            raise
    brought = await offered(offer, wanted, say, read)
    return await server.switch(brought.name)


async def take_up(server: Server, talk: Talk, client: ChatClient, say: Say) -> None:
    """Have a conversation answered as it was, as far as what answered is there still; else that is told.

    Raises:
        DemoticError: the server does not tell what it has.
    """
    is_own = isinstance(server, SwitchedServer)  # which was started with the conversation's model, or the person's
    is_given = is_own or (isinstance(server, Joined) and bool(server.address.model))
    _name, adapter = client.parts
    served = {each.id for each in await client.models()}
    kept = talk.conversation.model if talk.conversation is not None else ""
    found = settled(kept, talk.choices, (talk.model, adapter), served, is_given=is_given)
    for told in (found.notice, found.fault):
        if told:
            say(told)
    talk.model, talk.choices = found.model, found.choices
    if not is_own:
        client.model = found.choices.model(found.model)


async def offered(offer: Offer, reference: str, say: Say, read: Read) -> Offer:
    """Ask whether a model is to be downloaded, and do so; nothing is fetched before the person says yes.

    Raises:
        DemoticError: the person says no, or the model cannot be had.
    """
    say(_("Download {name}?").format(name=offer.name))
    for line in facts_of(offer):
        say(line)
    while True:
        say(f"y/1 {_('yes')} · n/2 {_('no')}")
        answer = await read()
        word = _NO[0] if answer is None else answer.decode(errors="replace").strip().casefold()
        if word in (*_NO, _("no").casefold()):
            raise DemoticError(_("Nothing was downloaded."), remedy=_("Name another model: demotic chat MODEL."))
        if word in (*_YES, _("yes").casefold()):
            break
    told = 0

    def on_step(step: Step) -> None:
        nonlocal told
        tenth = int(_TENTHS * step.num_bytes / step.total_bytes) if step.total_bytes else 0
        if tenth > told:
            told = tenth
            say(_("{done} of {total}").format(done=sized(step.num_bytes), total=sized(step.total_bytes)))

    return await pulled(reference, on_step)
