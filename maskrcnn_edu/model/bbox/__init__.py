"""Second storey, the box head (Fast R-CNN; "RoI head", "RCNN"): which class, and where exactly?

RoI         region of interest: a proposal, or while training an annotated box too
sample      a RoI that is trained on, "assigned RoI"; its targets follow from the object that
            it overlaps most ("matched", "assigned" ground truth)
score       logits of C classes and background (the last): "cls_score", class logits
delta       how the RoI should move, one for each class; class-agnostic: one for all
detection   what is left of decoded RoIs after the threshold and non-maximum suppression
"""
