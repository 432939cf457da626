"""The quick convolutions compute what Paddle's do, and keep its names."""

import numpy as np
import paddle
import pytest
from paddle import nn

from maskrcnn_edu.model.ops.conv import Conv2D, Conv2DTranspose

CASES = [
    (Conv2D, nn.Conv2D, {"kernel_size": 3, "padding": 1}),
    (Conv2D, nn.Conv2D, {"kernel_size": 3, "padding": 1, "stride": 2}),
    (Conv2D, nn.Conv2D, {"kernel_size": 1}),
    (Conv2DTranspose, nn.Conv2DTranspose, {"kernel_size": 2, "stride": 2}),
]


@pytest.mark.parametrize(("quick", "plain", "options"), CASES)
def test_the_same_values_and_gradients(quick, plain, options):
    one, two = quick(3, 4, **options), plain(3, 4, **options)
    one.bias.set_value(np.arange(4, dtype=np.float32))
    two.set_state_dict(one.state_dict())
    assert list(one.state_dict()) == list(two.state_dict()) == ["weight", "bias"]
    x = paddle.randn([2, 3, 6, 6])
    made, expected = one(x), two(x)
    np.testing.assert_allclose(made.numpy(), expected.numpy(), atol=1e-5)
    for out in (made, expected):
        (out * out).sum().backward()
    np.testing.assert_allclose(one.bias.grad.numpy(), two.bias.grad.numpy(), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        one.weight.grad.numpy(), two.weight.grad.numpy(), rtol=1e-4, atol=1e-3
    )
