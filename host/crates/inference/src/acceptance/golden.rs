//! The golden batch: pictures of the catalog as the tensors that a model takes.
//!
//! Pictures are netpbm (P5 gray, P6 RGB, one byte a sample), which needs no codec. They belong to the catalog and are
//! still read with bounds.

use std::path::Path;

use lector_core::{Tensor, TensorData};

use crate::catalog::{ModelEntry, Task};

/// Largest picture file.
const PICTURE_BYTES_MAX: u64 = 16 << 20;
const PICTURES_MAX: usize = 64;

/// A picture, samples in rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1: gray; 3: red, green and blue.
    pub channels: usize,
    /// `height * width * channels` samples.
    pub samples: Vec<u8>,
}

/// The runs of a golden batch.
pub(crate) struct Golden {
    /// Each picture alone, then batches.
    pub(crate) runs: Vec<Tensor>,
    /// Number of pictures.
    pub(crate) pictures: usize,
}

impl Picture {
    /// Parses a P5 or P6 picture.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let channels = match bytes.get(..2) {
            Some(b"P5") => 1,
            Some(b"P6") => 3,
            _ => return Err("not a netpbm picture of kind P5 or P6".to_owned()),
        };
        let mut rest = bytes.get(2..).unwrap_or_default();
        let mut number = |what: &str| number(&mut rest).ok_or_else(|| format!("no {what} in the header"));
        let (width, height, most) = (number("width")?, number("height")?, number("maximum")?);
        if most != 255 {
            return Err(format!("its greatest sample value is {most}, must be 255"));
        }
        // One white space ends the header.
        let samples = rest.get(1..).unwrap_or_default();
        let expected = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
        if width == 0 || expected != Some(samples.len()) {
            return Err(format!(
                "{width} x {height} x {channels} samples are declared, and the file has {}",
                samples.len()
            ));
        }
        Ok(Self { width, height, channels, samples: samples.to_vec() })
    }

    fn read(path: &Path) -> Result<Self, String> {
        let failed = |what: String| format!("golden picture {}: {what}", path.display());
        let bytes = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
        if bytes > PICTURE_BYTES_MAX {
            return Err(failed(format!("{bytes} bytes; the limit is {PICTURE_BYTES_MAX}")));
        }
        Self::parse(&std::fs::read(path).map_err(|e| failed(e.to_string()))?).map_err(failed)
    }

    /// Returns normalized planes, padded with zeros on the right up to `width`.
    fn planes(&self, entry: &ModelEntry, width: usize) -> Vec<f32> {
        let spec = &entry.preprocess;
        let (mean, std) = (spec.mean.unwrap_or([0.0; 3]), spec.std.unwrap_or([1.0; 3]));
        let bgr = spec.channels.as_deref() == Some("bgr");
        let mut planes = Vec::with_capacity(3 * self.height * width);
        for (channel, (mean, std)) in mean.into_iter().zip(std).enumerate() {
            let sample = if self.channels == 1 {
                0
            } else if bgr {
                2 - channel
            } else {
                channel
            };
            for row in self.samples.chunks_exact(self.width * self.channels) {
                let values = row.iter().skip(sample).step_by(self.channels);
                planes.extend(values.map(|&v| (f32::from(v) / 255.0 - mean) / std));
                planes.resize(planes.len() + width - self.width, 0.0);
            }
        }
        planes
    }
}

