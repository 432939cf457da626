"""Predicting on a CPU: the same networks, run by Paddle's inference engine.

Called from Python, Paddle computes layer by layer. Its inference engine sees a network
whole: it folds normalizations into the convolutions before them, keeps the data in the
order that the processor likes, and hands convolutions to oneDNN, whose code is made for
the processor at hand. Only who computes changes: what is compiled is the model's own
``forward``, and everything between the networks (anchors, proposals, RoIAlign, non-maximum
suppression) runs as it always does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paddle
import paddle.inference
from paddle import Tensor, nn
from paddle.static import InputSpec

from maskrcnn_edu.model.backbone import ResNet
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.neck import FPN
from maskrcnn_edu.model.ops.empty import is_empty
from maskrcnn_edu.model.rpn.head import RPNFeat
from maskrcnn_edu.system.cpu import num_threads

Maps = Tensor | list[Tensor]


MIN_WEIGHTS_TIMES_IMAGES = 40_000_000
"""From here on the networks are compiled: from the first image for ResNet-50, from some thirty on
for the course's model. docs/speed.md says how long that takes, and when it is repaid."""


@contextmanager
def use_onednn(model: MaskRCNN, num_images: int) -> Iterator[None]:
    """Within the block the model's networks run compiled, where that is possible and pays.

    It is possible with Paddle 3 on a CPU. Every network is compiled when it is first used;
    then it has a copy of its weights: do not train within the block. A call that wants
    gradients is not compiled.

    Args:
        model: in prediction mode (``model.eval()``).
        num_images: how many will be predicted.
    """
    weights = sum(parameter.size for parameter in model.parameters())
    pays = weights * num_images >= MIN_WEIGHTS_TIMES_IMAGES
    networks = _networks(model) if pays and onednn_available() else []
    for network in networks:
        network.forward = _OneDNNForward(network)
    try:
        yield
    finally:
        for network in networks:
            del network.forward  # the class's own is seen again


def onednn_available() -> bool:
    """Whether Paddle computes on a CPU here, and has the engine's oneDNN."""
    return (
        paddle.get_device() == "cpu"
        and not paddle.__version__.startswith("2.")
        and paddle.base.core.is_compiled_with_onednn()
    )


def _networks(model: MaskRCNN) -> list[nn.Layer]:
    """Those parts of a model that gain: 3x3 convolutions, and what stands between them.

    `TwoFCHead`, the last layers and a mask head that only doubles the size (C4's) are plain
    products, which are as fast without.
    """
    parts = (
        model.backbone,
        model.neck,
        model.rpn_head.rpn_feat,
        model.bbox_head.head,
        model.mask_head.head,
    )
    return [part for part in parts if part is not None and _has_3x3(part)]


def _has_3x3(part: nn.Layer) -> bool:
    return any(weight.shape[2:] == [3, 3] for weight in part.parameters())


class _OneDNNForward:
    """Takes the place of a network's ``forward``."""

    def __init__(self, network: nn.Layer):
        self.plain = _ClassForward(network)
        self.engine: Callable[[list[Tensor]], list[Tensor]] | None = None
        self.of_images = isinstance(network, (ResNet, FPN, RPNFeat))  # and answers with a list

    def __call__(self, inputs: Maps) -> Maps:
        flat = inputs if isinstance(inputs, list) else [inputs]
        learning = self.plain.network.training or paddle.is_grad_enabled()
        if learning or is_empty(flat[0]):  # the engine wants at least one
            return self.plain(inputs)
        if self.engine is None:
            self.engine = self._compile(inputs)
        outputs = self.engine(flat)
        return outputs if self.of_images else outputs[0]

    def _compile(self, inputs: Maps) -> Callable[[list[Tensor]], list[Tensor]]:
        if isinstance(inputs, list):
            spec = [[self._any_size(x) for x in inputs]]
        else:
            spec = [self._any_size(inputs)]
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "network"
            paddle.jit.save(self.plain, str(program), input_spec=spec)
            config = paddle.inference.Config(f"{program}.json", f"{program}.pdiparams")
            config.disable_gpu()
            config.disable_glog_info()
            config.enable_new_ir(True)
            config.enable_new_executor(True)
            config.enable_mkldnn()  # oneDNN's name in former years
            config.set_cpu_math_library_num_threads(num_threads())
            return paddle.inference.create_predictor(config).run

    def _any_size(self, x: Tensor) -> InputSpec:
        """Any number of images of any size; any number of RoIs, which have one size."""
        size = [None, None] if self.of_images else x.shape[2:]
        return InputSpec([None, x.shape[1], *size], x.dtype)


class _ClassForward(nn.Layer):
    """A network as its class has it, whatever stands in its place at the moment."""

    def __init__(self, network: nn.Layer):
        super().__init__()
        self.network = network

    def forward(self, inputs: Maps) -> Maps:
        return type(self.network).forward(self.network, inputs)
