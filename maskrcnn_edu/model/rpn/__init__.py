"""First storey, the region proposal network (RPN): where might an object be?

anchor      a box of fixed size and shape at a place of the grid; "prior box" in SSD
score       logit that an object is there, of any class: "objectness" in the paper, "cls"
            in the names of losses
delta       how the anchor should move: "regression", "bbox transform", "offset", "reg"
proposal    an anchor after its move, if it is among the best; from here on a region of
            interest, RoI, "roi"; PaddleDetection's operator calls it "rpn_rois"
foreground  a positive anchor (label 1); background, negative (0); ignored (-1)
"""