/// Reads a decimal number after white space and comments.
fn number(rest: &mut &[u8]) -> Option<usize> {
    loop {
        match rest.first()? {
            b'#' => *rest = rest.get(rest.iter().position(|&b| b == b'\n')?..)?,
            byte if byte.is_ascii_whitespace() => *rest = rest.get(1..)?,
            _ => break,
        }
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    std::str::from_utf8(number).ok()?.parse().ok()
}

impl Golden {
    /// Reads a model's golden batch.
    pub(crate) fn read(entry: &ModelEntry, paths: &[std::path::PathBuf]) -> Result<Self, String> {
        if paths.is_empty() || paths.len() > PICTURES_MAX {
            return Err(format!("a golden batch has 1 to {PICTURES_MAX} pictures, not {}", paths.len()));
        }
        let pictures = paths.iter().map(|path| Picture::read(path)).collect::<Result<Vec<_>, _>>()?;
        Self::of(entry, &pictures)
    }

    /// Stacks the runs: each picture alone, then batches of pictures that fit into one shape.
    pub(crate) fn of(entry: &ModelEntry, pictures: &[Picture]) -> Result<Self, String> {
        let mut runs = Vec::new();
        for picture in pictures {
            runs.push(stack(entry, &[picture], fitted(entry, picture)?)?);
        }
        let most = usize::try_from(entry.engine.max_batch).unwrap_or(1);
        // Lines may be padded to the width of others; pages and classified pictures stack only with those of equal
        // size.
        let mut groups: Vec<Vec<&Picture>> = Vec::new();
        for picture in pictures {
            let fits = |group: &Vec<&Picture>| {
                let like = |other: &&Picture| {
                    other.height == picture.height
                        && (entry.task == Task::Recognition || other.width == picture.width)
                };
                group.len() < most && group.first().is_some_and(like)
            };
            match groups.iter_mut().find(|group| fits(group)) {
                Some(group) => group.push(picture),
                None => groups.push(vec![picture]),
            }
        }
        for group in groups.into_iter().filter(|group| group.len() > 1) {
            let widths = group.iter().map(|picture| fitted(entry, picture)).collect::<Result<Vec<_>, _>>()?;
            runs.push(stack(entry, &group, widths.into_iter().max().unwrap_or(0))?);
        }
        Ok(Self { runs, pictures: pictures.len() })
    }
}

fn stack(entry: &ModelEntry, pictures: &[&Picture], width: usize) -> Result<Tensor, String> {
    let height = pictures.first().map_or(0, |picture| picture.height);
    let data = pictures.iter().flat_map(|picture| picture.planes(entry, width)).collect();
    Tensor::new(&[pictures.len(), 3, height, width], TensorData::F32(data))
        .ok_or_else(|| "golden pictures of one batch have different shapes".to_owned())
}

/// Returns the width of the tensor for a picture: its own, rounded up to the next step. A picture that does not fit is
/// an error.
fn fitted(entry: &ModelEntry, picture: &Picture) -> Result<usize, String> {
    let Picture { width, height, .. } = *picture;
    let wrong = |what: String| Err(format!("a golden picture of {width} x {height} pixels: {what}"));
    let (spec, engine) = (&entry.preprocess, &entry.engine);
    if let Some(expected) = spec.height.filter(|&h| h as usize != height) {
        return wrong(format!("the model takes a height of {expected}"));
    }
    if let Some(expected) = spec.width.filter(|&w| w as usize != width) {
        return wrong(format!("the model takes a width of {expected}"));
    }
    if let Some(steps) = engine.side
        && !(width.is_multiple_of(steps.step as usize) && height.is_multiple_of(steps.step as usize))
    {
        return wrong(format!("its sides must be multiples of {}", steps.step));
    }
    let width = engine.width.map_or(width, |steps| width.next_multiple_of(steps.step as usize));
    match engine.width.or(engine.side) {
        Some(steps) if width > steps.max as usize => wrong(format!("wider than {}", steps.max)),
        _ => Ok(width),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn netpbm_is_read_with_comments_and_without_trust() {
        let picture = Picture::parse(b"P5\n# made by hand\n2 1\n255\n\x00\xff").unwrap();
        assert_eq!(picture, Picture { width: 2, height: 1, channels: 1, samples: vec![0, 255] });
        assert_eq!(Picture::parse(b"P6 1 1 255 abc").unwrap().channels, 3);
        for wrong in [&b""[..], b"P5", b"P4 1 1 255 a", b"P5 1 1 65535 aa", b"P5 2 2 255 abc", b"P5 0 1 255 "]
        {
            assert!(Picture::parse(wrong).is_err(), "{wrong:?}");
        }
        let huge = format!("P5 {} {} 255 a", usize::MAX, 3);
        assert!(Picture::parse(huge.as_bytes()).is_err());
    }
}
