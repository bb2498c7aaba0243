"""What is done about each error: the one table, so that no `except` decides alone."""

from enum import Enum

from memory import errors as memory
from models import errors as models
from services import errors as services
from services.on_ray import errors as on_ray
from streaming import errors as streaming


class Action(Enum):
    """What a worker does when handling fails; for a stream's capture, what becomes of it."""

    RETRY = "retry"
    """The same again after a wait, for as long as it takes. A stream is connected again."""
    SET_ASIDE = "set aside"
    """To the dead letters, and on with the next. A stream has failed."""
    CRASH = "crash"
    """Our bug or our setup: the service stops, and nothing is lost by that."""


ACTIONS: dict[type[Exception], Action] = {
    streaming.SchemeNotAllowed: Action.SET_ASIDE,
    streaming.BadSourceUrl: Action.SET_ASIDE,
    streaming.SourceMissing: Action.SET_ASIDE,
    streaming.SourceIsDirectory: Action.SET_ASIDE,
    streaming.SourceNotPermitted: Action.SET_ASIDE,
    streaming.SourceOutsideRoots: Action.SET_ASIDE,
    streaming.SourceUnauthorised: Action.RETRY,
    streaming.SourceUntrusted: Action.RETRY,
    streaming.SourceUnreachable: Action.RETRY,
    streaming.SourceStalled: Action.RETRY,
    streaming.EmptyMedia: Action.SET_ASIDE,
    streaming.UnreadableMedia: Action.SET_ASIDE,
    streaming.NoVideoTrack: Action.SET_ASIDE,
    streaming.StillImage: Action.SET_ASIDE,
    streaming.UnsupportedCodec: Action.SET_ASIDE,
    streaming.DamagedVideo: Action.SET_ASIDE,
    streaming.NvdecUnavailable: Action.CRASH,
    streaming.FootageFull: Action.RETRY,
    streaming.FootageUnavailable: Action.RETRY,
    streaming.FootageMissing: Action.SET_ASIDE,
    streaming.BadFootageAddress: Action.SET_ASIDE,
    streaming.BusClosed: Action.CRASH,
    streaming.BusUnavailable: Action.RETRY,
    streaming.BusRefused: Action.CRASH,
    streaming.BusEngineMissing: Action.CRASH,
    streaming.BusDamaged: Action.CRASH,
    streaming.RecordTooLarge: Action.CRASH,
    streaming.OffsetOutOfRange: Action.CRASH,
    streaming.BadMessage: Action.SET_ASIDE,
    memory.StoreUnavailable: Action.RETRY,
    memory.ServerAway: Action.RETRY,
    memory.StoreReadOnly: Action.CRASH,
    memory.StoreDenied: Action.CRASH,
    memory.StoreFull: Action.RETRY,
    memory.EvictingStore: Action.CRASH,
    memory.BadStoreAddress: Action.CRASH,
    memory.DiskFull: Action.RETRY,
    memory.DamagedRecord: Action.CRASH,
    memory.CorruptNote: Action.SET_ASIDE,
    memory.DamagedTokens: Action.SET_ASIDE,
    memory.DamagedIndex: Action.CRASH,
    memory.BadExample: Action.CRASH,
    memory.WrongSchema: Action.CRASH,
    memory.UnknownStream: Action.SET_ASIDE,
    memory.StreamExists: Action.SET_ASIDE,
    memory.SpanForgotten: Action.SET_ASIDE,
    memory.TokensMissing: Action.SET_ASIDE,
    memory.ForeignTokens: Action.SET_ASIDE,
    memory.ExamplesMissing: Action.CRASH,
    memory.LabelsMissing: Action.CRASH,
    memory.WrongWidth: Action.CRASH,
    memory.BadVector: Action.SET_ASIDE,
    memory.IndexEngineMissing: Action.CRASH,
    memory.GpuSearchUnavailable: Action.CRASH,
    memory.RecordEngineMissing: Action.CRASH,
    models.CheckpointUnreadable: Action.CRASH,
    models.CheckpointUnlike: Action.CRASH,
    models.LayoutMismatch: Action.CRASH,
    models.UnusableFrames: Action.SET_ASIDE,
    models.BudgetTooLarge: Action.SET_ASIDE,
    models.PromptTooLong: Action.SET_ASIDE,
    models.UnparsableReply: Action.SET_ASIDE,
    models.ModelServerAway: Action.RETRY,
    models.ModelServerFailed: Action.RETRY,
    models.WeightsSwapped: Action.RETRY,
    models.ModelServerDenied: Action.CRASH,
    models.RequestRefused: Action.SET_ASIDE,
    models.SwapRefused: Action.CRASH,
    services.ModelUnavailable: Action.CRASH,
    services.GpuMissing: Action.CRASH,
    services.LayoutChanges: Action.CRASH,
    services.SettingsError: Action.CRASH,
    on_ray.ShardAway: Action.RETRY,
    services.WorkerCrashed: Action.CRASH,
}


def action_for(error: Exception) -> Action:
    """Return what to do about `error`; what we did not foresee crashes."""
    return ACTIONS.get(type(error), Action.CRASH)
