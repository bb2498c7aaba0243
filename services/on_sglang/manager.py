"""SGLang's manager of requests, which lets weights be swapped without mixing any.

SGLang's own lets running requests end, holds back those that come, and loads. What is added: a
checkpoint is looked at before, since one that cannot be loaded would end the server; nothing that
the old weights computed is left, not even of requests whose askers went away; and clips are read,
and answers labelled, as the weights want it that serve.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

from sglang.srt.entrypoints.engine import init_tokenizer_manager
from sglang.srt.managers.io_struct import UpdateWeightFromDiskReqInput
from sglang.srt.managers.tokenizer_manager import TokenizerManager

from models.checkpoint import Checkpoint
from models.errors import ModelError
from services.on_sglang.chat import ChatWithClips
from services.on_sglang.processor import ClipProcessor
from services.on_sglang.reading import Reader

ENDS_S = 60.0  # until what is aborted has ended
Told = tuple[bool, str, int]
"""As SGLang answers: success, a message, and how many requests were paused."""

log = logging.getLogger(__name__)


def manager_of(server_args: Any, port_args: Any) -> tuple[TokenizerManager, Any]:  # noqa: ANN401 - SGLang's
    """What SGLang's `launch_server` asks for."""
    return init_tokenizer_manager(server_args, port_args, SwappingManager)  # type: ignore[arg-type]


class SwappingManager(TokenizerManager):
    """See the module docstring. Both methods are SGLang's, which calls the second in the first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._one_swap = asyncio.Lock()
        self._next: Reader | None = None

    @property
    def serving_chat_class(self) -> type[ChatWithClips]:
        return ChatWithClips

    @property
    def clips(self) -> ClipProcessor:
        assert isinstance(self.mm_processor, ClipProcessor)
        return self.mm_processor

    async def update_weights_from_disk(  # type: ignore[override]  # it declares two, and gives three
        self, obj: UpdateWeightFromDiskReqInput, request: object = None
    ) -> Told:
        async with self._one_swap:
            if self.is_pause:
                return False, "generation is paused; continue it, and ask again", 0
            try:
                found = await asyncio.to_thread(self._looked_at, Path(obj.model_path))
            except ModelError as error:
                return False, str(error), 0
            model_id = found.checkpoint.model_id
            if model_id == self.served_model_name:
                return True, f"{model_id} serves already", 0
            self._next = found
            swap = UpdateWeightFromDiskReqInput(model_path=obj.model_path, weight_version=model_id)
            return cast(Told, await super().update_weights_from_disk(swap))

    async def _wait_for_model_update_from_disk(  # type: ignore[override]  # likewise
        self, obj: UpdateWeightFromDiskReqInput
    ) -> Told:
        """Called when all who asked have their answers, and nobody else is let in."""
        assert self._next is not None
        self.abort_request(abort_all=True)  # what runs now, nobody waits for
        if not (flushed := await self.flush_cache(ENDS_S)).success:
            return False, f"requests do not end: {flushed.message}", 0
        told = cast(Told, await super()._wait_for_model_update_from_disk(obj))
        if told[0]:
            self.clips.reader = self._next
            self.served_model_name = str(obj.weight_version)
            log.info("serving %s now", self.served_model_name)
        return told

    def _looked_at(self, path: Path) -> Reader:
        """A reader for another checkpoint, every weight of which was read once.

        Raises:
            CheckpointUnreadable, CheckpointUnlike
        """
        found = Reader(self.clips.reader.store, Checkpoint(path))
        self.clips.reader.refuse_unlike(found)
        assert found.checkpoint.model_id
        return found
