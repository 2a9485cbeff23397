//! The host as a component sees it: the generated bindings, with the signatures that the wrappers expect.
//! Owns nothing. Called by the typed wrappers only.

use crate::bindings::lector::ocr::{document, image, inference, log, settings, trace, types};
use types::{Error, Quad, Size, Turn};

pub(crate) use document::Page;
pub(crate) use image::Image;
pub(crate) use inference::{Model, Tensor};
pub(crate) use trace::Span;

pub(crate) fn image_from_rgb(size: Size, rgb: &[u8]) -> Result<Image, Error> {
    Image::from_rgb(size, rgb)
}

pub(crate) async fn image_resize(image: &Image, size: Size, filter: image::Filter) -> Result<Image, Error> {
    image.resize(size, filter).await
}

pub(crate) async fn image_rotate(image: &Image, by: Turn) -> Result<Image, Error> {
    image.rotate(by).await
}

pub(crate) async fn image_crop(image: &Image, quad: Quad, size: Size) -> Result<Image, Error> {
    image.crop(quad, size).await
}

pub(crate) async fn to_tensor(image: &Image, normalisation: image::Normalisation) -> Result<Tensor, Error> {
    image::to_tensor(image, normalisation).await
}

pub(crate) async fn stack(
    image: &Image,
    crops: Vec<image::Crop>,
    size: Size,
    normalisation: image::Normalisation,
) -> Result<Tensor, Error> {
    image::stack(image, crops, size, normalisation).await
}

pub(crate) fn tensor_from_bytes(
    dtype: inference::Dtype,
    shape: &[u32],
    data: &[u8],
) -> Result<Tensor, Error> {
    Tensor::from_bytes(dtype, shape, data)
}

pub(crate) fn model_open(alias: &str) -> Result<Model, Error> {
    Model::open(alias)
}

pub(crate) async fn model_run(
    model: &Model,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<String>,
) -> Result<Vec<Tensor>, Error> {
    let inputs = inputs.into_iter().map(|(name, tensor)| inference::Argument { name, tensor }).collect();
    model.run(inputs, outputs).await
}

pub(crate) fn span_begin(name: &str) -> Span {
    Span::new(name)
}

pub(crate) fn log_write(level: log::Level, message: &str) {
    log::write(level, message);
}

pub(crate) fn settings_get() -> String {
    settings::get()
}
