"""Optimizers that MLX lacks, or has without an option of torch's. Each update is that of torch's
documentation, one parameter at a time; ``step`` counts from 1."""

import math

import mlx.core as mx
import mlx.optimizers as optim

__all__ = ["ASGD", "AdadeltaWithOptions", "AdafactorWithOptions", "AdagradWithOptions", "AdamWithOptions",
           "AdamaxWithBiasCorrection", "MuonWithDecoupledDecay", "NAdam", "RAdam", "RMSpropWithOptions", "Rprop",
           "SGDWithOptions", "TorchStyleOptimizer"]


class TorchStyleOptimizer(optim.Optimizer):
    """Weight decay, as part of the gradient or decoupled from it, and maximising, before the update itself."""

    def __init__(self, learning_rate, weight_decay=0.0, maximize=False, decoupled=False):
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.weight_decay, self.maximize, self.decoupled = weight_decay, maximize, decoupled

    def apply_single(self, gradient, parameter, state):
        lr = self.learning_rate.astype(gradient.dtype)
        gradient = -gradient if self.maximize else gradient
        if self.decoupled:
            parameter = parameter * (1 - lr * self.weight_decay)
        elif self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        return self.moved(parameter, gradient, state, lr, self.step.astype(mx.float32))

    def moved(self, parameter, gradient, state, lr, step):
        """The parameter after one update."""
        raise NotImplementedError


class SGDWithOptions(TorchStyleOptimizer):
    """SGD whose first momentum is the gradient itself, whatever the dampening."""

    def __init__(self, learning_rate, momentum=0.0, dampening=0.0, nesterov=False, **options):
        super().__init__(learning_rate, **options)
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov

    def init_single(self, parameter, state):
        state["v"] = mx.zeros_like(parameter)

    def moved(self, parameter, gradient, state, lr, step):
        if self.momentum:
            damped = self.momentum * state["v"] + (1 - self.dampening) * gradient
            state["v"] = mx.where(step == 1, gradient, damped)
            gradient = gradient + self.momentum * state["v"] if self.nesterov else state["v"]
        return parameter - lr * gradient


class AdamWithOptions(TorchStyleOptimizer):
    """Adam with L2 or decoupled weight decay, and AMSGrad."""

    def __init__(self, learning_rate, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, **options):
        super().__init__(learning_rate, **options)
        self.betas, self.eps, self.amsgrad = betas, eps, amsgrad

    def init_single(self, parameter, state):
        for name in ("m", "v", "largest") if self.amsgrad else ("m", "v"):
            state[name] = mx.zeros_like(parameter)

    def moments(self, gradient, state):
        b1, b2 = self.betas
        state["m"] = b1 * state["m"] + (1 - b1) * gradient
        state["v"] = b2 * state["v"] + (1 - b2) * mx.square(gradient)
        return state["m"], state["v"]

    def moved(self, parameter, gradient, state, lr, step):
        m, v = self.moments(gradient, state)
        if self.amsgrad:
            v = state["largest"] = mx.maximum(state["largest"], v)
        b1, b2 = self.betas
        denominator = mx.sqrt(v) / mx.sqrt(1 - b2**step).astype(v.dtype) + self.eps
        return parameter - (lr / (1 - b1**step).astype(v.dtype)) * m / denominator


class NAdam(AdamWithOptions):
    """Adam with Nesterov momentum (Dozat, 2016)."""

    def __init__(self, learning_rate, momentum_decay=4e-3, **options):
        super().__init__(learning_rate, **options)
        self.momentum_decay = momentum_decay

    def init_single(self, parameter, state):
        super().init_single(parameter, state)
        state["product"] = mx.array(1.0)

    def moved(self, parameter, gradient, state, lr, step):
        m, v = self.moments(gradient, state)
        b1, b2 = self.betas
        now = b1 * (1 - 0.5 * 0.96 ** (step * self.momentum_decay))
        following = b1 * (1 - 0.5 * 0.96 ** ((step + 1) * self.momentum_decay))
        product = state["product"] = state["product"] * now
        denominator = mx.sqrt(v / (1 - b2**step).astype(v.dtype)) + self.eps
        for_gradient = ((1 - now) / (1 - product)).astype(v.dtype)
        for_momentum = (following / (1 - product * following)).astype(v.dtype)
        return parameter - lr * (for_gradient * gradient + for_momentum * m) / denominator


