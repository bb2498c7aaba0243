"""Which pictures examples show."""

from models.transformers_engine import TransformersEngine
from services.analyse import policy_of
from services.settings import Settings
from services.training.media import Sampler
from services.training.truth import moved
from services.wiring import opened
from streaming.messages import NS_PER_S
from tests.services.films import FPS


def test_what_begins_between_two_pictures_of_a_clip_is_sampled_from_there(light: Settings) -> None:
    policy = policy_of(TransformersEngine.load(light.model).layout)
    with opened(light) as stores:
        sampler = Sampler(stores, policy)
        clip = stores.record.clips()[3].span
        by_start = {
            by_ns: sampler.frames_of(moved(clip, by_ns), late_ns=by_ns % NS_PER_S)
            for by_ns in (0, 2 * NS_PER_S // FPS, -2 * NS_PER_S // FPS)
        }

    for by_ns, frames in by_start.items():
        wanted_ns = [clip.start_ns + by_ns + second * NS_PER_S for second in range(10)]
        assert [frame.media_ns for frame in frames] == wanted_ns
