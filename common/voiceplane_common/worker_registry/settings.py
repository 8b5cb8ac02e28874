"""Which Redis, and how to get in; workers and orchestrators share these settings."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, model_validator

from voiceplane_common.addresses import MAX_PORT
from voiceplane_common.settings import Section

REDIS_PORT = 6379
SENTINEL_PORT = 26_379
SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTarget:
    """What a URL means.

    Attributes:
        hosts: Names or addresses with ports: of Redis servers, of which one is the primary, or of Sentinels.
        tls: Whether connections are encrypted.
        service: What the Sentinels call the primary; empty if the hosts are Redis servers.
        database: Its number.
        username: Empty for Redis' default user.
    """

    hosts: tuple[tuple[str, int], ...]
    tls: bool = False
    service: str = ""
    database: int = 0
    username: str = ""


def parse_url(url: str) -> RedisTarget:
    """Read redis://host:port/database, with several hosts between commas, or redis+sentinel://host:port/service.

    Raises:
        ValueError: It says what is wrong, without the URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"redis.url must begin with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    if "@" in parts.netloc and ":" in parts.netloc.rpartition("@")[0]:
        raise ValueError("redis.url holds a password: put it in redis.password or in a file named by password_file")
    username, _, places = parts.netloc.rpartition("@")
    by_sentinel = parts.scheme.endswith("+sentinel")
    path = unquote(parts.path.strip("/"))
    if by_sentinel and not path:
        raise ValueError("redis.url names no service: write redis+sentinel://host:26379/SERVICE, as the Sentinels do")
    if not by_sentinel and path and not path.isdecimal():
        raise ValueError("redis.url must end with the number of a database, such as redis://10.0.0.2:6379/0")
    return RedisTarget(
        hosts=tuple(_place(each, SENTINEL_PORT if by_sentinel else REDIS_PORT) for each in places.split(",")),
        tls=parts.scheme.startswith("rediss"),
        service=path if by_sentinel else "",
        database=0 if by_sentinel else int(path or 0),
        username=unquote(username),
    )


def _place(text: str, default_port: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, str(default_port)
    if not host or not port.isdecimal() or int(port) > MAX_PORT:
        raise ValueError("redis.url must name a host and a port, such as redis://10.0.0.2:6379")
    return host.strip("[]"), int(port)


class RedisSection(Section):
    """The Redis where workers register.

    Attributes:
        url: redis://HOST:PORT/DATABASE, rediss:// for TLS, redis+sentinel://HOST:PORT/SERVICE for Sentinels; several
            hosts with commas between them. Empty for none.
        password: Its password, or that of the user in the URL.
        password_file: A file that holds it; read at each connection.
        ca_file: Certificates to trust with rediss://; None for the system's.
        prefix: What its keys begin with. Those who share a prefix share workers.
    """

    url: str = ""
    password: SecretStr = SecretStr("")
    password_file: str | None = None
    ca_file: str | None = None
    prefix: str = Field(default="voiceplane", pattern=r"^[A-Za-z0-9_.:{}-]{1,64}$")

    @property
    def target(self) -> RedisTarget:
        """What the URL means."""
        return parse_url(self.url)

    @model_validator(mode="after")
    def _can_be_reached(self) -> RedisSection:
        if self.url:
            parse_url(self.url)
        if self.password.get_secret_value() and self.password_file is not None:
            raise ValueError("redis.password and redis.password_file are both given: remove one")
        return self
