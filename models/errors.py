"""What can go wrong in a model.

ModelError
├── CheckpointUnreadable    a checkpoint is missing, damaged or not ours
├── CheckpointUnlike        a checkpoint cannot take the place of another while it serves
├── LayoutMismatch          stored tokens were made by another layout or other weights
├── UnusableFrames          frames of a shape that no tower can read
├── BudgetTooLarge          more tokens asked for than there are
├── PromptTooLong           question, findings and clips exceed the model's context
├── UnparsableReply         the model's reply does not fit the schema
└── ModelServerError
    ├── ModelServerAway     no server of the model answers just now
    │   ├── ModelServerFailed   one answers, with an error of its own
    │   └── WeightsSwapped      it answers, but by other weights than ours
    ├── ModelServerDenied   it lets us not in, or has no such model
    ├── RequestRefused      it cannot do what it was asked for
    └── SwapRefused         it cannot serve other weights, and goes on with those it has
"""


class ModelError(Exception):
    """Base of everything `models` raises."""


class CheckpointUnreadable(ModelError):
    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"checkpoint {path} cannot be used: {why}")
        self.path, self.why = path, why


class CheckpointUnlike(ModelError):
    def __init__(self, path: object, what: str) -> None:
        super().__init__(
            f"checkpoint {path} cannot take the place of the one that serves: {what}; "
            "start the service with it instead"
        )
        self.path, self.what = path, what


class LayoutMismatch(ModelError):
    def __init__(self, what: str, *, expected: str, got: str) -> None:
        super().__init__(
            f"stored tokens have {what} {got}, this model reads {expected}; "
            "analyse the footage again"
        )
        self.what, self.expected, self.got = what, expected, got


class UnusableFrames(ModelError):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(f"frames have shape {shape}; expected (T, H, W, 3), none of them 0")
        self.shape = shape


class BudgetTooLarge(ModelError):
    def __init__(self, budget: int, available: int) -> None:
        super().__init__(f"a budget of {budget} tokens, but there are only {available}")
        self.budget, self.available = budget, available


class PromptTooLong(ModelError):
    def __init__(self, num_tokens: int, limit: int) -> None:
        super().__init__(f"the prompt has {num_tokens} tokens, this model reads at most {limit}")
        self.num_tokens, self.limit = num_tokens, limit


class UnparsableReply(ModelError):
    def __init__(self, task: str, reply: str) -> None:
        super().__init__(f"the model's {task} does not fit its schema: {reply[:200]!r}")
        self.task, self.reply = task, reply


class ModelServerError(ModelError):
    """A server that runs the model gives no reply."""


class ModelServerAway(ModelServerError):
    def __init__(self, url: str, *, reason: str) -> None:
        super().__init__(
            f"the model's server {url} does not answer ({reason}); it is asked again by itself, "
            "see: longwatch doctor"
        )
        self.url, self.reason = url, reason


class ModelServerFailed(ModelServerAway):
    """It may be the server that is broken, or what it was asked that breaks it."""

    def __init__(self, url: str, *, reason: str) -> None:
        super().__init__(url, reason=reason)
        self.args = (f"the model's server {url} fails ({reason}); it is asked again by itself",)


class ModelServerDenied(ModelServerError):
    def __init__(self, url: str, *, status: int, reason: str) -> None:
        super().__init__(
            f"the model's server {url} refuses us ({status}: {reason}); correct "
            "LONGWATCH_MODEL_URL, LONGWATCH_MODEL_NAME or LONGWATCH_MODEL_KEY"
        )
        self.url, self.status, self.reason = url, status, reason


class RequestRefused(ModelServerError):
    def __init__(self, url: str, *, status: int, reason: str) -> None:
        super().__init__(f"the model's server {url} cannot do that ({status}: {reason})")
        self.url, self.status, self.reason = url, status, reason


class WeightsSwapped(ModelServerAway):
    def __init__(self, url: str, *, expected: str, got: str) -> None:
        super().__init__(url, reason=f"it has the weights {got} now, and not {expected}")
        self.expected, self.got = expected, got


class SwapRefused(ModelServerError):
    def __init__(self, url: str, *, checkpoint: object, reason: str) -> None:
        super().__init__(
            f"the model's server {url} goes on with the weights that it has: it cannot serve "
            f"{checkpoint} ({reason})"
        )
        self.url, self.checkpoint, self.reason = url, checkpoint, reason
