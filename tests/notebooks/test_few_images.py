"""A class's first dataset: fewer images than a cell would show."""

from maskrcnn_edu.data.shapes import write_shapes


def test_a_small_dataset_is_enough_to_train_with(tmp_path, run_with_pyramid):
    write_shapes(tmp_path / "few", train=6, val=3, size=64)
    files = {
        split: {
            "json": str(tmp_path / f"few/annotations/instances_{split}.json"),
            "images": str(tmp_path / "few" / split),
        }
        for split in ("train", "val")
    }
    run_with_pyramid("09_train.ipynb", {"dataset": files, "rows": [0, 1]})
