"""Learning-rate schedules that MLX lacks: each gives a function from the step (from 0) to the rate."""

import math

import mlx.core as mx

__all__ = ["constant_schedule", "cosine_annealing", "cosine_warm_restarts", "cyclic_schedule", "multi_step_decay",
           "one_cycle_schedule", "polynomial_decay", "product_of_schedules", "schedule_by_epoch"]


def schedule_by_epoch(schedule, updates):
    """A schedule written for epochs, which last ``updates`` optimizer updates each."""
    return lambda step: schedule(step // updates)


def product_of_schedules(init, schedules):
    """Each schedule's change of the initial rate, one after the other."""
    def schedule(step):
        rate = init
        for each in schedules:
            rate = rate * (each(step) / init)
        return rate
    return schedule


def constant_schedule(init, factor, steps):
    """``init * factor`` for the first ``steps``, then ``init``."""
    return lambda step: mx.where(step < steps, init * factor, init)


def multi_step_decay(init, decay_rate, milestones):
    """Multiplied by ``decay_rate`` at each of the ``milestones``."""
    return lambda step: init * decay_rate ** sum((step >= milestone).astype(mx.float32) for milestone in milestones)


def polynomial_decay(init, power, steps):
    """To zero after ``steps``, as ``(1 - step / steps) ** power``."""
    return lambda step: init * (1 - mx.minimum(step, steps) / steps) ** power


def cosine_annealing(init, period, end=0.0):
    """From ``init`` to ``end`` in ``period`` steps and back: a cosine that goes on."""
    return lambda step: end + (init - end) * (1 + mx.cos(math.pi * step / period)) / 2


def cosine_warm_restarts(init, period, factor=1, end=0.0):
    """A half cosine from ``init`` to ``end``, started anew after ``period`` steps; each period is ``factor``
    times as long as the one before (Loshchilov and Hutter, 2017)."""
    def schedule(step):
        if factor == 1:
            done, length = step % period, period
        else:
            rounds = mx.floor(mx.log(step / period * (factor - 1) + 1) / math.log(factor) + 1e-6)
            done = step - period * (factor**rounds - 1) / (factor - 1)
            length = period * factor**rounds
        return end + (init - end) * (1 + mx.cos(math.pi * done / length)) / 2
    return schedule


def cyclic_schedule(low, high, up, down, mode="triangular", gamma=1.0):
    """Between ``low`` and ``high`` in ``up`` steps and back in ``down`` (Smith, 2017); the height is halved every
    cycle with ``triangular2``, multiplied by ``gamma ** step`` with ``exp_range``."""
    total = up + down

    def schedule(step):
        cycle = mx.floor(step / total)
        position = step / total - cycle
        height = mx.where(position <= up / total, position * total / up, (1 - position) * total / down)
        if mode == "triangular2":
            height = height / 2**cycle
        elif mode == "exp_range":
            height = height * gamma**step
        return low + (high - low) * height
    return schedule


def one_cycle_schedule(peak, start, final, steps, warmup, anneal="cos", three_phase=False):
    """One cycle (Smith and Topin, 2018): from ``start`` to ``peak`` until the step ``warmup``, with ``three_phase``
    back to ``start`` in as many steps, then to ``final`` at the last of ``steps``."""
    ends, rates = [warmup, steps - 1], [start, peak, final]
    if three_phase:
        ends, rates = [warmup, 2 * warmup, steps - 1], [start, peak, start, final]

    def schedule(step):
        rate, begin = None, 0
        for end, low, high in zip(ends, rates[:-1], rates[1:], strict=True):
            part = mx.clip((step - begin) / (end - begin), 0, 1)
            part = (1 - mx.cos(math.pi * part)) / 2 if anneal == "cos" else part
            phase = low + (high - low) * part
            rate = phase if rate is None else mx.where(step > begin, phase, rate)
            begin = end
        return rate
    return schedule
