//! The fake host behind the typed wrappers: the names and signatures of `host/component.rs`, on plain memory.

use std::rc::Rc;

use crate::{
    Channels, Crop, Dtype, Error, Filter, Level, ModelInfo, Normalisation, PageKind, Quad, Size, TextLayer,
    Turn,
};

use super::array::{Array, element_bytes};
use super::page::FakePage;
use super::pixels::Pixels;
use super::{FakeModel, current, yield_now};

/// Largest side of an image, so that a wrong size fails as an error and not as an allocation.
const SIDE_MAX: u32 = 1 << 16;

pub(crate) struct Page(FakePage);

impl Page {
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
            return Err(Error::Invalid(format!("{dpi} dpi is no resolution")));
        }
        let (width, height) = self.size_pt();
        let side = |points: f32| (points / 72.0 * dpi).round().max(1.0) as u32;
        let size = Size { width: side(width), height: side(height) };
        let pixels = u64::from(size.width) * u64::from(size.height);
        if pixels > self.0.pixels_max {
            return Err(Error::TooLarge(format!("{pixels} pixels are more than {}", self.0.pixels_max)));
        }
        self.0.renders.set(self.0.renders.get() + 1);
        Ok(Image(Rc::new(self.0.picture.resized(size))))
    }
}

pub(crate) struct Image(Rc<Pixels>);

impl Image {
    pub(crate) fn size(&self) -> Size {
        self.0.size()
    }

    pub(crate) fn read(&self, x: u32, y: u32, size: Size) -> Result<Vec<u8>, Error> {
        current(|state| {
            state.pixels_read.set(state.pixels_read.get() + u64::from(size.width) * u64::from(size.height));
        });
        self.0.piece(x, y, size).ok_or_else(|| Error::Invalid("the rectangle leaves the image".to_owned()))
    }
}

fn checked(size: Size) -> Result<Size, Error> {
    match size {
        Size { width: 1..=SIDE_MAX, height: 1..=SIDE_MAX } => Ok(size),
        Size { width, height } => Err(Error::Invalid(format!("{width} x {height} is no size of an image"))),
    }
}

pub(crate) fn image_from_rgb(size: Size, rgb: &[u8]) -> Result<Image, Error> {
    Pixels::from_rgb(size, rgb.to_vec()).map(|pixels| Image(Rc::new(pixels))).ok_or_else(|| {
        Error::Invalid(format!("{} bytes do not make {} x {} pixels", rgb.len(), size.width, size.height))
    })
}

pub(crate) async fn image_resize(image: &Image, size: Size, _: Filter) -> Result<Image, Error> {
    yield_now().await;
    Ok(Image(Rc::new(image.0.resized(checked(size)?))))
}

pub(crate) async fn image_rotate(image: &Image, by: Turn) -> Result<Image, Error> {
    yield_now().await;
    Ok(Image(Rc::new(image.0.turned(by))))
}

pub(crate) async fn image_crop(image: &Image, quad: Quad, size: Size) -> Result<Image, Error> {
    yield_now().await;
    Ok(Image(Rc::new(image.0.straightened(&quad, checked(size)?))))
}

