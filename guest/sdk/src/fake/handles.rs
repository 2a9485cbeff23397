//! The fake host behind the typed wrappers: the names and signatures of `host/component.rs`, on plain memory.

use std::rc::Rc;

use crate::bindings::lector::ocr::budget::Allowance;
use crate::{
    Channels, Dtype, Encoding, Error, Filter, Level, ModelInfo, Normalization, PageKind, PixelFormat, Quad,
    Rotation, Size, TextLayer, Transcript,
};
#[cfg(feature = "wrapper")]
use crate::{ConfigError, PipelineInfo, Request, Summary};

use super::array::Array;
use super::page::FakePage;
use super::pixels::Pixels;
#[cfg(feature = "wrapper")]
use super::wrapped::Wrapped;
use super::{FakeModel, current, yield_now};

/// Maximum side of an image, so that a wrong size fails as an error instead of a huge allocation.
const SIDE_MAX: u32 = 1 << 16;

pub(crate) struct Page(FakePage);

impl Page {
    pub(crate) fn share(&self) -> Self {
        Self(self.0.clone())
    }

    pub(crate) fn new(page: FakePage) -> Self {
        Self(page)
    }

    pub(crate) fn index(&self) -> u32 {
        self.0.index
    }

    pub(crate) fn kind(&self) -> PageKind {
        self.0.kind
    }

    pub(crate) fn size_pt(&self) -> (f32, f32) {
        self.0.size_pt()
    }

    pub(crate) fn native_dpi(&self) -> Option<f32> {
        matches!(self.0.kind, PageKind::Raster).then_some(self.0.dpi)
    }

    pub(crate) fn pixels_max(&self) -> u64 {
        self.0.pixels_max
    }

    pub(crate) async fn text_layer(&self) -> Result<TextLayer, Error> {
        yield_now().await;
        Ok(self.0.layer.clone())
    }

    pub(crate) async fn render(&self, dpi: f32) -> Result<Image, Error> {
        yield_now().await;
        if !(dpi.is_finite() && dpi > 0.0) {
            return Err(Error::invalid("render_dpi_invalid", format!("{dpi} dpi is not a valid resolution")));
        }
        let (width, height) = self.size_pt();
        let side = |points: f32| (points / 72.0 * dpi).round().max(1.0) as u32;
        let size = Size { width: side(width), height: side(height) };
        let pixels = u64::from(size.width) * u64::from(size.height);
        if pixels > self.0.pixels_max {
            let message = format!("{pixels} pixels exceed the limit of {}", self.0.pixels_max);
            return Err(Error::too_large("page_too_many_pixels", message));
        }
        self.0.renders.set(self.0.renders.get() + 1);
        Ok(Image::rgb(self.0.picture.resized(size)))
    }
}

/// An image in host memory. A gray image stores its luma in all three channels.
pub(crate) struct Image(Rc<Pixels>, PixelFormat);

impl Image {
    fn rgb(pixels: Pixels) -> Self {
        Self(Rc::new(pixels), PixelFormat::Rgb8)
    }

    fn like(&self, pixels: Pixels) -> Self {
        Self(Rc::new(pixels), self.1)
    }

    fn channels(&self) -> usize {
        match self.1 {
            PixelFormat::Rgb8 => 3,
            PixelFormat::Gray8 => 1,
        }
    }

    pub(crate) fn format(&self) -> PixelFormat {
        self.1
    }

    pub(crate) fn size(&self) -> Size {
        self.0.size()
    }

    pub(crate) fn read(&self, x: u32, y: u32, size: Size) -> Result<Vec<u8>, Error> {
        current(|state| {
            state.pixels_read.set(state.pixels_read.get() + u64::from(size.width) * u64::from(size.height));
        });
        let Some(rgb) = self.0.piece(x, y, size) else {
            return Err(invalid("the rectangle leaves the image".to_owned()));
        };
        Ok(rgb.into_iter().step_by(3 / self.channels()).collect())
    }
}

fn invalid(message: String) -> Error {
    Error::invalid("image_argument_invalid", message)
}

