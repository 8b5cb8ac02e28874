"""Merges overrides into a pod template, the way kubectl merges a strategic merge patch.

Objects merge key by key, null removes a key, lists of named items merge by their name ("$patch: delete" removes one),
and every other list is replaced.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from typing import Any

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "claims": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
_ADDED = {"tolerations"}


def merged(base: Any, patch: Any, *, field: str = "") -> Any:
    """`base` with `patch` merged over it; neither is changed.

    Args:
        base: The generated value.
        patch: The overrides.
        field: The name of the field that holds both.
    """
    if isinstance(base, dict) and isinstance(patch, dict):
        result = dict(base)
        for key, value in patch.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merged(base[key], value, field=key) if key in base else value
        return result
    if isinstance(base, list) and isinstance(patch, list):
        if field in _ADDED:
            return base + [each for each in patch if each not in base]
        if key := _KEYS.get(field):
            return _merged_by(key, base, patch)
    return patch


def _merged_by(key: str, base: list[dict[str, Any]], patch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    result = {each.get(key): each for each in base}
    for each in patch:
        name = each.get(key)
        if each.get("$patch") == "delete":
            result.pop(name, None)
        else:
            result[name] = merged(result[name], each) if name in result else each
    return list(result.values())
