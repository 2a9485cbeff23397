//! The interface package `lector:image`: pixels that live in the host.

use lector_core::{Blame, Fault, Image, Kind, PixelFormat, Rotation, Size, Tensor};
use lector_pixels::{self as pixels, Normalization};
use wasmtime::component::{Accessor, Resource};

use super::{Answer, Job, keep_tensor, operate, tensor_bytes};
use crate::bindings::lector::image::images as image;
use crate::bindings::lector::types::geometry;
use crate::convert;
use crate::handles::{ImageHandle, TensorHandle};
use crate::resource_accounting::Reservation;
use crate::view::{ImageCtx, View};

/// Maximum crops of one stack; far above any engine's batch.
const CROPS_MAX: usize = 4096;

fn invalid(message: String) -> Fault {
    Fault::new(Kind::Invalid, "image_argument_invalid", message).blaming(Blame::Guest)
}

fn bytes_of(format: PixelFormat, size: Size) -> u64 {
    size.pixels().saturating_mul(format.bytes() as u64)
}

impl image::HostImage for View<'_, ImageCtx> {
    fn from_bytes(
        &mut self,
        format: image::PixelFormat,
        size: geometry::Size,
        data: Vec<u8>,
    ) -> Answer<Resource<ImageHandle>> {
        self.enter()?;
        let charge = match self.charge(data.len() as u64) {
            Ok(charge) => charge,
            Err(fault) => return Ok(Err(self.tell(fault))),
        };
        let (given, format) = (data.len(), convert::pixel_format(format));
        match Image::new(format, convert::size(size), data) {
            Some(image) => Ok(Ok(self.keep(ImageHandle { image, charge })?)),
            None => {
                let geometry::Size { width, height } = size;
                let fault = invalid(format!(
                    "{given} bytes are not an image of {width} x {height} pixels, {} bytes each; no extent may be 0",
                    format.bytes()
                ));
                Ok(Err(self.tell(fault)))
            }
        }
    }

    fn format(&mut self, image: Resource<ImageHandle>) -> wasmtime::Result<image::PixelFormat> {
        self.enter()?;
        Ok(convert::pixel_format_out(self.table.get(&image)?.image.format()))
    }

    fn size(&mut self, image: Resource<ImageHandle>) -> wasmtime::Result<geometry::Size> {
        self.enter()?;
        let Size { width, height } = self.table.get(&image)?.image.size();
        Ok(geometry::Size { width, height })
    }

    fn read(
        &mut self,
        image: Resource<ImageHandle>,
        x: u32,
        y: u32,
        size: geometry::Size,
    ) -> Answer<Vec<u8>> {
        self.enter()?;
        let image = self.table.get(&image)?.image.clone();
        match self.host_work(|_| read(&image, x, y, convert::size(size))) {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(fault) => Ok(Err(self.tell(fault))),
        }
    }

    fn drop(&mut self, image: Resource<ImageHandle>) -> wasmtime::Result<()> {
        drop(self.table.delete(image)?.charge);
        Ok(())
    }
}

fn read(image: &Image, x: u32, y: u32, size: Size) -> Result<Vec<u8>, Fault> {
    let whole = image.size();
    let fits = u64::from(x) + u64::from(size.width) <= whole.width.into()
        && u64::from(y) + u64::from(size.height) <= whole.height.into();
    if !fits {
        return Err(invalid(format!(
            "the rectangle {} x {} at ({x}, {y}) exceeds the image of {} x {} pixels",
            size.width, size.height, whole.width, whole.height
        )));
    }
    let pixel = image.format().bytes();
    let (row, from) = (whole.width as usize * pixel, x as usize * pixel);
    let width = size.width as usize * pixel;
    let rows = image.samples().chunks_exact(row).skip(y as usize).take(size.height as usize);
    let mut out = Vec::with_capacity(width * size.height as usize);
    for line in rows {
        out.extend_from_slice(line.get(from..from + width).unwrap_or_default());
    }
    Ok(out)
}

/// An image to be made, and the work that makes it.
struct Made {
    format: PixelFormat,
    size: Size,
    work: Box<dyn FnOnce() -> Result<Image, pixels::PixelsError> + Send>,
}

/// Runs an operation from one image to another.
async fn image_to_image<T: Send + 'static>(
    store: &Accessor<T, ImageCtx>,
    source: Resource<ImageHandle>,
    prepare: impl FnOnce(Image) -> Made,
) -> Answer<Resource<ImageHandle>> {
    operate(
        store,
        |state| {
            let image = state.table.get(&source)?.image.clone();
            let read = image.bytes();
            let Made { format, size, work } = prepare(image);
            let made = bytes_of(format, size);
            Ok(state.charge(made).map(|charge| Job {
                charges: vec![charge],
                bytes: read.saturating_add(made),
                work,
            }))
        },
        |state, image, charges| {
            let charge = only(charges)?;
            state.keep(ImageHandle { image, charge })
        },
    )
    .await
}

fn only(charges: Vec<Reservation>) -> wasmtime::Result<Reservation> {
    charges
        .into_iter()
        .next()
        .ok_or_else(|| crate::abort::AbortReason::Defect("an operation without a reservation".into()).into())
}