fn checked(size: Size) -> Result<Size, Error> {
    match size {
        Size { width: 1..=SIDE_MAX, height: 1..=SIDE_MAX } => Ok(size),
        Size { width, height } => Err(invalid(format!("{width} x {height} is not a valid size of an image"))),
    }
}

pub(crate) fn image_from_bytes(format: PixelFormat, size: Size, data: &[u8]) -> Result<Image, Error> {
    let rgb: Vec<u8> = match format {
        PixelFormat::Rgb8 => data.to_vec(),
        PixelFormat::Gray8 => data.iter().flat_map(|luma| [*luma; 3]).collect(),
    };
    let pixels = Pixels::from_rgb(size, rgb).ok_or_else(|| {
        invalid(format!("{} bytes are not an image of {} x {} pixels", data.len(), size.width, size.height))
    })?;
    Ok(Image(Rc::new(pixels), format))
}

/// Encodes a PNG without compression. The fake host has no JPEG encoder.
pub(crate) async fn image_encode(image: &Image, encoding: Encoding) -> Result<Vec<u8>, Error> {
    yield_now().await;
    match encoding {
        Encoding::Png => {
            Ok(super::png::encode(image.size(), image.channels(), &image.read(0, 0, image.size())?))
        }
        Encoding::Jpeg(_) => Err(Error::failed("fake_without_jpeg", "the fake host encodes PNG only")),
    }
}

pub(crate) async fn image_convert(image: &Image, format: PixelFormat) -> Result<Image, Error> {
    yield_now().await;
    let pixels = match (image.1, format) {
        (PixelFormat::Rgb8, PixelFormat::Gray8) => Rc::new(image.0.gray()),
        _ => Rc::clone(&image.0),
    };
    Ok(Image(pixels, format))
}

pub(crate) async fn image_resize(image: &Image, size: Size, _: Filter) -> Result<Image, Error> {
    yield_now().await;
    Ok(image.like(image.0.resized(checked(size)?)))
}

pub(crate) async fn image_rotate(image: &Image, by: Rotation) -> Result<Image, Error> {
    yield_now().await;
    Ok(image.like(image.0.turned(by)))
}

pub(crate) async fn image_crop(image: &Image, quad: Quad, size: Size) -> Result<Image, Error> {
    yield_now().await;
    Ok(image.like(image.0.straightened(&quad, checked(size)?)))
}

/// Writes a picture into one row of a batch `[planes, height, width]`, left-aligned.
fn normalize(pixels: &Pixels, planes: usize, normalization: Normalization, size: Size, row: &mut [f32]) {
    let Normalization { mean, std, channels } = normalization;
    let mean = [mean.0, mean.1, mean.2];
    let std = [std.0, std.1, std.2];
    let Size { width, height } = pixels.size();
    for channel in 0..planes {
        let source = match channels {
            Channels::Rgb => channel,
            Channels::Bgr => planes - 1 - channel,
        };
        for y in 0..height {
            for x in 0..width {
                let byte = pixels.get(i64::from(x), i64::from(y))[source];
                let at = (channel * size.height as usize + y as usize) * size.width as usize + x as usize;
                row[at] = (f32::from(byte) / 255.0 - mean[channel]) / std[channel];
            }
        }
    }
}

pub(crate) async fn to_tensor(image: &Image, normalization: Normalization) -> Result<Tensor, Error> {
    yield_now().await;
    let size = image.size();
    let planes = image.channels();
    let mut row = vec![0.0; planes * size.width as usize * size.height as usize];
    normalize(&image.0, planes, normalization, size, &mut row);
    Ok(Tensor(Array::f32([1, planes, size.height as usize, size.width as usize], row)))
}

