"""The kinds of questions that a model of video learns to answer: those of LLaVA-Video-178K.

arXiv 2410.02713, section 3. Whoever teaches is told them by name (`models.prompts.teach_prompt`).
"""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

QuestionKind = Literal[
    "temporal",
    "spatial",
    "causal",
    "scene",
    "human",
    "object",
    "count",
    "binary",
    "fine action",
    "plot",
    "non-existent action",
    "time order",
    "object direction",
    "camera direction",
    "speed",
    "attribute change",
]
KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)

MEANT: dict[QuestionKind, str] = {
    "temporal": "what happens before, during or after something else",
    "spatial": "where things and people are, to each other and in the picture",
    "causal": "why something happens, or what comes of it",
    "scene": "what the place looks like",
    "human": "what somebody looks like and wears",
    "object": "what a thing looks like",
    "count": "how many there are, or how often something happens",
    "binary": "whether something is so, answered with yes or no",
    "fine action": "how exactly something is done",
    "plot": "what the clip is about as a whole",
    "non-existent action": "something that does not happen in a place that is there; answer no",
    "time order": "in which order things happen",
    "object direction": "which way something moves",
    "camera direction": "which way the camera moves",
    "speed": "how fast something is, or whether that changes",
    "attribute change": "what of something changes: its size, shape, colour or place",
}


class Pair(BaseModel):
    """A question about a clip, and its answer. Of which kind is told, and not insisted upon."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(json_schema_extra={"enum": [*KINDS]})
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)


class Pairs(BaseModel):
    """What a teacher is to write of a clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: tuple[Pair, ...] = ()