impl<T: Send + 'static> image::HostImageWithStore<T> for ImageCtx {
    async fn encode(
        store: &Accessor<T, Self>,
        source: Resource<ImageHandle>,
        encoding: image::Encoding,
    ) -> Answer<Vec<u8>> {
        let encoding = convert::encoding(encoding);
        operate(
            store,
            |state| {
                let image = state.table.get(&source)?.image.clone();
                // A file is rarely larger than its pixels; the reservation covers it while it is made.
                let made = image.bytes();
                Ok(state.charge(made).map(|charge| Job {
                    charges: vec![charge],
                    bytes: made.saturating_mul(2),
                    work: Box::new(move || pixels::encode(&image, encoding)),
                }))
            },
            |_, file, charges| {
                drop(charges);
                Ok(file)
            },
        )
        .await
    }

    async fn convert(
        store: &Accessor<T, Self>,
        source: Resource<ImageHandle>,
        format: image::PixelFormat,
    ) -> Answer<Resource<ImageHandle>> {
        let format = convert::pixel_format(format);
        image_to_image(store, source, |image| Made {
            format,
            size: image.size(),
            work: Box::new(move || Ok(pixels::convert(&image, format))),
        })
        .await
    }

    async fn resize(
        store: &Accessor<T, Self>,
        source: Resource<ImageHandle>,
        size: geometry::Size,
        filter: image::Filter,
    ) -> Answer<Resource<ImageHandle>> {
        let (size, filter) = (convert::size(size), convert::filter(filter));
        image_to_image(store, source, |image| Made {
            format: image.format(),
            size,
            work: Box::new(move || pixels::resize(&image, size, filter)),
        })
        .await
    }

    async fn rotate(
        store: &Accessor<T, Self>,
        source: Resource<ImageHandle>,
        by: geometry::Rotation,
    ) -> Answer<Resource<ImageHandle>> {
        let by = convert::rotation(by);
        image_to_image(store, source, |image| {
            let Size { width, height } = image.size();
            let size = match by {
                Rotation::None | Rotation::Half => image.size(),
                Rotation::Quarter | Rotation::ThreeQuarters => Size { width: height, height: width },
            };
            Made { format: image.format(), size, work: Box::new(move || Ok(pixels::rotate(&image, by))) }
        })
        .await
    }

    async fn crop(
        store: &Accessor<T, Self>,
        source: Resource<ImageHandle>,
        quad: geometry::Quad,
        size: geometry::Size,
    ) -> Answer<Resource<ImageHandle>> {
        let (quad, size) = (convert::quad(quad), convert::size(size));
        image_to_image(store, source, |image| Made {
            format: image.format(),
            size,
            work: Box::new(move || pixels::crop(&image, &quad, size)),
        })
        .await
    }
}

impl image::Host for View<'_, ImageCtx> {}

fn keep_one(
    state: &mut View<'_, ImageCtx>,
    tensor: Tensor,
    charges: Vec<Reservation>,
) -> wasmtime::Result<Resource<TensorHandle>> {
    keep_tensor(state, tensor, 1.0, only(charges)?)
}

/// Returns the fraction of a stack's columns that are content of the crops.
fn content_of(crops: &[image::Crop], width: u32) -> f32 {
    let own: u64 = crops.iter().map(|crop| u64::from(crop.width.min(width))).sum();
    let all = crops.len() as u64 * u64::from(width);
    if all == 0 { 1.0 } else { own as f32 / all as f32 }
}

impl<T: Send + 'static> image::HostWithStore<T> for ImageCtx {
    async fn to_tensor(
        store: &Accessor<T, Self>,
        source: Resource<ImageHandle>,
        normalization: image::Normalization,
    ) -> Answer<Resource<TensorHandle>> {
        let normalization: Normalization = convert::normalization(normalization);
        operate(
            store,
            |state| {
                let image = state.table.get(&source)?.image.clone();
                let made = image.bytes().saturating_mul(4);
                Ok(state.charge(made).map(|charge| Job {
                    charges: vec![charge],
                    bytes: image.bytes() + made,
                    work: Box::new(move || pixels::to_tensor(&image, &normalization)),
                }))
            },
            keep_one,
        )
        .await
    }

    async fn stack(
        store: &Accessor<T, Self>,
        crops: Vec<image::Crop>,
        size: geometry::Size,
        normalization: image::Normalization,
    ) -> Answer<Resource<TensorHandle>> {
        let normalization: Normalization = convert::normalization(normalization);
        let content = content_of(&crops, size.width);
        operate(
            store,
            |state| {
                if crops.len() > CROPS_MAX {
                    let message = format!(
                        "a stack may have at most {CROPS_MAX} crops, and this one has {}",
                        crops.len()
                    );
                    return Ok(Err(invalid(message)));
                }
                let taken: wasmtime::Result<Vec<pixels::Crop>> = crops
                    .into_iter()
                    .map(|crop| {
                        let image = state.table.get(&crop.image)?.image.clone();
                        Ok(pixels::Crop { image, quad: convert::quad(crop.quad), width: crop.width })
                    })
                    .collect();
                let crops = taken?;
                let channels = crops.first().map_or(3, |crop| crop.image.format().bytes() as u64);
                let shape = [crops.len() as u64, channels, size.height.into(), size.width.into()];
                let made = tensor_bytes(&shape, 4);
                let size = convert::size(size);
                Ok(state.charge(made).map(|charge| Job {
                    charges: vec![charge],
                    bytes: made,
                    work: Box::new(move || pixels::stack(&crops, size, &normalization)),
                }))
            },
            |state, tensor, charges| keep_tensor(state, tensor, content, only(charges)?),
        )
        .await
    }
}
