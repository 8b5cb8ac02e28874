"""The parts of the custom resources: objects with camelCase fields, descriptions and CEL rules.

The API server enforces the rules, so that `kubectl apply` refuses bad input. The operator reads what the API server has
accepted, and ignores fields that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from voiceplane_common.kube.labels import Requirement, matches

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule of an object, and the message of the API server if it is violated.

    Attributes:
        rule: CEL over `self` (and `oldSelf`).
        message: Names the field and the remedy.
    """

    rule: str
    message: str


class Described(BaseModel):
    """An object of a custom resource. `kubectl explain` shows the docstrings of its fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        extra="ignore",
        frozen=True,
        protected_namespaces=(),
    )
    rules: ClassVar[tuple[Rule, ...]] = ()


def ruled(rule: str, message: str) -> dict[str, Any]:
    """A CEL rule of one field, for Field(json_schema_extra=…)."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message}]}


# Free-form objects that the API server does not prune.
OpenObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
# An RFC 3339 time.
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
# A Kubernetes quantity, such as 1500Mi.
Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "x-kubernetes-validations": [
                {
                    "rule": "type(self) == string ? isQuantity(self) && quantity(self).isGreaterThan(quantity('0')) "
                    ": self > 0",
                    "message": "must be a positive quantity, such as 1500Mi or 2Gi of memory, or 500m of cpu",
                }
            ],
        }
    ),
]
ShortText = Annotated[str, Field(max_length=253)]
Name = Annotated[
    str,
    Field(
        max_length=253,
        json_schema_extra=ruled(
            "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
            "must be a name of lower-case letters, digits, '-' and '.', such as my-secret",
        ),
    ),
]


class Condition(Described):
    """A status condition."""

    type: Annotated[str, Field(max_length=316)]
    """The condition's type, such as Ready."""
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=1024)]
    """A machine-readable reason in CamelCase."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """What happened and what to do."""
    last_transition_time: Timestamp
    """When the status last changed."""
    observed_generation: int = 0
    """The generation of the spec that the condition is about."""


class LabelSelectorRequirement(Described):
    """One requirement of a label selector."""

    rules = (
        Rule(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : "
            "!has(self.values) || size(self.values) == 0",
            "values must name at least one value for In and NotIn, and none for Exists and DoesNotExist",
        ),
    )

    key: ShortText
    """The label."""
    operator: Annotated[str, Field(json_schema_extra={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]})]
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=32)] = ()
    """The values of In and NotIn."""


class LabelSelector(Described):
    """Selects objects by their labels. An empty one selects all."""

    match_labels: Annotated[dict[str, str], Field(max_length=32)] = {}
    """Labels that must have these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=32)] = ()
    """Further requirements; all must hold."""

    @property
    def selects_all(self) -> bool:
        """Whether it has no requirement."""
        return not self.match_labels and not self.match_expressions

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        requirements = (Requirement(each.key, each.operator, each.values) for each in self.match_expressions)
        return matches(labels, equal=self.match_labels, requirements=requirements)


class LocalReference(Described):
    """References an object of the same namespace."""

    name: Name
    """The object's name."""
