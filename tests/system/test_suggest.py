"""An unknown word: the message names the nearest known one, or all of them, once."""

import pytest

from maskrcnn_edu.config.yaml_files import find_config, shipped_configs
from maskrcnn_edu.teaching.course_file import COURSES, read_course_file
from maskrcnn_edu.weights.zoo import MODEL_ZOO, find_weights


@pytest.mark.parametrize(
    ("find", "known"),
    [
        (find_config, shipped_configs()),
        (read_course_file, sorted(file.stem for file in COURSES.glob("*.yml"))),
        (find_weights, list(MODEL_ZOO)),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones_once(find, known):
    with pytest.raises(ValueError, match="known are") as nothing_near:
        find("§§§")
    assert str(nothing_near.value).count(", ".join(known)) == 1
    with pytest.raises(ValueError, match=f"did you mean {known[0]}\\?") as near:
        find(f"{known[0]}x")
    assert known[-1] not in str(near.value)
