"""A clip with the end of the clip before in view: stored tokens, moved to negative times."""

import numpy as np
import torch

from models.clip_encoder import Projector
from models.engine import ClipTokens, LeadIn
from models.layout import StreamLayout


@torch.inference_mode()
def led_into(
    clip: ClipTokens, lead_in: LeadIn, *, projector: Projector, layout: StreamLayout
) -> ClipTokens:
    """One row of frames: the last of the clip before, at negative times, and the clip's."""
    before = lead_in.clip
    first = int(np.searchsorted(before.times_s_T, lead_in.ends_s - layout.lead_in_s))
    kept_K = before.frame_K >= first
    times_s_T = before.times_s_T[first:] - np.float32(lead_in.ends_s)
    device = projector.place.weight.device
    when_K, to_K = (
        torch.from_numpy(times_T[before.frame_K[kept_K]]).to(device) / layout.clip_length_s
        for times_T in (before.times_s_T, before.times_s_T - np.float32(lead_in.ends_s))
    )
    tokens_KD = torch.from_numpy(before.tokens_KD[kept_K]).float().to(device)
    moved_KD = projector.moved(tokens_KD, when_K, to_K).to(torch.float16)
    return ClipTokens(
        tokens_KD=np.concatenate([moved_KD.cpu().numpy(), clip.tokens_KD]),
        frame_K=np.concatenate([before.frame_K[kept_K] - first, clip.frame_K + len(times_s_T)]),
        times_s_T=np.concatenate([times_s_T, clip.times_s_T]),
        layout_id=clip.layout_id,
        encoder_id=clip.encoder_id,
    )
