"""Wrong answers to chapter 04's exercises, as people give them. Each must be refused."""

import numpy as np


def tanh_without_the_incoming_gradient(g, saved):
    return 1 - saved**2


def tanh_applied_twice(g, saved):
    return g * (1 - np.tanh(saved) ** 2)


def tanh_without_the_square(g, saved):
    return g * (1 - saved)


def divide_without_the_minus(g, a, b):
    return g / b, g * a / b**2


def divide_with_one_gradient(g, a, b):
    return g / b


def divide_like_a_product(g, a, b):
    return g * b, g * a


def largest_gives_all_ties_the_gradient(g, x):
    return np.where(x == x.max(axis=1, keepdims=True), g[:, None], 0)


def largest_of_the_whole_matrix(g, x):
    return np.where(x == x.max(), g[:, None], 0)


def largest_in_place(g, x):
    x[:] = np.where(np.arange(x.shape[1]) == x.argmax(axis=1)[:, None], g[:, None], 0)
    return x


def order_by_breadth(inputs, last):
    order = [last]
    for name in order:
        order += [source for source in inputs[name] if source not in order]
    return order[::-1]


def order_with_recursion(inputs, last):
    order = []

    def visit(name):
        if name not in order:
            for source in inputs[name]:
                visit(source)
            order.append(name)

    visit(last)
    return order


def order_of_everything(inputs, last):
    return list(inputs)


WRONG = {
    "04.1": [tanh_without_the_incoming_gradient, tanh_applied_twice, tanh_without_the_square],
    "04.2": [divide_without_the_minus, divide_with_one_gradient, divide_like_a_product],
    "04.3": [largest_gives_all_ties_the_gradient, largest_of_the_whole_matrix, largest_in_place],
    "04.4": [order_by_breadth, order_with_recursion, order_of_everything],
}