/// Writes a picture into one row of a batch `[3, height, width]`, from the left.
fn normalise(pixels: &Pixels, normalisation: Normalisation, size: Size, row: &mut [f32]) {
    let Normalisation { mean, std, channels } = normalisation;
    let mean = [mean.0, mean.1, mean.2];
    let std = [std.0, std.1, std.2];
    let Size { width, height } = pixels.size();
    for channel in 0..3 {
        let source = match channels {
            Channels::Rgb => channel,
            Channels::Bgr => 2 - channel,
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

pub(crate) async fn to_tensor(image: &Image, normalisation: Normalisation) -> Result<Tensor, Error> {
    yield_now().await;
    let size = image.size();
    let mut row = vec![0.0; 3 * size.width as usize * size.height as usize];
    normalise(&image.0, normalisation, size, &mut row);
    Ok(Tensor(Array::f32([1, 3, size.height, size.width], row)))
}

pub(crate) async fn stack(
    image: &Image,
    crops: Vec<Crop>,
    size: Size,
    normalisation: Normalisation,
) -> Result<Tensor, Error> {
    yield_now().await;
    let size = checked(size)?;
    if crops.is_empty() || crops.iter().any(|crop| crop.width == 0 || crop.width > size.width) {
        return Err(Error::Invalid("a batch has crops, each 1 to its width columns wide".to_owned()));
    }
    let row_elements = 3 * size.width as usize * size.height as usize;
    let mut batch = vec![0.0; crops.len() * row_elements];
    for (crop, row) in crops.iter().zip(batch.chunks_exact_mut(row_elements)) {
        let piece = image.0.straightened(&crop.quad, Size { width: crop.width, height: size.height });
        normalise(&piece, normalisation, size, row);
    }
    Ok(Tensor(Array::f32([crops.len() as u32, 3, size.height, size.width], batch)))
}

pub(crate) struct Tensor(Array);

impl Tensor {
    pub(crate) fn dtype(&self) -> Dtype {
        self.0.dtype
    }

    pub(crate) fn shape(&self) -> Vec<u32> {
        self.0.shape.clone()
    }

    pub(crate) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let from = usize::try_from(offset).ok();
        let range = from.and_then(|from| Some(from..from.checked_add(length as usize)?));
        let bytes = range.and_then(|range| self.0.bytes.get(range));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| Error::Invalid("the range leaves the tensor".to_owned()))
    }

    pub(crate) async fn quantise(&self, scale: f32) -> Result<Self, Error> {
        yield_now().await;
        let bytes = self.0.f32s()?.iter().map(|value| (value * scale).round() as u8).collect();
        Ok(Self(Array { dtype: Dtype::U8, shape: self.0.shape.clone(), bytes }))
    }

    pub(crate) async fn argmax(&self) -> Result<(Self, Self), Error> {
        yield_now().await;
        let values = self.0.f32s()?;
        let Some((&classes @ 1.., shape)) = self.0.shape.split_last() else {
            return Err(Error::Invalid("argmax wants a last axis that is not empty".to_owned()));
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
        let (ids, tops): (Vec<i64>, Vec<f32>) = values.chunks_exact(classes as usize).map(greatest).unzip();
        Ok((Self(Array::i64(shape, ids)), Self(Array::f32(shape, tops))))
    }
}

pub(crate) fn tensor_from_bytes(dtype: Dtype, shape: &[u32], data: &[u8]) -> Result<Tensor, Error> {
    let array = Array { dtype, shape: shape.to_vec(), bytes: data.to_vec() };
    if !array.fits() {
        let wanted = shape.iter().map(|&n| u64::from(n)).product::<u64>() * element_bytes(dtype);
        return Err(Error::Invalid(format!("{} bytes where the shape wants {wanted}", data.len())));
    }
    Ok(Tensor(array))
}

pub(crate) struct Model(Rc<FakeModel>);

pub(crate) fn model_open(alias: &str) -> Result<Model, Error> {
    current(|state| state.models.get(alias).cloned())
        .map(Model)
        .ok_or_else(|| Error::Denied(format!("no model was granted as `{alias}`")))
}

impl Model {
    pub(crate) fn describe(&self) -> ModelInfo {
        self.0.info.clone()
    }

    pub(crate) fn labels(&self, indices: &[u32]) -> Result<Vec<String>, Error> {
        let label = |&index: &u32| {
            self.0.labels.get(index as usize).cloned().ok_or_else(|| {
                Error::Invalid(format!("label {index} of a model with {} labels", self.0.labels.len()))
            })
        };
        indices.iter().map(label).collect()
    }
}

pub(crate) async fn model_run(
    model: &Model,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<String>,
) -> Result<Vec<Tensor>, Error> {
    let fake = &model.0;
    let [(name, tensor)] = inputs.as_slice() else {
        return Err(Error::Invalid(format!("{} inputs for a model of one", inputs.len())));
    };
    if fake.info.inputs.first().is_none_or(|port| port.name != *name) {
        return Err(Error::Invalid(format!("the model has no input `{name}`")));
    }
    let rows = tensor.0.shape.first().copied().unwrap_or(1);
    if rows > fake.info.max_batch {
        return Err(Error::TooLarge(format!("{rows} rows are more than {}", fake.info.max_batch)));
    }
    fake.runs.set(fake.runs.get() + 1);
    fake.rows.set(fake.rows.get() + u64::from(rows));
    fake.in_flight.set(fake.in_flight.get() + 1);
    fake.in_flight_max.set(fake.in_flight_max.get().max(fake.in_flight.get()));
    yield_now().await;
    fake.in_flight.set(fake.in_flight.get() - 1);
    let given = (fake.compute)(&tensor.0)?;
    let pick = |wanted: String| {
        let at = fake.outputs.iter().position(|name| *name == wanted);
        let array = at.and_then(|at| given.get(at)).cloned();
        array.map(Tensor).ok_or_else(|| Error::Invalid(format!("the model has no output `{wanted}`")))
    };
    outputs.into_iter().map(pick).collect()
}

pub(crate) struct Span;

pub(crate) fn span_begin(name: &str) -> Span {
    current(|state| *state.spans.borrow_mut().entry(name.to_owned()).or_default() += 1);
    Span
}

pub(crate) fn log_write(level: Level, message: &str) {
    current(|state| state.logs.borrow_mut().push((level, message.to_owned())));
}
