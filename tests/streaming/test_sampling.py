"""Wanted instants are multiples of one interval of media time, whatever the frames do."""

from fractions import Fraction

import pytest

from streaming.messages import NS_PER_S
from streaming.sampling import Sampler, SamplingPolicy


def policy(
    *, fps: Fraction | int = 1, max_frames: int = 64, clip_length_s: int = 10
) -> SamplingPolicy:
    return SamplingPolicy(
        fps=Fraction(fps),
        max_frames_per_clip=max_frames,
        clip_length_ns=clip_length_s * NS_PER_S,
        size_px=(96, 96),
    )


def picked_s(times_s: list[float], sampling: SamplingPolicy, *, after_s: float | None = None):
    sampler = Sampler(sampling, after_ns=None if after_s is None else round(after_s * NS_PER_S))
    picked: list[float] = []
    for time_s in times_s:
        media_ns = round(time_s * NS_PER_S)
        if sampler.wants(media_ns):
            sampler.pick(media_ns)
            picked.append(time_s)
    return picked


def test_the_first_frame_at_or_after_each_instant_is_picked():
    assert picked_s([0, 0.9, 1.0, 1.1, 2.5, 2.9, 3.2], policy()) == [0, 1.0, 2.5, 3.2]


def test_a_frame_that_is_late_for_several_instants_is_picked_once():
    assert picked_s([0, 4.5, 4.9, 5.0], policy()) == [0, 4.5, 5.0]


def test_a_stream_that_begins_between_instants_gives_its_first_frame():
    assert picked_s([0.4, 0.6, 1.0], policy()) == [0.4, 1.0]


def test_what_was_served_before_is_not_served_again():
    assert picked_s([3.1, 3.9, 4.0], policy(), after_s=3.0) == [4.0]
    assert picked_s([3.1, 3.9, 4.0], policy(), after_s=2.9) == [3.1, 4.0]


def test_picks_do_not_depend_on_where_the_stream_is_cut():
    times_s = [index / 30 for index in range(400)]
    sampling = policy(fps=Fraction(7, 3))
    whole = picked_s(times_s, sampling)
    for cut in (1, 13, 90, 91, 399):
        head = picked_s(times_s[:cut], sampling)
        assert head + picked_s(times_s[cut:], sampling, after_s=head[-1]) == whole


def test_asking_changes_nothing():
    sampler = Sampler(policy(), after_ns=None)
    assert sampler.wants(0)
    assert sampler.wants(0)
    assert sampler.after_ns is None


def test_an_instant_that_no_float_holds_is_met_exactly():
    sampling = policy(fps=Fraction(30000, 1001))
    sampler = Sampler(sampling, after_ns=None)
    for index in range(10_000):
        instant_ns = sampling.instant_ns(index)
        assert not sampler.wants(instant_ns - 1)
        assert sampler.wants(instant_ns)
        sampler.pick(instant_ns)


def test_below_the_cap_the_rate_is_as_asked():
    assert policy(fps=2, max_frames=20).rate == 2


def test_above_the_cap_so_many_instants_are_spread_evenly_over_each_clip():
    sampling = policy(fps=8, max_frames=6)
    assert sampling.rate == Fraction(6, 10)
    instants = [sampling.instant_ns(index) for index in range(13)]
    per_clip = [instant // (10 * NS_PER_S) for instant in instants]
    assert per_clip == [0] * 6 + [1] * 6 + [2]
    assert instants[6] == 10 * NS_PER_S  # each clip begins with one


def test_a_rate_that_does_not_divide_the_clip_keeps_to_the_cap():
    assert policy(fps=Fraction(31, 10), max_frames=31).rate == Fraction(31, 10)
    assert policy(fps=Fraction(301, 100), max_frames=30).rate == 3


@pytest.mark.parametrize(
    "wrong",
    [{"fps": 0}, {"fps": -1}, {"max_frames": 0}, {"clip_length_s": 0}],
)
def test_a_policy_that_means_nothing_is_refused(wrong: dict[str, int]):
    with pytest.raises(ValueError, match=r"."):
        policy(**wrong)


def test_a_picture_of_no_size_is_refused():
    with pytest.raises(ValueError, match="hold nothing"):
        SamplingPolicy(Fraction(1), max_frames_per_clip=1, clip_length_ns=1, size_px=(0, 8))
