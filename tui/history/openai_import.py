"""Conversations from the data export of ChatGPT: the zip file as it comes, or the `conversations.json` in it.

The file is a stranger's: its size is bounded, unpacked as well, and each conversation is read whole before any of it is
written. One that was imported before is left as it is, so an import that was stopped can simply be started again.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec

from runtime.config import HistoryConfig
from runtime.errors import ImportRefused
from tui.history import tree
from tui.history.folding import fold
from tui.history.openai_shapes import ConversationBody
from tui.history.openai_tree import Planned, plan
from tui.history.records import storable
from tui.history.store import Store

_MEMBER = re.compile(r"conversations(-\d+)?\.json")
_REMEDY = "Give it the zip file that ChatGPT's data export sends, or the conversations.json in it."


@dataclass
class Imported:
    """What came of an import: numbers of new conversations, their messages, how many were there already.

    `refused` says of each conversation that is damaged what is wrong with it.
    """

    conversations: list[int] = field(default_factory=list)
    num_messages: int = 0
    num_known: int = 0
    refused: list[str] = field(default_factory=list)


def import_openai(store: Store, path: Path) -> Imported:
    """Import all conversations of an export that are not there yet, with all branches.

    Raises:
        ImportRefused: the file cannot be read, is no export, or is over a limit; nothing was imported.
        HistoryUnusable: they cannot be written; those before are there.
    """
    imported = Imported()
    planned: list[Planned] = []
    num_read = 0
    for number, raw in enumerate(_conversations(path, store.config), start=1):
        num_read = number
        try:
            body = msgspec.json.decode(raw, type=ConversationBody)
            origin = body.conversation_id or body.id or hashlib.sha256(raw).hexdigest()
            planned.append(plan(body, f"openai:{origin}", store.config.max_import_nodes))
        except (msgspec.MsgspecError, RecursionError, ValueError) as fault:
            imported.refused.append(f"conversation {number}: {fault}")
    if num_read and not planned:
        raise ImportRefused(f"Nothing in {path} can be read: {imported.refused[0]}.", remedy=_REMEDY)
    for each in planned:
        _keep(store, each, imported)
    return imported


def _conversations(path: Path, config: HistoryConfig) -> Iterator[bytes]:
    """The conversations of a file, each as JSON text."""
    try:
        texts = list(_texts(path, config.max_import_bytes))
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as fault:
        raise ImportRefused(f"{path} cannot be read: {fault}.", remedy=_REMEDY) from fault
    for text in texts:
        try:
            raws = msgspec.json.decode(text, type=list[msgspec.Raw])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as fault:
            raise ImportRefused(f"{path} is no list of conversations: {fault}.", remedy=_REMEDY) from fault
        yield from map(bytes, raws)


def _texts(path: Path, max_bytes: int) -> Iterator[bytes]:
    """The JSON files in a zip file, or the file itself."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            yield _within(path, file.read(max_bytes + 1), max_bytes)
        return
    left = max_bytes
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if _MEMBER.fullmatch(PurePosixPath(info.filename).name)]
        if not members:
            raise ImportRefused(f"There is no conversations.json in {path}.", remedy=_REMEDY)
        for member in members:
            # A header may promise less than there is.
            with archive.open(member) as file:
                text = _within(path, file.read(left + 1), left)
            left -= len(text)
            yield text


def _within(path: Path, text: bytes, max_bytes: int) -> bytes:
    if len(text) > max_bytes:
        raise ImportRefused(f"{path} is too large: unpacked it has more than {max_bytes:,} bytes left to take.")
    return text


def _keep(store: Store, planned: Planned, imported: Imported) -> None:
    """Write one conversation, all of it or nothing, unless it is there."""
    with store.writing() as connection:
        if connection.execute("SELECT 1 FROM conversations WHERE origin = ?", (planned.origin,)).fetchone():
            imported.num_known += 1
            return
        title = storable(planned.title)
        made = connection.execute(
            "INSERT INTO conversations (created, updated, origin, model, title, folded_title, system_prompt) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                planned.created,
                planned.updated,
                planned.origin,
                planned.model,
                title,
                fold(title),
                storable(planned.system_prompt),
            ),
        )
        conversation = int(made.lastrowid or 0)
        numbers: list[int] = []
        for parent, message in planned.messages:
            numbers.append(tree.insert(connection, conversation, None if parent is None else numbers[parent], message))
            if message.role == "user":
                tree.entitle(connection, conversation, message.text, store.config.max_title_graphemes)
        # Each branch goes on to its latest end, and the conversation to where it was left.
        connection.execute(
            "UPDATE messages SET chosen = (SELECT MAX(id) FROM messages AS child WHERE child.parent = messages.id) "
            "WHERE conversation = ?",
            (conversation,),
        )
        if planned.last is not None:
            tree.choose_in(connection, numbers[planned.last])
    imported.conversations.append(conversation)
    imported.num_messages += len(numbers)