pub(crate) async fn stack(
    crops: Vec<(&Image, Quad, u32)>,
    size: Size,
    normalization: Normalization,
) -> Result<Tensor, Error> {
    yield_now().await;
    let size = checked(size)?;
    let Some(planes) = crops.first().map(|(image, ..)| image.channels()) else {
        return Err(invalid("a batch needs at least one crop".to_owned()));
    };
    if crops.iter().any(|(image, ..)| image.channels() != planes) {
        return Err(invalid("the images of a batch must have the same format".to_owned()));
    }
    if crops.iter().any(|(_, _, width)| *width == 0 || *width > size.width) {
        return Err(invalid("a crop must have 1 to the batch width columns".to_owned()));
    }
    let row_elements = planes * size.width as usize * size.height as usize;
    let mut batch = vec![0.0; crops.len() * row_elements];
    for ((image, quad, width), row) in crops.iter().zip(batch.chunks_exact_mut(row_elements)) {
        let piece = image.0.straightened(quad, Size { width: *width, height: size.height });
        normalize(&piece, planes, normalization, size, row);
    }
    Ok(Tensor(Array::f32([crops.len(), planes, size.height as usize, size.width as usize], batch)))
}

pub(crate) struct Tensor(Array);

impl Tensor {
    pub(crate) fn dtype(&self) -> Dtype {
        self.0.dtype
    }

    pub(crate) fn shape(&self) -> Vec<i64> {
        self.0.shape.iter().map(|extent| *extent as i64).collect()
    }

    pub(crate) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let from = usize::try_from(offset).ok();
        let range = from.and_then(|from| Some(from..from.checked_add(length as usize)?));
        let bytes = range.and_then(|range| self.0.bytes.get(range));
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::invalid("tensor_read_out_of_range", "the range exceeds the tensor"))
    }

    pub(crate) async fn quantize(&self, scale: f32) -> Result<Self, Error> {
        yield_now().await;
        let bytes = self.0.f32s()?.iter().map(|value| (value * scale).round() as u8).collect();
        Ok(Self(Array { dtype: Dtype::U8, shape: self.0.shape.clone(), bytes }))
    }

    pub(crate) async fn argmax(&self) -> Result<(Self, Self), Error> {
        yield_now().await;
        let values = self.0.f32s()?;
        let Some((&classes @ 1.., shape)) = self.0.shape.split_last() else {
            return Err(Error::invalid("tensor_axis_empty", "argmax needs a last axis that is not empty"));
        };
        let greatest = |row: &[f32]| {
            let mut best = (0_i64, f32::NEG_INFINITY);
            for (index, &value) in row.iter().enumerate() {
                if value > best.1 {
                    best = (index as i64, value);
                }
            }
            best
        };
        let (ids, tops): (Vec<i64>, Vec<f32>) = values.chunks_exact(classes).map(greatest).unzip();
        Ok((Self(Array::i64(shape, ids)), Self(Array::f32(shape, tops))))
    }
}

pub(crate) fn tensor_from_bytes(dtype: Dtype, shape: &[i64], data: &[u8]) -> Result<Tensor, Error> {
    let wrong = || {
        let message = format!("{} bytes are not a tensor {dtype:?}{shape:?}", data.len());
        Error::invalid("tensor_shape_invalid", message)
    };
    let extents: Result<Vec<usize>, _> = shape.iter().map(|extent| usize::try_from(*extent)).collect();
    let array = Array { dtype, shape: extents.map_err(|_| wrong())?, bytes: data.to_vec() };
    if array.fits() { Ok(Tensor(array)) } else { Err(wrong()) }
}

pub(crate) struct Model(Rc<FakeModel>);

pub(crate) fn model_open(alias: &str) -> Result<Model, Error> {
    current(|state| state.models.get(alias).cloned()).map(Model).ok_or_else(|| {
        Error::denied("model_not_granted", format!("no model was granted with the alias `{alias}`"))
    })
}

impl Model {
    pub(crate) fn describe(&self) -> ModelInfo {
        self.0.info.clone()
    }

    pub(crate) fn labels(&self, indices: &[u32]) -> Result<Vec<String>, Error> {
        let label = |&index: &u32| {
            self.0.labels.get(index as usize).cloned().ok_or_else(|| {
                let message = format!("label {index} of a model with {} labels", self.0.labels.len());
                Error::invalid("model_label_unknown", message)
            })
        };
        indices.iter().map(label).collect()
    }
}

