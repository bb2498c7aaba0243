"""The first request to a model server: SGLang's own would ask about a picture."""

import logging
import time
from http.client import HTTPException
from typing import Any
from urllib.request import Request, urlopen

from sglang.srt.entrypoints.http_server import get_global_state
from sglang.srt.managers.tokenizer_manager import ServerStatus
from sglang.srt.server_args import ServerArgs

FIRST_REQUEST = b'{"text": "yes", "sampling_params": {"temperature": 0, "max_new_tokens": 1}}'
LISTENS_S, ANSWERS_S = 60.0, 600.0

log = logging.getLogger(__name__)


def warm_up(server_args: ServerArgs) -> bool:
    """Have a token written, and say whether that went well. Called in a thread of its own."""
    ask = Request(
        f"{server_args.url()}/generate", FIRST_REQUEST, {"Content-Type": "application/json"}
    )
    give_up_s = time.monotonic() + LISTENS_S
    while True:
        try:
            with urlopen(ask, timeout=ANSWERS_S):
                break
        except (OSError, HTTPException) as error:
            if time.monotonic() > give_up_s:
                log.error("the model server does not answer: %s", error)
                return False
            time.sleep(0.1)
    manager: Any = get_global_state().tokenizer_manager
    manager.server_status = ServerStatus.Up
    return True
