"""Cuts a VITS voice's ONNX graph into text encoder, flow and decoder, found by structure.

A VITS graph (Kim et al., 2021, https://arxiv.org/abs/2106.06103) samples a prior from the text, bends it with a
normalizing flow and decodes it with HiFi-GAN (Kong et al., 2020, https://arxiv.org/abs/2010.05646). Flow and decoder
are convolutions only: a window of latents with enough context on both sides gives the same samples as the whole. How
much is enough follows from the kernels. Exported tensor names differ between versions, so nothing here depends on them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import onnx
from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class CannotSplitError(Exception):
    """The graph does not have the structure that a split needs; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of the graph.

    Attributes:
        model: The serialized ONNX model.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        context: Latents on each side of a window that its result depends on; 0 for the encoder, which is not windowed.
    """

    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    context: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitGraph:
    """The three parts.

    Attributes:
        encoder: Phoneme ids to the sampled prior, and to whatever else the other two need.
        flow: The sampled prior to the decoder's latents.
        decoder: Latents to samples.
        prior: Name of the sampled prior, shape (1, channels, latents).
        latents: Name of the decoder's input, same shape.
    """

    encoder: Stage
    flow: Stage
    decoder: Stage
    prior: str
    latents: str


def split(model: onnx.ModelProto) -> SplitGraph:
    """Cut a voice at its sampled prior and at its decoder's first convolution.

    Raises:
        CannotSplitError: It is not a VITS graph, or one of an unknown structure.
    """
    graph = _Graph(model)
    if len(model.graph.output) != 1:
        raise CannotSplitError("it has more than one output")
    audio = model.graph.output[0].name
    prior = _sampled_prior(graph)
    latents = _decoder_input(graph, audio=audio, prior=prior)

    flow_nodes = graph.between(prior, latents)
    decoder_nodes = graph.between(latents, audio)
    flow_inputs = graph.boundary(flow_nodes)
    decoder_inputs = graph.boundary(decoder_nodes)
    after_prior = {name for index in graph.descendants(prior) for name in graph.nodes[index].output}
    if leaking := (flow_inputs | decoder_inputs - {latents}) & after_prior:
        raise CannotSplitError(f"{sorted(leaking)} bypass the flow")

    wanted = flow_inputs | decoder_inputs - {latents}
    sources = {entry.name for entry in model.graph.input}
    encoder_outputs = wanted - sources
    encoder_nodes = set().union(*(graph.ancestors(name) for name in encoder_outputs))
    return SplitGraph(
        encoder=graph.extract(encoder_nodes, inputs=graph.boundary(encoder_nodes), outputs=encoder_outputs),
        flow=graph.extract(flow_nodes, inputs=flow_inputs, outputs={latents}, context=graph.context(flow_nodes, prior)),
        decoder=graph.extract(
            decoder_nodes, inputs=decoder_inputs, outputs={audio}, context=graph.context(decoder_nodes, latents)
        ),
        prior=prior,
        latents=latents,
    )


def _sampled_prior(graph: _Graph) -> str:
    """The sum of the prior's mean and its scaled noise.

    The duration predictor draws noise too, but its noise decides how many latents there are, so the prior's noise
    comes after it: it is the draw that no other draw depends on.
    """
    draws = [index for index, node in enumerate(graph.nodes) if node.op_type == "RandomNormalLike"]
    last = [index for index in draws if not graph.descendants(graph.nodes[index].output[0]) & set(draws)]
    if len(last) != 1:
        raise CannotSplitError(f"{len(last)} draws of noise have no other draw after them, where one was expected")
    tensor: str = graph.nodes[last[0]].output[0]
    while True:
        consumers = graph.consumers.get(tensor, [])
        if len(consumers) != 1 or graph.nodes[consumers[0]].op_type not in {"Mul", "Add"}:
            raise CannotSplitError("the last draw of noise is not scaled and added to a mean")
        node = graph.nodes[consumers[0]]
        tensor = node.output[0]
        if node.op_type == "Add":
            return tensor


def _decoder_input(graph: _Graph, *, audio: str, prior: str) -> str:
    """What enters the convolution before the first upsampling; it is the decoder's only way in for the latents."""
    after_prior = graph.descendants(prior)
    upsamplers = [index for index in sorted(after_prior) if graph.nodes[index].op_type == "ConvTranspose"]
    if not upsamplers:
        raise CannotSplitError("there is no upsampling after the sampled prior")
    tensor = graph.nodes[upsamplers[0]].input[0]
    while True:
        index = graph.producer.get(tensor)
        if index is None or index not in after_prior:
            raise CannotSplitError("no convolution stands between the sampled prior and the first upsampling")
        node = graph.nodes[index]
        # A speaker's embedding may be added here: the latents' branch is the one that comes from the prior.
        branches = [name for name in node.input if name == prior or graph.producer.get(name) in after_prior]
        if len(branches) != 1:
            raise CannotSplitError("the latents enter the decoder by more than one way")
        tensor = branches[0]
        if node.op_type == "Conv":
            break
    if tensor == prior or graph.producer[audio] not in graph.descendants(tensor):
        raise CannotSplitError("there is no flow between the sampled prior and the decoder")
    return tensor


