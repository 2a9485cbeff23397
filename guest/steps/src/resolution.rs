//! Choice of the rendering resolution. Arithmetic only. Called once per page.

use lector_sdk::{Error, PageKind, Size};

/// Points in an inch.
const POINTS_PER_INCH: f32 = 72.0;

/// Minimum long side of a raster page after shrinking, in pixels: its stated resolution may be wrong.
const RASTER_SIDE_MIN: f32 = 3000.0;

/// Ratio of a raster page's resolution to the setting up to which the page is read at its own resolution.
const RASTER_FINER: f32 = 1.5;

/// Properties of a page before it is rendered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sheet {
    pub(crate) kind: PageKind,
    /// Width and height in points.
    pub(crate) size_pt: (f32, f32),
    pub(crate) native_dpi: Option<f32>,
    pub(crate) pixels_max: u64,
}

/// The chosen resolution.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolution {
    pub(crate) dpi: f32,
    /// Warning for the transcript if the page is rendered coarser than the settings request.
    pub(crate) warning: Option<String>,
}

/// Returns the preferred resolution: the request's, otherwise the setting's, or a raster page's own.
pub(crate) fn wanted(sheet: &Sheet, requested: Option<f32>, setting: f32) -> f32 {
    match (requested, sheet.kind, sheet.native_dpi) {
        (Some(dpi), ..) => dpi,
        (None, PageKind::Raster, Some(native)) if native > 0.0 => {
            let long_inches = sheet.size_pt.0.max(sheet.size_pt.1) / POINTS_PER_INCH;
            let floor = native.min(RASTER_SIDE_MIN / long_inches.max(f32::EPSILON));
            native.min(setting * RASTER_FINER).max(floor)
        }
        _ => setting,
    }
}

/// Returns the resolution to render at. A page that is too large is rendered coarser with a warning, unless the request
/// sets the resolution: then the host rejects it, with a message and a code that the client knows.
pub(crate) fn choose(sheet: &Sheet, requested: Option<f32>, setting: f32) -> Result<Resolution, Error> {
    let dpi = wanted(sheet, requested, setting);
    if !(dpi.is_finite() && dpi > 0.0) {
        let message = format!("{dpi} dpi is not a valid resolution; request a positive number");
        return Err(Error::invalid("dpi_invalid", message));
    }
    if requested.is_some() || fits(sheet, dpi) {
        return Ok(Resolution { dpi, warning: None });
    }
    let Some(most) = finest(sheet) else {
        let message = format!(
            "the page ({} x {} pt) cannot be rendered within {} pixels at any resolution",
            sheet.size_pt.0, sheet.size_pt.1, sheet.pixels_max
        );
        return Err(Error::too_large("page_too_large", message));
    };
    let warning = format!(
        "resolution lowered to {most:.0} dpi: at {dpi:.0} dpi the page ({:.0} x {:.0} pt) exceeds {} pixels",
        sheet.size_pt.0, sheet.size_pt.1, sheet.pixels_max
    );
    Ok(Resolution { dpi: most, warning: Some(warning) })
}

/// Returns the finest resolution within the limit.
fn finest(sheet: &Sheet) -> Option<f32> {
    let inches = (sheet.size_pt.0 / POINTS_PER_INCH) * (sheet.size_pt.1 / POINTS_PER_INCH);
    let mut dpi = (sheet.pixels_max as f32 / inches.max(f32::EPSILON)).sqrt();
    // Rounding up both sides may exceed the limit by a row and a column; on a page of extreme shape by more.
    for _ in 0..64 {
        if fits(sheet, dpi) {
            return Some(dpi);
        }
        dpi *= 0.99;
    }
    None
}

fn fits(sheet: &Sheet, dpi: f32) -> bool {
    let Size { width, height } = size(sheet, dpi);
    u64::from(width) * u64::from(height) <= sheet.pixels_max
}

/// Returns the size in pixels, rounded up, so that no host's rounding exceeds it.
fn size(sheet: &Sheet, dpi: f32) -> Size {
    // `as` saturates, and a saturated side never fits.
    let side = |points: f32| ((points / POINTS_PER_INCH * dpi).ceil().max(1.0)) as u32;
    Size { width: side(sheet.size_pt.0), height: side(sheet.size_pt.1) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const A4: (f32, f32) = (595.0, 842.0);

    fn pdf(size_pt: (f32, f32)) -> Sheet {
        Sheet { kind: PageKind::Pdf, size_pt, native_dpi: None, pixels_max: 40_000_000 }
    }

    fn raster(width: f32, height: f32, dpi: f32) -> Sheet {
        let size_pt = (width * 72.0 / dpi, height * 72.0 / dpi);
        Sheet { kind: PageKind::Raster, size_pt, native_dpi: Some(dpi), pixels_max: 40_000_000 }
    }

    #[test]
    fn the_request_wins_over_the_setting() {
        assert_eq!(choose(&pdf(A4), None, 200.0).unwrap().dpi, 200.0);
        assert_eq!(choose(&pdf(A4), Some(150.0), 200.0).unwrap().dpi, 150.0);
    }

    #[test]
    fn raster_pages_keep_their_pixels() {
        assert_eq!(choose(&raster(2480.0, 3508.0, 300.0), None, 200.0).unwrap().dpi, 300.0);
        assert_eq!(choose(&raster(1200.0, 800.0, 72.0), None, 200.0).unwrap().dpi, 72.0);
        assert_eq!(choose(&raster(4960.0, 7016.0, 600.0), None, 200.0).unwrap().dpi, 300.0);
        // An obviously wrong stated resolution does not shrink a small picture.
        assert_eq!(choose(&raster(300.0, 200.0, 1200.0), None, 200.0).unwrap().dpi, 1200.0);
    }

    #[test]
    fn oversize_pages_are_lowered_with_a_warning_unless_they_were_asked_for() {
        for side in [8400.0, 14400.0] {
            let sheet = pdf((side, side));
            let lowered = choose(&sheet, None, 200.0).unwrap();
            assert!(lowered.dpi < 200.0 && fits(&sheet, lowered.dpi));
            assert!(lowered.warning.unwrap().contains("lowered"));
            assert_eq!(choose(&sheet, Some(200.0), 200.0).unwrap(), Resolution { dpi: 200.0, warning: None });
        }
        let strip = pdf((14_400.0, 0.1));
        assert!(choose(&strip, None, 200.0).is_ok());
    }

    #[test]
    fn nonsense_is_refused() {
        for dpi in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = choose(&pdf(A4), Some(dpi), 200.0).unwrap_err();
            assert_eq!(error.code, "dpi_invalid", "{dpi}");
        }
    }
}