class RAdam(AdamWithOptions):
    """Adam whose adaptive step waits until its variance can be trusted (Liu et al., 2020)."""

    def moved(self, parameter, gradient, state, lr, step):
        m, v = self.moments(gradient, state)
        b1, b2 = self.betas
        m = m / (1 - b1**step).astype(m.dtype)
        limit, rate = 2 / (1 - b2) - 1, -math.log(b2)
        # limit - 2 * step * b2**step / (1 - b2**step), without the difference of two large numbers
        x = step * rate
        share = mx.where(x < 0.3, x / 2 - x**2 / 12 + x**4 / 720, 1 - x / mx.expm1(x))
        length = limit - 2 / rate + 2 / rate * share
        trusted = mx.maximum(length, 5)  # below 5 the rectification is not used
        rectified = mx.sqrt((trusted - 4) * (trusted - 2) * limit / ((limit - 4) * (limit - 2) * trusted))
        adaptive = (rectified * mx.sqrt(1 - b2**step)).astype(v.dtype) / (mx.sqrt(v) + self.eps)
        return parameter - lr * m * mx.where(length > 5, adaptive, 1)


class AdamaxWithBiasCorrection(AdamWithOptions):
    """Adamax as in the paper: MLX's corrects no bias."""

    def moved(self, parameter, gradient, state, lr, step):
        b1, b2 = self.betas
        state["m"] = b1 * state["m"] + (1 - b1) * gradient
        state["v"] = mx.maximum(b2 * state["v"], mx.abs(gradient) + self.eps)
        return parameter - (lr / (1 - b1**step).astype(lr.dtype)) * state["m"] / state["v"]


class RMSpropWithOptions(TorchStyleOptimizer):
    """RMSprop with momentum, centring and weight decay."""

    def __init__(self, learning_rate, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, **options):
        super().__init__(learning_rate, **options)
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered

    def init_single(self, parameter, state):
        for name in ("v", "mean", "momentum"):
            state[name] = mx.zeros_like(parameter)

    def moved(self, parameter, gradient, state, lr, step):
        v = state["v"] = self.alpha * state["v"] + (1 - self.alpha) * mx.square(gradient)
        if self.centered:
            state["mean"] = self.alpha * state["mean"] + (1 - self.alpha) * gradient
            v = v - mx.square(state["mean"])
        change = gradient / (mx.sqrt(v) + self.eps)
        if self.momentum:
            change = state["momentum"] = self.momentum * state["momentum"] + change
        return parameter - lr * change


class AdagradWithOptions(TorchStyleOptimizer):
    """Adagrad with a decaying learning rate, an initial accumulator and weight decay."""

    def __init__(self, learning_rate, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, **options):
        super().__init__(learning_rate, **options)
        self.lr_decay, self.initial, self.eps = lr_decay, initial_accumulator_value, eps

    def init_single(self, parameter, state):
        state["v"] = mx.full(parameter.shape, self.initial, dtype=parameter.dtype)

    def moved(self, parameter, gradient, state, lr, step):
        state["v"] = state["v"] + mx.square(gradient)
        lr = lr / (1 + (step - 1) * self.lr_decay).astype(lr.dtype)
        return parameter - lr * gradient / (mx.sqrt(state["v"]) + self.eps)


class AdadeltaWithOptions(TorchStyleOptimizer):
    """Adadelta with weight decay."""

    def __init__(self, learning_rate, rho=0.9, eps=1e-6, **options):
        super().__init__(learning_rate, **options)
        self.rho, self.eps = rho, eps

    def init_single(self, parameter, state):
        state["v"], state["u"] = mx.zeros_like(parameter), mx.zeros_like(parameter)

    def moved(self, parameter, gradient, state, lr, step):
        state["v"] = self.rho * state["v"] + (1 - self.rho) * mx.square(gradient)
        change = mx.sqrt(state["u"] + self.eps) / mx.sqrt(state["v"] + self.eps) * gradient
        state["u"] = self.rho * state["u"] + (1 - self.rho) * mx.square(change)
        return parameter - lr * change


