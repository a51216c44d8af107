"""Operations of a functional model: what they are, and what varies in them.

Keras has no public way to ask an operation what it computes: its class is
private, and is known here by its name.
"""

import keras

from keras_sgt.introspection.layers import between_layers, is_of_keras

# Linear, whatever their arguments.
_LINEAR = {
    *("Add", "Average", "Subtract", "Negative", "Sum", "Mean", "Cumsum"),
    *("Concatenate", "Stack", "Unstack", "Split", "Hstack", "Vstack", "Append"),
    *("Reshape", "Ravel", "Transpose", "Swapaxes", "Moveaxis", "Squeeze"),
    *("ExpandDims", "GetItem", "Slice", "BroadcastTo", "Repeat", "Tile"),
    *("Cast", "Copy", "ConvertToTensor", "Flip", "Roll", "Pad"),
    *("Diff", "Trace", "Diagonal", "Tril", "Triu", "Rot90", "AveragePool"),
}
# Linear in one argument where the others are constant.
_LINEAR_IN_ONE = {
    *("Multiply", "Matmul", "Einsum", "Dot", "Tensordot", "Inner", "Outer"),
    *("Conv", "DepthwiseConv", "SeparableConv", "ConvTranspose", "Take"),
}
# Of each number by itself, where all other arguments are constant.
_ELEMENTWISE = {
    *("Relu", "ReLU", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu"),
    *("Silu", "Mish", "Sigmoid", "HardSigmoid", "HardSilu", "SparseSigmoid"),
    *("LogSigmoid", "Softplus", "Softsign", "SparsePlus", "Squareplus"),
    *("Tanh", "HardTanh", "TanhShrink", "SoftShrink", "HardShrink"),
    *("Threshold", "Abs", "Absolute", "Clip", "Maximum", "Minimum", "Sign"),
    *("Exp", "Exp2", "Expm1", "Log", "Log1p", "Log2", "Log10", "Sqrt"),
    *("Rsqrt", "Square", "Reciprocal", "Power", "Divide", "TrueDivide"),
    *("Sin", "Cos", "Tan", "Sinh", "Cosh", "Arctan", "Arcsinh", "Erf"),
}
_MAXIMUM = {"MaxPool", "AdaptiveMaxPool", "Max", "Amax"}

ELEMENTWISE, MAXIMUM, SOFTMAX = "elementwise", "maximum", "softmax"
LINEAR, OTHER = "linear", "other"


def all_between_layers(models):
    """What runs between the layers of functional models, each once."""
    found = {
        id(operation): operation
        for model in models
        if isinstance(model, keras.Model)
        for operation in between_layers(model) or ()
    }
    return [*found.values()]


def kind(operation):
    """What an operation computes from what varies.

    Args:
        operation: `keras.Operation` of a functional model.

    Returns:
        `ELEMENTWISE`, `MAXIMUM`, `SOFTMAX`, `LINEAR`, or `OTHER`.
    """
    name = type(operation).__name__
    if not is_of_keras(type(operation)):
        return OTHER
    if name in _LINEAR:
        return LINEAR
    if variable_argument(operation) is None:
        return OTHER
    if name in _LINEAR_IN_ONE:
        return LINEAR
    if name in _ELEMENTWISE:
        return ELEMENTWISE
    if name in _MAXIMUM:
        return MAXIMUM
    if name == "Softmax" and operation.axis is not None:
        return SOFTMAX
    return OTHER


def variable_argument(operation):
    """Which argument of an operation depends on the model's inputs.

    Private in Keras: the public `input` gives the tensors, but not the
    arguments that they are.

    Args:
        operation: `keras.Operation` of a functional model.

    Returns:
        int, the position, or str, the name; `None` if there is not just one.
    """
    nodes = operation._inbound_nodes
    if len(nodes) != 1:
        return None
    arguments = nodes[0].arguments
    named = [*enumerate(arguments.args), *arguments.kwargs.items()]
    varying = [
        name for name, value in named if isinstance(value, keras.KerasTensor)
    ]
    inside = keras.tree.flatten((arguments.args, arguments.kwargs))
    count = sum(isinstance(value, keras.KerasTensor) for value in inside)
    return varying[0] if count == len(varying) == 1 else None
