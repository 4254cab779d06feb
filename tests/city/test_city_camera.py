import numpy as np
import pytest

from vprcap.city.camera import EYE_M, HORIZON, Camera, warp_coefficients


def test_a_point_ahead_at_eye_height_is_on_the_horizon_in_the_middle() -> None:
    assert Camera(200).project(0.0, EYE_M, 30.0) == (100.0, 200 * HORIZON)


def test_a_camera_moved_to_the_right_sees_things_further_left() -> None:
    assert Camera(200, shift_m=1.0).project(0.0, 0.0, 20.0)[0] < 100


def test_a_camera_that_advances_sees_things_larger() -> None:
    def height(camera: Camera) -> float:
        return camera.project(0.0, 0.0, 20.0)[1] - camera.project(0.0, 3.0, 20.0)[1]

    assert height(Camera(200, advance_m=10.0)) == pytest.approx(2 * height(Camera(200)))


def test_a_warp_takes_each_target_corner_back_to_its_source() -> None:
    source = [(0.0, 0.0), (0.0, 50.0), (80.0, 0.0), (80.0, 50.0)]
    target = [(10.0, 12.0), (9.0, 60.0), (70.0, 30.0), (72.0, 55.0)]
    a, b, c, d, e, f, g, h = warp_coefficients(source, target)
    for (u, v), (x, y) in zip(source, target, strict=True):
        depth = g * x + h * y + 1
        assert np.allclose(((a * x + b * y + c) / depth, (d * x + e * y + f) / depth), (u, v))
