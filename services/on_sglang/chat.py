"""Chat in OpenAI's form, whose messages may bring pictures and video.

SGLang's own leaves them out of the text where a checkpoint's chat template knows text alone. Here
each becomes a clip in its place: a video, and pictures that follow one another.
"""

from typing import Any

from sglang.srt.entrypoints.openai.protocol import ChatCompletionRequest, MessageProcessingResult
from sglang.srt.entrypoints.openai.serving_chat import OpenAIServingChat

from models.prompts import VIDEO, without_placeholder

Clip = str | list[str]
"""A video, or the reference of a stored clip; or pictures."""


class ChatWithClips(OpenAIServingChat):
    """See the module docstring."""

    def _apply_jinja_template(
        self,
        request: ChatCompletionRequest,
        tools: list[dict[str, Any]] | None,
        is_multimodal: bool,
    ) -> MessageProcessingResult:
        clips: list[Clip] = []
        messages = [
            message.model_copy(update={"content": told(message.content, clips)})
            for message in request.messages
        ]
        plain = request.model_copy(update={"messages": messages})
        result = super()._apply_jinja_template(plain, tools, is_multimodal)
        result.video_data = clips or None
        return result


def told(content: Any, clips: list[Clip]) -> str | None:  # noqa: ANN401 - SGLang's many types
    """A message as text, with a place for each clip, which is put on the list.

    Raises:
        ValueError
    """
    if content is None or isinstance(content, str):
        return content and without_placeholder(content)
    text, pictures = "", None
    for part in content:
        match part.type:
            case "image_url":
                if pictures is None:
                    pictures = []
                    clips.append(pictures)
                    text += VIDEO
                pictures.append(part.image_url.url)
                continue
            case "video_url":
                clips.append(part.video_url.url)
                text += VIDEO
            case "text":
                text += without_placeholder(part.text)
            case kind:
                raise ValueError(
                    f"a message with {kind}; this model reads text, pictures and video"
                )
        pictures = None
    return text
