"""Mistakes in the exercises of 09_train."""

RESULT = '["features", *learns]'
SHARED = 'loss == "loss_mask" and shares_feature'
FACTOR = "start_factor + (1 - start_factor) * step / warmup"

MISTAKES = {
    "who_learns": {
        "proposals carry no gradient: the RPN learns from its own losses only": [
            (RESULT, 'list(dict.fromkeys(["features", "rpn_head", *learns]))'),
        ],
        "the features learn from every loss": (RESULT, "learns"),
        "the features learn from every loss: from the RPN's too": (
            RESULT,
            f'learns if "rpn" in loss else {RESULT}',
        ),
        "proposals carry no gradient, but the features of the RoIs do": (
            RESULT,
            f'{RESULT} if "rpn" in loss else learns',
        ),
        "with a shared feature the mask loss trains the box head's layers too": (SHARED, "False"),
        "without a shared feature the mask loss does not reach the box head": (
            SHARED,
            'loss == "loss_mask"',
        ),
        "it is with a shared feature that the mask loss reaches the box head": (
            SHARED,
            'loss == "loss_mask" and not shares_feature',
        ),
        "the mask head starts from the box head's layers, not the box head from the mask head's": (
            '    if loss == "loss_mask"',
            '    if "bbox" in loss and shares_feature:\n'
            '        learns = [*learns, "mask_head"]\n'
            '    if loss == "loss_mask"',
        ),
        "with a shared feature the mask loss trains its own head as well": (
            '["bbox_head", *learns]',
            '["bbox_head"]',
        ),
        "a loss trains only the heads that it was computed with": (
            RESULT,
            '["features", "rpn_head", "bbox_head", "mask_head"]',
        ),
        "a loss trains its own head, not the features alone": (RESULT, '["features"]'),
        "a loss does not train the heads before its own": (
            RESULT,
            '["features", "rpn_head", "bbox_head", "mask_head"]'
            '[: 2 + ["rpn", "bbox", "mask"].index(loss.split("_")[1])]',
        ),
        "the parts are in the order features, rpn_head, bbox_head, mask_head": [
            (RESULT, '[*learns, "features"]'),
            ('["bbox_head", *learns]', '[*learns, "bbox_head"]'),
        ],
        "the parts are heads, not losses": ('+ "_head"]', '+ "_loss"]'),
    },
    "learning_rate": {
        "fewer images need a smaller rate: the ratio is upside down": (
            "batch / base_batch",
            "base_batch / batch",
        ),
        "the rate is not scaled to the batch": (" * batch / base_batch", ""),
        "divide by the batch that the rate was found for": (" * batch / base_batch", " * batch"),
        "base_batch is no factor: the rate grows by batch / base_batch": (
            " * batch / base_batch",
            " / base_batch",
        ),
        "the scale is linear, not its root": (
            "* batch / base_batch",
            "* math.sqrt(batch / base_batch)",
        ),
        "the warm-up begins at start_factor, not at 0": (FACTOR, "step / warmup"),
        "the warm-up ends at 1, not at 1 + start_factor": (
            "(1 - start_factor) * step / warmup\n    return rate * min(factor, 1.0)",
            "min(step / warmup, 1)\n    return rate * factor",
        ),
        "the line goes from start_factor to 1: its slope is 1 - start_factor": (
            FACTOR,
            "start_factor + step / warmup",
        ),
        "the warm-up is a straight line, not a power": (
            FACTOR,
            "start_factor ** (1 - min(step / warmup, 1))",
        ),
        "the warm-up is a straight line, not one step from start_factor to 1": (
            FACTOR,
            "start_factor if step < warmup else 1",
        ),
        "the warm-up rises: start_factor is its begin, not its end": (
            FACTOR,
            "1 - (1 - start_factor) * min(step / warmup, 1)",
        ),
        "start_factor is a factor, no rate": (
            f"factor = {FACTOR}\n    return rate * min(factor, 1.0)",
            "return start_factor + (rate - start_factor) * min(step / warmup, 1)",
        ),
        "the first step is step 0": ("* step / warmup", "* (step + 1) / warmup"),
        "the warm-up is over after its steps: the factor stays 1": ("min(factor, 1.0)", "factor"),
        "after the warm-up the rate stays, it does not fall to 0": (
            "rate * min(factor, 1.0)",
            "rate * factor if step < warmup else 0.0",
        ),
        "after the warm-up the rate is scaled to the batch as well": (
            "return rate * min(factor, 1.0)",
            "return rate * factor if step < warmup else base_lr",
        ),
        "the warm-up is missing": ("rate * min(factor, 1.0)", "rate"),
        "the rate is wanted, not the factor": ("rate * min(factor, 1.0)", "min(factor, 1.0)"),
        "the warm-up is in steps, whatever the batch": (
            "step / warmup",
            "step / (warmup * base_batch / batch)",
        ),
    },
}
