"""Which Redis: URLs and passwords."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from voiceplane_common.worker_registry.settings import RedisSection, RedisTarget, parse_url


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://10.0.0.2", RedisTarget(hosts=(("10.0.0.2", 6379),))),
        ("redis://10.0.0.2:6380/3", RedisTarget(hosts=(("10.0.0.2", 6380),), database=3)),
        ("redis://voice@[fd00::2]:6380", RedisTarget(hosts=(("fd00::2", 6380),), username="voice")),
        ("redis://[fd00::2]", RedisTarget(hosts=(("fd00::2", 6379),))),
        ("rediss://a,b:6380", RedisTarget(hosts=(("a", 6379), ("b", 6380)), tls=True)),
        ("redis+sentinel://a,b/main", RedisTarget(hosts=(("a", 26_379), ("b", 26_379)), service="main")),
        ("rediss+sentinel://a:1/main", RedisTarget(hosts=(("a", 1),), service="main", tls=True)),
    ],
)
def test_a_url_is_understood(url: str, target: RedisTarget) -> None:
    assert parse_url(url) == target


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"url": "10.0.0.2:6379"}, "must begin with one of redis://"),
        ({"url": "redis://"}, "must name a host and a port"),
        ({"url": "redis://a:http"}, "must name a host and a port"),
        ({"url": "redis://a,,b"}, "must name a host and a port"),
        ({"url": "redis://a/voice"}, "the number of a database"),
        ({"url": "redis+sentinel://a"}, "names no service"),
        ({"url": "redis://:hush@a"}, "put it in redis.password"),
        ({"password": "hush", "password_file": "/run/secrets/redis"}, "remove one"),
        ({"prefix": "a b"}, "String should match pattern"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(values: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RedisSection.model_validate(values)
    assert remedy in str(caught.value)
