"""Whoever looks at the nodes of llama.cpp's graph while it is computed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import llama_cpp

from converters.gguf.nodes import Node, check_layout


class NodeWatcher(ABC):
    """What llama.cpp's scheduler calls back, as `callback`, which a decoder is made with.

    A forward pass with it should run in a thread of its own: no Ctrl-C comes there, which in a callback would be lost.
    """

    def __init__(self) -> None:
        """Raises ConfigurationInvalid where the installed llama.cpp is another one than is known here."""
        check_layout()
        self.callback = llama_cpp.ggml_backend_sched_eval_callback(self._on_node)
        self._fault: BaseException | None = None
        self._is_stopped = False

    @abstractmethod
    def wants(self, node: Node) -> bool:
        """Whether the node is to be shown when it has been computed."""

    @abstractmethod
    def take(self, node: Node) -> bool:
        """Look at a node that is wanted, only until this returns; the pass goes on where it returns true."""

    def check(self) -> None:
        """Raise what `wants` or `take` raised in a forward pass that is over."""
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Let the forward pass end at its next node; may be called by another thread."""
        self._is_stopped = True

    def _on_node(self, address: int, is_asking: bool, _user_data: object) -> bool:
        """Asked, say whether the node is wanted; then take it, and say whether to go on."""
        try:
            node = Node.from_address(address)
            if is_asking:
                return self._is_stopped or self.wants(node)
            return not self._is_stopped and self.take(node)
        except BaseException as fault:  # noqa: BLE001  # through C it would not come: `check` raises it
            self._fault = fault
            return False
