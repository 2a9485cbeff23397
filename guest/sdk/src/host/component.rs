//! The host inside a component: the generated bindings, with the signatures that the wrappers expect. Used only by the
//! typed wrappers.

use crate::bindings::lector::image::images as image;
use crate::bindings::lector::inference::{models, tensors};
#[cfg(feature = "wrapper")]
use crate::bindings::lector::ocr::pipeline_types;
use crate::bindings::lector::ocr::{budget, document, log, model, settings, trace};
use crate::bindings::lector::types::{errors::Error, geometry};
#[cfg(feature = "options")]
use crate::bindings::options::lector::options::options;
#[cfg(feature = "wrapper")]
use crate::bindings::wrapped::lector::ocr::pipeline;
use geometry::{Quad, Rotation, Size};

pub(crate) use document::{Page, Transcripts};
pub(crate) use image::Image;
pub(crate) use models::Model;
pub(crate) use tensors::Tensor;
pub(crate) use trace::Span;

pub(crate) fn image_from_bytes(format: image::PixelFormat, size: Size, data: &[u8]) -> Result<Image, Error> {
    Image::from_bytes(format, size, data)
}

pub(crate) async fn image_encode(image: &Image, encoding: image::Encoding) -> Result<Vec<u8>, Error> {
    image.encode(encoding).await
}

pub(crate) async fn image_convert(image: &Image, format: image::PixelFormat) -> Result<Image, Error> {
    image.convert(format).await
}

pub(crate) async fn image_resize(image: &Image, size: Size, filter: image::Filter) -> Result<Image, Error> {
    image.resize(size, filter).await
}

pub(crate) async fn image_rotate(image: &Image, by: Rotation) -> Result<Image, Error> {
    image.rotate(by).await
}

pub(crate) async fn image_crop(image: &Image, quad: Quad, size: Size) -> Result<Image, Error> {
    image.crop(quad, size).await
}

pub(crate) async fn to_tensor(image: &Image, normalization: image::Normalization) -> Result<Tensor, Error> {
    image::to_tensor(image, normalization).await
}

pub(crate) async fn stack(
    crops: Vec<(&Image, Quad, u32)>,
    size: Size,
    normalization: image::Normalization,
) -> Result<Tensor, Error> {
    let crops = crops.into_iter().map(|(image, quad, width)| image::Crop { image, quad, width }).collect();
    image::stack(crops, size, normalization).await
}

pub(crate) fn tensor_from_bytes(dtype: tensors::Dtype, shape: &[i64], data: &[u8]) -> Result<Tensor, Error> {
    Tensor::from_bytes(dtype, shape, data)
}

pub(crate) fn model_open(alias: &str) -> Result<Model, Error> {
    Model::open(alias)
}

pub(crate) async fn model_run(
    model: &Model,
    inputs: Vec<(String, &Tensor)>,
    outputs: Vec<String>,
) -> Result<Vec<Tensor>, Error> {
    let inputs = inputs.into_iter().map(|(name, tensor)| models::Argument { name, tensor }).collect();
    model.run(inputs, outputs).await
}

pub(crate) fn transcripts_from_list(pages: Vec<model::Transcript>) -> Result<Transcripts, Error> {
    Transcripts::from_list(&pages)
}

#[cfg(feature = "wrapper")]
pub(crate) fn inner_configure() -> Result<pipeline_types::PipelineInfo, pipeline_types::ConfigError> {
    pipeline::configure("{}")
}

#[cfg(feature = "wrapper")]
pub(crate) async fn inner_recognize(
    page: Page,
    request: pipeline_types::Request,
) -> Result<model::Transcript, Error> {
    pipeline::recognize(page, request).await
}

#[cfg(feature = "wrapper")]
pub(crate) async fn inner_assemble(pages: Transcripts) -> Result<pipeline_types::Summary, Error> {
    pipeline::assemble(pages).await
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

#[cfg(feature = "options")]
pub(crate) fn options_get() -> String {
    options::get()
}

#[cfg(all(feature = "options", feature = "wrapper"))]
pub(crate) fn options_pass(options: &str) -> Result<(), pipeline_types::ConfigError> {
    options::pass(options)
        .map_err(|options::Refusal { pointer, message }| pipeline_types::ConfigError { pointer, message })
}

pub(crate) fn budget_remaining() -> budget::Allowance {
    budget::remaining()
}
