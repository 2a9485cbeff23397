//! Conversions between the types of the contract and of `lector-vision`. Used by every step.

use lector_sdk as sdk;
use lector_vision::geometry as vision;

pub(crate) fn to_sdk_point(point: vision::Point) -> sdk::Point {
    sdk::Point::new(point.x, point.y)
}

pub(crate) fn to_sdk_quad(quad: &vision::Quad) -> sdk::Quad {
    let [top_left, top_right, bottom_right, bottom_left] = quad.0.map(to_sdk_point);
    sdk::Quad { top_left, top_right, bottom_right, bottom_left }
}

pub(crate) fn to_sdk_rotation(rotation: vision::Rotation) -> sdk::Rotation {
    match rotation {
        vision::Rotation::None => sdk::Rotation::None,
        vision::Rotation::Quarter => sdk::Rotation::Quarter,
        vision::Rotation::Half => sdk::Rotation::Half,
        vision::Rotation::ThreeQuarters => sdk::Rotation::ThreeQuarters,
    }
}

pub(crate) fn to_vision_rect(rect: &sdk::Rect) -> vision::Rect {
    vision::Rect { x: rect.x, y: rect.y, width: rect.width.max(0.0), height: rect.height.max(0.0) }
}
