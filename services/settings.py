"""Everything that can be set, and the only place that reads the environment.

Each field is read from the variable LONGWATCH_<FIELD>; the command line overrules it. There is no
settings file: a service is told what it needs where it is started.
"""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from memory.values import WhenBehind
from services.address import address_of
from services.errors import SettingsError
from services.logs import LogFormat
from services.model_address import ModelAddress, model_address_of
from services.secrets import keys_of
from services.signing import secret_of

KAFKA_SERVERS = re.compile(r"[^\s,/@]+:[0-9]+(,[^\s,/@]+:[0-9]+)*")
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
SHIPPED_MODEL = Path(__file__).resolve().parent.parent / "models" / "nano" / "checkpoint"
_ORIGIN = r"https?://[a-z0-9.-]+(?::\d{1,5})?"
ORIGINS = re.compile(rf"{_ORIGIN}(?:,{_ORIGIN})*")


class Settings(BaseSettings):
    """Settings of one data directory and of whoever reads it."""

    model_config = SettingsConfigDict(
        env_prefix="LONGWATCH_",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # it may hold a password
    )

    data: Path = Field(
        default=Path("longwatch-data"),
        description="Directory of the bus, the record, the index and, unless told otherwise, "
        "footage and tokens.",
    )
    footage_url: str | None = Field(
        default=None, description="Where segments are stored; any fsspec URL. Default: DATA/footage"
    )
    tokens_url: str | None = Field(
        default=None,
        description="Where visual tokens are stored; any fsspec URL. Default: DATA/tokens",
    )
    model: Path = Field(
        default=SHIPPED_MODEL,
        description="Folder of the checkpoint. Default: the one promoted last, or longwatch-nano",
    )
    model_url: str | None = Field(
        default=None,
        description="Servers that run the model, as sglang+http://HOST:PORT, or another one, as "
        "openai+https://HOST/v1; with commas between several. Default: it runs in this process",
    )
    model_name: str | None = Field(
        default=None, min_length=1, description="What an OpenAI-compatible server calls the model."
    )
    model_key: SecretStr | None = Field(
        default=None, description="Key that the model's servers are shown."
    )
    teacher_key: SecretStr | None = Field(
        default=None, description="Key that a teacher is shown, see: longwatch dataset build."
    )
    model_threads: int = Field(
        default=0, ge=0, description="CPU threads of the model; 0: one less than there are cores."
    )
    device: str = Field(
        default="cpu",
        pattern=r"^(cpu|cuda(:[0-9]+)?)$",
        description="Where the model computes: cpu, cuda, or cuda:1 for the second GPU.",
    )
    decode_threads: int = Field(default=1, ge=1, description="CPU threads that decode a segment.")
    analysts: int = Field(
        default=0,
        ge=0,
        description="Streams that one process of `analyse` works at together, where Kafka divides "
        "the work; 0: four where the model computes on a GPU or in servers, else one.",
    )
    when_behind: WhenBehind = Field(
        default=WhenBehind.WAIT,
        description="What is done of cameras' footage when analysis cannot keep up: wait, "
        "drop-oldest or thin.",
    )
    behind_s: float = Field(
        default=60.0, ge=10, description="How many seconds behind live that is done from."
    )
    when_full: Literal["wait", "delete-oldest"] = Field(
        default="wait",
        description="What is done when the disk is full: wait, or delete-oldest, the oldest "
        "footage that is remembered already.",
    )
    redis: SecretStr | None = Field(
        default=None,
        description="Redis server that holds the record, as a redis://, rediss:// or unix:// URL; "
        "?prefix=NAME: tells records on one server apart. Default: SQLite, DATA/record.sqlite",
    )

    secret_key: SecretStr | None = Field(
        default=None,
        description="Key that seals users and passwords of cameras and brokers on the disk: the "
        "base64 of 32 bytes; with commas between several, of which the first one seals. "
        "Default: the one in LONGWATCH_SECRET_KEY_FILE",
    )
    secret_key_file: Path | None = Field(
        default=None,
        description="File of that key, which is made where there is none. Default: DATA/secret.key",
    )

    camera_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the certificates of cameras, or of "
        "these certificates themselves. Default: any certificate is accepted",
    )

    file_roots: str | None = Field(
        default=None,
        description="Directories below which files may be watched, with colons between them. "
        "Default: any",
    )

    kafka: str | None = Field(
        default=None,
        description="Kafka brokers that carry the messages, as HOST:PORT,HOST:PORT. "
        "Default: SQLite, DATA/bus.sqlite",
    )
    kafka_prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="What stands before the names of topics and groups in Kafka, so that several "
        "installations can share it.",
    )
    kafka_partitions: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Partitions of the topics segments and clips, when they are made in Kafka: "
        "how many analyse processes can share the work.",
    )
    kafka_username: str | None = Field(default=None, description="User that Kafka knows.")
    kafka_password: SecretStr | None = Field(default=None, description="That user's password.")
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How the password is proved to Kafka (SASL)."
    )
    kafka_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the brokers' certificates. "
        "Default: those that the system trusts",
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Whether Kafka is spoken to over TLS, and with a password."
    )

    webhook_secret: SecretStr | None = Field(
        default=None,
        description="Secret that webhooks are signed with: whsec_ and the base64 of 24 to 64 "
        "bytes. Without it none is sent.",
    )
    webhook_private: bool = Field(
        default=False,
        description="Whether webhooks may lead to addresses that are not public, such as those "
        "of this machine and its network.",
    )

    mqtt_ca_file: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities that sign the certificates of MQTT brokers, or of "
        "these certificates themselves. Default: those that the system trusts",
    )

    alerts_keep_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="How many days an alert is kept after it was last told of.",
    )

    health: str | None = Field(
        default=None,
        description="Where a service tells its health and its measurements: HOST:PORT, such as "
        "127.0.0.1:9100, or [::1]:9100. Default: nowhere",
    )
    listen: str | None = Field(
        default=None,
        description="Where the HTTP API listens: HOST:PORT. Default: 127.0.0.1:8080 with "
        "`longwatch run api`, nowhere with `longwatch up`",
    )
    cors_origins: str | None = Field(
        default=None,
        description="Origins whose pages may use the HTTP API from a browser: "
        "https://HOST, with commas between several. Default: none",
    )
    log: LogFormat = Field(
        default=LogFormat.TEXT,
        description="How a service logs: text, or json for one JSON object a line.",
    )

    @field_validator("model_url")
    @classmethod
    def _must_name_servers(cls, url: str | None) -> str | None:
        if not url:
            return None
        model_address_of(url)
        return url

    @field_validator("redis")
    @classmethod
    def _must_name_a_server(cls, redis: SecretStr | None) -> SecretStr | None:
        if redis is not None and not redis.get_secret_value().startswith(REDIS_SCHEMES):
            raise ValueError("it must begin with redis://, rediss:// or unix://")
        return redis

    @field_validator("secret_key")
    @classmethod
    def _must_be_keys(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None or not key.get_secret_value():
            return None
        keys_of(key.get_secret_value())
        return key

    @field_validator("webhook_secret")
    @classmethod
    def _must_be_a_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            secret_of(secret.get_secret_value())
        return secret

    @field_validator("file_roots")
    @classmethod
    def _must_be_whole_paths(cls, roots: str | None) -> str | None:
        if not roots:
            return None
        if not all(root.startswith("/") for root in roots.split(":")):
            raise ValueError("each must be a path that begins with /")
        return roots

    @field_validator("kafka")
    @classmethod
    def _must_name_brokers(cls, kafka: str | None) -> str | None:
        if kafka is not None and not KAFKA_SERVERS.fullmatch(kafka):
            raise ValueError("it must be HOST:PORT, with commas between several")
        return kafka

    @field_validator("kafka_security")
    @classmethod
    def _must_have_what_it_needs(cls, security: str, info: ValidationInfo) -> str:
        if security.startswith("SASL"):
            for field in ("kafka_username", "kafka_password"):
                if info.data.get(field) is None:
                    raise ValueError(f"{security} needs LONGWATCH_{field.upper()} too")
        return security

    @field_validator("cors_origins")
    @classmethod
    def _must_name_origins(cls, origins: str | None) -> str | None:
        if origins is not None and not ORIGINS.fullmatch(origins):
            raise ValueError("it must be https://HOST or http://HOST:PORT, with commas between")
        return origins

    @field_validator("health", "listen")
    @classmethod
    def _must_be_an_address(cls, address: str | None) -> str | None:
        if address is not None:
            address_of(address)
        return address

    @property
    def model_address(self) -> ModelAddress | None:
        return model_address_of(self.model_url) if self.model_url else None

    @property
    def health_address(self) -> tuple[str, int] | None:
        return address_of(self.health) if self.health else None

    @property
    def listen_address(self) -> tuple[str, int] | None:
        return address_of(self.listen) if self.listen else None

    @property
    def bus_path(self) -> Path:
        return self.data / "bus.sqlite"

    @property
    def record_path(self) -> Path:
        return self.data / "record.sqlite"

    @property
    def index_path(self) -> Path:
        return self.data / "index"

    @property
    def lock_path(self) -> Path:
        return self.data / "lock"

    def lock_path_of(self, service: str) -> Path:
        """The lock of a service that runs in a process of its own."""
        return self.data / f"lock.{service}"

    @property
    def promotions_path(self) -> Path:
        return self.data / "model.json"

    @property
    def models_path(self) -> Path:
        return self.data / "models"

    @property
    def socket_path(self) -> Path:
        return self.data / "socket"

    @property
    def credentials_path(self) -> Path:
        return self.data / "credentials"

    @property
    def secret_key_path(self) -> Path:
        """Where the key is kept that the settings do not hold."""
        return self.secret_key_file or self.data / "secret.key"

    @property
    def allowed_roots(self) -> tuple[Path, ...] | None:
        """Below which files may be watched, what was uploaded among them; None: any."""
        if self.file_roots is None:
            return None
        return (*map(Path, self.file_roots.split(":")), self.uploads_path)

    @property
    def uploads_path(self) -> Path:
        return self.data / "uploads"

    @property
    def keys_path(self) -> Path:
        return self.data / "keys.json"

    @property
    def redis_url(self) -> str | None:
        """With its password: for connecting, never for showing."""
        return self.redis.get_secret_value() if self.redis else None

    @property
    def footage(self) -> str:
        return self.footage_url or str(self.data / "footage")

    @property
    def tokens(self) -> str:
        return self.tokens_url or str(self.data / "tokens")


class Telemetry(BaseSettings):
    """Whether spans shall be recorded, as OpenTelemetry's own variables say.

    All else that they say is read by OpenTelemetry's SDK.
    """

    model_config = SettingsConfigDict(env_prefix="OTEL_", frozen=True, extra="forbid")

    exporter_otlp_endpoint: str = ""
    exporter_otlp_traces_endpoint: str = ""
    traces_exporter: str = "otlp"
    sdk_disabled: str = "false"

    @property
    def is_wanted(self) -> bool:
        if self.sdk_disabled.strip().lower() == "true" or self.traces_exporter == "none":
            return False
        return bool(self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint)


def load_telemetry() -> Telemetry:
    return Telemetry()


def load_settings(**overrules: Any) -> Settings:
    """Read the environment; an overrule that is None is none.

    Raises:
        SettingsError: a value that cannot be used, by the name of its variable.
    """
    given = {field: value for field, value in overrules.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        name = f"LONGWATCH_{field.upper()}"
        raise SettingsError(f"{name} cannot be used: {first['msg']}") from error