class _Graph:
    """Who makes and who uses each tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.nodes = list(model.graph.node)
        self.producer = {name: index for index, node in enumerate(self.nodes) for name in node.output if name}
        self._inputs = [tuple(_all_inputs(node)) for node in self.nodes]
        self.consumers: dict[str, list[int]] = {}
        for index, names in enumerate(self._inputs):
            for name in names:
                self.consumers.setdefault(name, []).append(index)
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._types = {entry.name: entry.type.tensor_type.elem_type for entry in self._declared()}
        self._constant = self._find_constants()

    def descendants(self, tensor: str) -> set[int]:
        """Nodes that depend on a tensor."""
        found: set[int] = set()
        pending = list(self.consumers.get(tensor, []))
        while pending:
            index = pending.pop()
            if index not in found:
                found.add(index)
                pending.extend(user for name in self.nodes[index].output for user in self.consumers.get(name, []))
        return found

    def ancestors(self, tensor: str) -> set[int]:
        """Nodes that a tensor depends on."""
        found: set[int] = set()
        pending = [tensor]
        while pending:
            index = self.producer.get(pending.pop())
            if index is not None and index not in found:
                found.add(index)
                pending.extend(self._inputs[index])
        return found

    def between(self, start: str, end: str) -> set[int]:
        """Nodes on a way from one tensor to another, and the constants that they use."""
        nodes = self.descendants(start) & self.ancestors(end)
        constants = (self.ancestors(name) for index in nodes for name in self._inputs[index] if name in self._constant)
        return nodes.union(*constants)

    def boundary(self, nodes: set[int]) -> set[str]:
        """Tensors that nodes use and that are neither made by them nor weights."""
        made = {name for index in nodes for name in self.nodes[index].output}
        used = {name for index in nodes for name in self._inputs[index]}
        return used - made - self._initializers.keys()

    def extract(self, nodes: set[int], *, inputs: set[str], outputs: set[str], context: int = 0) -> Stage:
        """Make a model of some of the nodes."""
        chosen = [self.nodes[index] for index in sorted(nodes)]
        used = {name for index in nodes for name in self._inputs[index]}
        part = helper.make_graph(
            chosen,
            "part",
            [helper.make_tensor_value_info(name, self._type(name), None) for name in sorted(inputs)],
            [helper.make_tensor_value_info(name, self._type(name), None) for name in sorted(outputs)],
            [tensor for name, tensor in self._initializers.items() if name in used],
            # With the shapes known, onnxruntime optimizes a part as it does the whole, and gives the same bits.
            value_info=[entry for entry in self._model.graph.value_info if entry.name in used - inputs - outputs],
        )
        model = helper.make_model(
            part, opset_imports=self._model.opset_import, ir_version=self._model.ir_version, functions=[]
        )
        return Stage(
            model=model.SerializeToString(),
            inputs=tuple(sorted(inputs)),
            outputs=tuple(sorted(outputs)),
            context=context,
        )

    def context(self, nodes: set[int], start: str) -> int:
        """Latents on each side that convolutions reach over: the longest way through the nodes, rounded up."""
        reach: dict[str, tuple[Fraction, int]] = {start: (Fraction(0), 1)}
        for index in sorted(nodes):
            node = self.nodes[index]
            known = [reach[name] for name in self._inputs[index] if name in reach]
            if not known:
                continue
            span, rate = max(entry[0] for entry in known), max(entry[1] for entry in known)
            if node.op_type in {"Conv", "ConvTranspose"}:
                samples, stride = self._span(node)
                rate *= stride
                span += Fraction(samples, rate)
            for name in node.output:
                reach[name] = (span, rate)
        return math.ceil(max(span for span, _ in reach.values()))

    def _span(self, node: onnx.NodeProto) -> tuple[int, int]:
        """How far a convolution reaches to its longer side, in output samples, and its upsampling factor."""
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        weight = self._initializers.get(node.input[1])
        if weight is None or len(weight.dims) != 3:
            raise CannotSplitError(f"convolution {node.name!r} has no fixed one-dimensional kernel")
        stride = attributes.get("strides", [1])[0]
        if node.op_type == "Conv" and stride != 1:
            raise CannotSplitError(f"convolution {node.name!r} downsamples")
        reach = (weight.dims[2] - 1) * attributes.get("dilations", [1])[0]
        before = attributes.get("pads", [0, 0])[0]
        return max(before, reach - before), stride

    def _find_constants(self) -> set[str]:
        """Tensors that are the same in every run."""
        constant = set(self._initializers)
        for index, node in enumerate(self.nodes):
            if not node.op_type.startswith("Random") and all(name in constant for name in self._inputs[index]):
                constant.update(node.output)
        return constant

    def _declared(self) -> Iterable[onnx.ValueInfoProto]:
        graph = self._model.graph
        return (*graph.input, *graph.output, *graph.value_info)

    def _type(self, name: str) -> int:
        if name not in self._types:
            inferred = onnx.shape_inference.infer_shapes(self._model).graph.value_info
            self._types.update({entry.name: entry.type.tensor_type.elem_type for entry in inferred})
        if not self._types.get(name):
            raise CannotSplitError(f"the type of tensor {name!r} is unknown")
        return self._types[name]


def _all_inputs(node: onnx.NodeProto) -> Iterator[str]:
    """A node's inputs, with those that the bodies of an If or a Loop take from outside."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            made = {name for inner in attribute.g.node for name in inner.output}
            made.update(entry.name for entry in attribute.g.input)
            made.update(tensor.name for tensor in attribute.g.initializer)
            yield from (name for inner in attribute.g.node for name in _all_inputs(inner) if name not in made)
