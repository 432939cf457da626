import numpy as np

from maskrcnn_edu.structures import BitMask, GroundTruth
from maskrcnn_edu.viz.data import draw_ground_truth, outline_paths
from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts

NAMES = ["tent", "ring"]


def texts(figure):
    return [t.get_text() for t in figure.axes[0].texts]


def test_facts(image, scene):
    figure = draw_ground_truth(image, scene, NAMES)
    assert figure_facts(figure) == {"crowd": 1, "gt": 2, "label": 3, "outline": 4}
    assert figure_boxes(figure, "gt") == scene.boxes[:2].tolist()
    assert figure_boxes(figure, "crowd") == scene.boxes[2:].tolist()
    assert texts(figure) == ["tent", "ring", "tent (crowd)"]


def test_only_crowds_are_hatched(image, scene):
    figure = draw_ground_truth(image, scene, NAMES)
    shapes = [p for p in figure.axes[0].patches if p.get_gid() == "outline"]
    assert [bool(p.get_hatch()) for p in shapes] == [False, False, False, True]


def test_arrays_are_drawn_like_tensors(image, scene):
    arrays = GroundTruth(
        scene.boxes.numpy(), scene.labels.numpy(), scene.segms, scene.is_crowd.numpy()
    )
    one, other = (draw_ground_truth(image, gt, NAMES) for gt in (scene, arrays))
    assert figure_facts(one) == figure_facts(other)


def test_no_objects(image, no_objects):
    assert figure_facts(draw_ground_truth(image, no_objects, NAMES)) == {}


def test_outline_of_a_polygon_goes_through_its_points(scene):
    first, second = outline_paths(scene.segms[0])
    assert first.vertices.tolist() == [[6, 8], [26, 8], [16, 22], [6, 8]]
    assert second.get_extents().extents.tolist() == [8, 24, 24, 30]


def test_outline_of_a_bit_mask_fills_its_box_and_leaves_the_hole(scene):
    (path,) = outline_paths(scene.segms[1])
    assert np.allclose(path.get_extents().extents, scene.segms[1].box)
    assert len(path.to_polygons()) == 2


def test_outline_of_one_pixel_crosses_half_way_to_its_neighbours():
    pixel = BitMask(np.ones([1, 1], np.uint8), np.array([2, 3, 3, 4], np.float32))
    (path,) = outline_paths(pixel)
    # its centre is (2.5, 3.5), those of the neighbours are one pixel away
    corners = {tuple(point) for point in path.vertices.tolist()}
    assert corners == {(2.0, 3.5), (2.5, 3.0), (3.0, 3.5), (2.5, 4.0)}


def test_outline_of_nothing():
    nothing = BitMask(np.zeros([3, 3], np.uint8), np.array([0, 0, 3, 3], np.float32))
    assert outline_paths(nothing) == []