class ASGD(TorchStyleOptimizer):
    """Averaged SGD (Polyak and Juditsky, 1992); the average is the state's ``average``."""

    def __init__(self, learning_rate, lambd=1e-4, alpha=0.75, t0=1e6, **options):
        super().__init__(learning_rate, **options)
        self.lambd, self.alpha, self.t0 = lambd, alpha, t0

    def init_single(self, parameter, state):
        state["eta"], state["mu"] = self.learning_rate.astype(mx.float32), mx.array(1.0)
        state["average"] = mx.zeros_like(parameter)

    def moved(self, parameter, gradient, state, lr, step):
        eta, mu = state["eta"].astype(parameter.dtype), state["mu"].astype(parameter.dtype)
        parameter = parameter * (1 - self.lambd * eta) - eta * gradient
        state["average"] = state["average"] + mu * (parameter - state["average"])
        state["eta"] = self.learning_rate / (1 + self.lambd * self.learning_rate * step) ** self.alpha
        state["mu"] = 1 / mx.maximum(1, step - self.t0)
        return parameter


class Rprop(TorchStyleOptimizer):
    """Resilient backpropagation: each weight has its own step size, which only signs of gradients change."""

    def __init__(self, learning_rate, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0), **options):
        super().__init__(learning_rate, **options)
        self.etas, self.step_sizes = etas, step_sizes

    def init_single(self, parameter, state):
        state["before"] = mx.zeros_like(parameter)
        state["size"] = mx.ones_like(parameter) * self.learning_rate.astype(parameter.dtype)

    def moved(self, parameter, gradient, state, lr, step):
        agreement = gradient * state["before"]
        factor = mx.where(agreement > 0, self.etas[1], mx.where(agreement < 0, self.etas[0], 1.0))
        state["size"] = mx.clip(state["size"] * factor.astype(gradient.dtype), *self.step_sizes)
        state["before"] = mx.where(agreement < 0, 0, gradient)
        return parameter - mx.sign(state["before"]) * state["size"]


class AdafactorWithOptions(TorchStyleOptimizer):
    """Adafactor as torch has it: the second moment of a matrix is kept as its rows' and columns' means."""

    def __init__(self, learning_rate, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, maximize=False):
        super().__init__(learning_rate, weight_decay, maximize, decoupled=True)
        self.beta2_decay, self.eps, self.d = beta2_decay, eps, d

    def init_single(self, parameter, state):
        if parameter.ndim > 1:
            state["rows"] = mx.zeros((*parameter.shape[:-1], 1), parameter.dtype)
            state["columns"] = mx.zeros((*parameter.shape[:-2], 1, parameter.shape[-1]), parameter.dtype)
        else:
            state["v"] = mx.zeros_like(parameter)

    def moved(self, parameter, gradient, state, lr, step):
        smallest = mx.finfo(parameter.dtype).eps if self.eps[0] is None else self.eps[0]

        def rms(x):
            return mx.sqrt(mx.square(x).mean())

        undecayed = parameter / (1 - lr * self.weight_decay)
        size = mx.maximum(self.eps[1], rms(undecayed)) * mx.minimum(lr, mx.rsqrt(step).astype(lr.dtype))
        rate, squared = (step**self.beta2_decay).astype(gradient.dtype), mx.square(gradient)
        if gradient.ndim > 1:
            rows, columns = squared.mean(axis=-1, keepdims=True), squared.mean(axis=-2, keepdims=True)
            state["rows"] = state["rows"] + rate * (rows - state["rows"])
            state["columns"] = state["columns"] + rate * (columns - state["columns"])
            v = state["rows"] * state["columns"]
            v = v / mx.maximum(state["rows"].mean(axis=-2, keepdims=True), smallest)
        else:
            v = state["v"] = state["v"] + rate * (squared - state["v"])
        update = gradient * mx.rsqrt(mx.maximum(v, smallest**2))
        return parameter - size / mx.maximum(1, rms(update) / self.d) * update


class MuonWithDecoupledDecay(optim.Muon):
    """Muon whose weight decay does not pass through the orthogonalisation."""

    def __init__(self, learning_rate, momentum=0.95, weight_decay=0.1, match_rms_adamw=False, **options):
        super().__init__(learning_rate, momentum=momentum, weight_decay=0.0, **options)
        self.decay, self.match_rms_adamw = weight_decay, match_rms_adamw

    def apply_single(self, gradient, parameter, state):
        lr = self.learning_rate.astype(gradient.dtype)
        change = parameter - super().apply_single(gradient, parameter, state)
        if self.match_rms_adamw:
            rows, columns = parameter.shape
            change = change * (0.2 * max(rows, columns) ** 0.5 / max(1, rows / columns) ** 0.5)
        return parameter * (1 - lr * self.decay) - change
