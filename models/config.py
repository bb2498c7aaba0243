"""Configuration of the video LLM, as transformers users know it: `config.json`."""

from typing import Any

from transformers import AutoConfig, PreTrainedConfig, Qwen2Config, SiglipVisionConfig

from models.layout import StreamLayout


class LongwatchConfig(PreTrainedConfig):
    """A vision tower, a decoder and the stream layout between them.

    Args:
        vision_config: a SigLIP-class tower (square pictures, no class token).
        text_config: a Qwen2-class decoder.
        layout: the stream layout, as `StreamLayout.model_dump()` gives it.
        video_token_id: the placeholder that visual tokens replace.
        vision_feature_layer: which hidden state of the tower is read; LLaVA reads the second to
            last (-2). -1 is the last one, after the final layer norm.
        retrieval_width: dimensions of the vectors that texts and clips are searched by.
        model_name: what the weights are called in answers and notes, before their hash.
    """

    model_type = "longwatch"
    sub_configs = {"vision_config": AutoConfig, "text_config": AutoConfig}  # type: ignore[assignment]  # noqa: RUF012

    def __init__(  # noqa: PLR0913  as configurations of transformers are
        self,
        vision_config: dict[str, Any] | PreTrainedConfig | None = None,
        text_config: dict[str, Any] | PreTrainedConfig | None = None,
        layout: dict[str, Any] | None = None,
        *,
        video_token_id: int = 0,
        vision_feature_layer: int = -2,
        retrieval_width: int = 128,
        model_name: str = "longwatch",
        **kwargs: Any,
    ) -> None:
        self.vision_config = _as_config(vision_config, SiglipVisionConfig)
        self.text_config = _as_config(text_config, Qwen2Config)
        self.layout = layout or StreamLayout(
            image_size_px=self.vision_config.image_size
        ).model_dump(mode="json")
        self.video_token_id = video_token_id
        self.vision_feature_layer = vision_feature_layer
        self.retrieval_width = retrieval_width
        self.model_name = model_name
        kwargs.setdefault("tie_word_embeddings", self.text_config.tie_word_embeddings)
        super().__init__(**kwargs)

    @property
    def stream_layout(self) -> StreamLayout:
        return StreamLayout.model_validate(self.layout)


def _as_config(
    given: dict[str, Any] | PreTrainedConfig | None, default: type[PreTrainedConfig]
) -> PreTrainedConfig:
    if given is None:
        return default()
    if isinstance(given, dict):
        kind = given.get("model_type", default.model_type)
        rest = {key: value for key, value in given.items() if key != "model_type"}
        return AutoConfig.for_model(kind, **rest)
    return given


AutoConfig.register("longwatch", LongwatchConfig, exist_ok=True)