pub(crate) async fn model_run(
    model: &Model,
    inputs: Vec<(String, &Tensor)>,
    outputs: Vec<String>,
) -> Result<Vec<Tensor>, Error> {
    let fake = &model.0;
    let wrong = |message: String| Error::invalid("model_argument_invalid", message);
    let (wanted, given) = (fake.info.inputs.len(), inputs.len());
    if wanted != given {
        return Err(wrong(format!("the model has {wanted} inputs, and {given} were given")));
    }
    let input = |name: &String| {
        let found = inputs.iter().find(|(own, _)| own == name);
        found.map(|(_, tensor)| &tensor.0).ok_or_else(|| wrong(format!("the input `{name}` is missing")))
    };
    let arrays: Vec<&Array> =
        fake.info.inputs.iter().map(|port| input(&port.name)).collect::<Result<_, Error>>()?;
    let rows = arrays.first().and_then(|array| array.shape.first()).copied().unwrap_or(1);
    if rows > fake.info.max_batch as usize {
        return Err(wrong(format!("{rows} rows exceed the limit of {}", fake.info.max_batch)));
    }
    fake.runs.set(fake.runs.get() + 1);
    fake.rows.set(fake.rows.get() + rows as u64);
    fake.in_flight.set(fake.in_flight.get() + 1);
    fake.in_flight_max.set(fake.in_flight_max.get().max(fake.in_flight.get()));
    yield_now().await;
    fake.in_flight.set(fake.in_flight.get() - 1);
    let given = (fake.compute)(&arrays)?;
    let pick = |wanted: String| {
        let at = fake.outputs.iter().position(|name| *name == wanted);
        let array = at.and_then(|at| given.get(at)).cloned();
        array.map(Tensor).ok_or_else(|| wrong(format!("the model has no output `{wanted}`")))
    };
    outputs.into_iter().map(pick).collect()
}

pub(crate) struct Transcripts(std::collections::VecDeque<Transcript>);

impl Transcripts {
    pub(crate) async fn next(&mut self) -> Result<Option<Transcript>, Error> {
        yield_now().await;
        Ok(self.0.pop_front())
    }
}

pub(crate) fn transcripts_from_list(pages: Vec<Transcript>) -> Result<Transcripts, Error> {
    Ok(Transcripts(pages.into()))
}

#[cfg(feature = "wrapper")]
fn wrapped() -> Result<Rc<dyn Wrapped>, Error> {
    let message =
        "the guest calls a wrapped pipeline, and the fake host wraps none; set one with `FakeHost::wraps`";
    current(|state| state.wrapped.clone()).ok_or_else(|| Error::denied("pipeline_not_wrapped", message))
}

#[cfg(feature = "wrapper")]
pub(crate) fn inner_configure() -> Result<PipelineInfo, ConfigError> {
    wrapped().map_err(|error| ConfigError::at("", error.message))?.configure()
}

#[cfg(feature = "wrapper")]
pub(crate) async fn inner_recognize(page: Page, request: Request) -> Result<Transcript, Error> {
    wrapped()?.recognize(page, request).await
}

#[cfg(feature = "wrapper")]
pub(crate) async fn inner_assemble(pages: Transcripts) -> Result<Summary, Error> {
    wrapped()?.assemble(pages).await
}

#[cfg(feature = "options")]
pub(crate) fn options_get() -> String {
    current(|state| state.options.borrow().as_deref().map(str::to_owned)).unwrap_or_else(|| "{}".to_owned())
}

#[cfg(all(feature = "options", feature = "wrapper"))]
pub(crate) fn options_pass(options: &str) -> Result<(), ConfigError> {
    wrapped().map_err(|error| ConfigError::at("", error.message))?;
    current(|state| *state.passed_options.borrow_mut() = Some(options.into()));
    Ok(())
}

/// The budget of a generous deployment; the fake host has no clock.
pub(crate) fn budget_remaining() -> Allowance {
    Allowance {
        time_us: 120_000_000,
        compute_us: 10_000_000,
        host_bytes: 1 << 30,
        handles: 4096,
        host_calls: 200_000,
        log_bytes: 64 << 10,
    }
}

pub(crate) struct Span;

pub(crate) fn span_begin(name: &str) -> Span {
    current(|state| *state.spans.borrow_mut().entry(name.to_owned()).or_default() += 1);
    Span
}

pub(crate) fn log_write(level: Level, message: &str) {
    current(|state| state.logs.borrow_mut().push((level, message.to_owned())));
}
