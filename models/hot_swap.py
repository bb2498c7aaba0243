"""Other weights for a running model server of ours, which goes on answering meanwhile.

What is being answered is answered by the old weights; what comes after that, by the new ones. A
reply is never of both, and says whose it is.
"""

from contextlib import closing
from pathlib import Path

from models.errors import RequestRefused, SwapRefused
from models.model_servers import DENIED, ModelServers, Patience

SWAP = "/update_weights_from_disk"
SWAP_S = 900.0  # until the longest answer that is being written is over, and the weights are read


def swap(url: str, checkpoint_folder: Path, *, key: str | None = None) -> None:
    """Have a server serve the checkpoint in a folder, named as the server sees it.

    Returns when it does. Where it does already, nothing happens.

    Raises:
        SwapRefused: the weights cannot be used there; those before go on serving.
        ModelServerAway, ModelServerDenied
    """
    patience = Patience(waits_s=(), read_s=SWAP_S)
    with closing(ModelServers([url], key=key, denied=DENIED, patience=patience)) as server:
        try:
            server.post(SWAP, {"model_path": str(checkpoint_folder)}, key="")
        except RequestRefused as error:
            raise SwapRefused(url, checkpoint=checkpoint_folder, reason=error.reason) from error
