//! Between the contract's types and the host's, both ways; and the one place that turns a `Fault` into the
//! contract's error. Answers of guests are checked in `answer`, not here.

use lector_core::{Batching, Priority};
use lector_core::{
    Blame, Complaint, Declaration, Dtype, Fault, Finding, Kind, Line, ModelInfo, Origin, PageRequest, Point,
    Quad, Rect, Size, TextLayer, TextLayerPolicy, Transcript, Turn, Word,
};
use lector_pixels as pixels;

use crate::bindings::exports::lector::ocr::pipeline;
use crate::bindings::lector::ocr::{document, image, inference, types};

/// A fault as a guest sees it: the case that tells it how to react, and the sentence for people. The cause
/// stays in the host.
pub fn error(fault: &Fault) -> types::Error {
    let message = fault.message.clone();
    match fault.kind {
        // What the client sent cannot be read; anything else invalid is an argument of the guest's.
        Kind::Invalid if fault.blame == Blame::Client => types::Error::Unreadable(message),
        Kind::Invalid | Kind::NotFound | Kind::Conflict => types::Error::Invalid(message),
        Kind::TooLarge => types::Error::TooLarge(message),
        Kind::Denied => types::Error::Denied(message),
        Kind::Busy => types::Error::Busy(message),
        Kind::Deadline => types::Error::Deadline(message),
        Kind::GuestFault | Kind::Unavailable | Kind::Bug => types::Error::Failed(message),
    }
}

/// A guest's own error as a fault: the code by the case, and who is to blame for such a case.
pub fn fault(error: types::Error) -> Fault {
    let (kind, code, blame, message) = match error {
        types::Error::Invalid(m) => (Kind::GuestFault, "guest_error_invalid", Blame::Guest, m),
        types::Error::Unreadable(m) => (Kind::Invalid, "guest_error_unreadable", Blame::Client, m),
        types::Error::TooLarge(m) => (Kind::TooLarge, "guest_error_too_large", Blame::Client, m),
        types::Error::Denied(m) => (Kind::Denied, "guest_error_denied", Blame::Guest, m),
        types::Error::Busy(m) => (Kind::Busy, "guest_error_busy", Blame::Host, m),
        types::Error::Deadline(m) => (Kind::Deadline, "guest_error_deadline", Blame::Host, m),
        types::Error::Failed(m) => (Kind::GuestFault, "guest_error_failed", Blame::Guest, m),
    };
    Fault::new(kind, code, message).blaming(blame)
}

/// The sentence of a guest's error.
pub fn message(error: &types::Error) -> &str {
    match error {
        types::Error::Invalid(m)
        | types::Error::Unreadable(m)
        | types::Error::TooLarge(m)
        | types::Error::Denied(m)
        | types::Error::Busy(m)
        | types::Error::Deadline(m)
        | types::Error::Failed(m) => m,
    }
}

pub fn size(size: types::Size) -> Size {
    Size { width: size.width, height: size.height }
}

pub fn turn(turn: types::Turn) -> Turn {
    match turn {
        types::Turn::None => Turn::None,
        types::Turn::Quarter => Turn::Quarter,
        types::Turn::Half => Turn::Half,
        types::Turn::ThreeQuarters => Turn::ThreeQuarters,
    }
}

fn turn_out(turn: Turn) -> types::Turn {
    match turn {
        Turn::None => types::Turn::None,
        Turn::Quarter => types::Turn::Quarter,
        Turn::Half => types::Turn::Half,
        Turn::ThreeQuarters => types::Turn::ThreeQuarters,
    }
}

pub fn quad(quad: types::Quad) -> Quad {
    let point = |p: types::Point| Point { x: p.x, y: p.y };
    Quad([point(quad.top_left), point(quad.top_right), point(quad.bottom_right), point(quad.bottom_left)])
}

fn quad_out(quad: Quad) -> types::Quad {
    let [a, b, c, d] = quad.0.map(|p| types::Point { x: p.x, y: p.y });
    types::Quad { top_left: a, top_right: b, bottom_right: c, bottom_left: d }
}

pub fn filter(filter: image::Filter) -> pixels::Filter {
    match filter {
        image::Filter::Nearest => pixels::Filter::Nearest,
        image::Filter::Bilinear => pixels::Filter::Bilinear,
        image::Filter::Cubic => pixels::Filter::Cubic,
        image::Filter::Lanczos => pixels::Filter::Lanczos,
    }
}

pub fn normalisation(n: image::Normalisation) -> pixels::Normalisation {
    let triple = |(a, b, c): (f32, f32, f32)| [a, b, c];
    let channels = match n.channels {
        image::Channels::Rgb => pixels::Channels::Rgb,
        image::Channels::Bgr => pixels::Channels::Bgr,
    };
    pixels::Normalisation { mean: triple(n.mean), std: triple(n.std), channels }
}

pub fn crop(crop: image::Crop) -> pixels::Crop {
    pixels::Crop { quad: quad(crop.quad), width: crop.width }
}

pub fn dtype(dtype: inference::Dtype) -> Dtype {
    match dtype {
        inference::Dtype::U8 => Dtype::U8,
        inference::Dtype::F32 => Dtype::F32,
        inference::Dtype::S64 => Dtype::S64,
    }
}

pub fn dtype_out(dtype: Dtype) -> inference::Dtype {
    match dtype {
        Dtype::U8 => inference::Dtype::U8,
        Dtype::F32 => inference::Dtype::F32,
        Dtype::S64 => inference::Dtype::S64,
    }
}

pub fn model_info(info: &ModelInfo) -> inference::ModelInfo {
    let ports = |ports: &[lector_core::model::PortInfo]| {
        ports
            .iter()
            .map(|port| inference::Port {
                name: port.name.clone(),
                dtype: dtype_out(port.dtype),
                shape: port.shape.clone(),
            })
            .collect()
    };
    inference::ModelInfo {
        name: info.name.as_str().to_owned(),
        inputs: ports(&info.inputs),
        outputs: ports(&info.outputs),
        labels: u32::try_from(info.labels.len()).unwrap_or(u32::MAX),
        width_buckets: info.width_buckets.clone(),
        max_batch: info.max_batch,
    }
}

pub fn text_layer(layer: TextLayer) -> document::TextLayer {
    let rect = |r: Rect| types::Rect { x: r.x, y: r.y, width: r.width, height: r.height };
    document::TextLayer {
        spans: layer
            .spans
            .into_iter()
            .map(|span| document::TextSpan {
                text: span.text,
                area: rect(span.area),
                font_size: span.font_size,
                visible: span.visible,
                ends_line: span.ends_line,
            })
            .collect(),
        pictures: layer.pictures.into_iter().map(rect).collect(),
        unmapped: layer.unmapped,
    }
}

pub fn request(id: &str, request: PageRequest) -> pipeline::Request {
    pipeline::Request {
        id: id.to_owned(),
        dpi: request.dpi,
        text_layer: request.text_layer.map(|policy| match policy {
            TextLayerPolicy::Auto => pipeline::TextLayerPolicy::Auto,
            TextLayerPolicy::Never => pipeline::TextLayerPolicy::Never,
            TextLayerPolicy::Only => pipeline::TextLayerPolicy::Only,
        }),
        words: request.words,
    }
}

pub fn declaration(declaration: pipeline::Declaration) -> Declaration {
    let batching = |b: pipeline::Batching| Batching {
        model: b.model,
        max_batch: b.max_batch,
        max_wait_us: b.max_wait_us,
        preferred_widths: b.preferred_widths,
        priority: match b.priority {
            pipeline::Priority::High => Priority::High,
            pipeline::Priority::Normal => Priority::Normal,
            pipeline::Priority::Low => Priority::Low,
        },
        isolated: b.isolated,
    };
    Declaration {
        models: declaration.models,
        batching: declaration.batching.into_iter().map(batching).collect(),
        features: declaration.features,
    }
}

pub fn complaint(complaint: pipeline::Complaint) -> Complaint {
    Complaint { pointer: complaint.pointer, message: complaint.message }
}

pub fn transcript(page: types::Transcript) -> Transcript {
    let word = |w: types::Word| Word { text: w.text, confidence: w.confidence, quad: quad(w.quad) };
    let line = |l: types::Line| Line {
        text: l.text,
        confidence: l.confidence,
        quad: quad(l.quad),
        words: l.words.into_iter().map(word).collect(),
        origin: match l.origin {
            types::Origin::Ocr => Origin::Ocr,
            types::Origin::TextLayer => Origin::TextLayer,
        },
        block: l.block,
    };
    let finding =
        |f: types::Finding| Finding { kind: f.kind, text: f.text, line: f.line, quad: quad(f.quad) };
    Transcript {
        size: size(page.size),
        dpi: page.dpi,
        turn: turn(page.turn),
        lines: page.lines.into_iter().map(line).collect(),
        findings: page.findings.into_iter().map(finding).collect(),
        warnings: page.warnings,
    }
}

pub fn transcript_out(page: &Transcript) -> types::Transcript {
    let word =
        |w: &Word| types::Word { text: w.text.clone(), confidence: w.confidence, quad: quad_out(w.quad) };
    let line = |l: &Line| types::Line {
        text: l.text.clone(),
        confidence: l.confidence,
        quad: quad_out(l.quad),
        words: l.words.iter().map(word).collect(),
        origin: match l.origin {
            Origin::Ocr => types::Origin::Ocr,
            Origin::TextLayer => types::Origin::TextLayer,
        },
        block: l.block,
    };
    let finding = |f: &Finding| types::Finding {
        kind: f.kind.clone(),
        text: f.text.clone(),
        line: f.line,
        quad: quad_out(f.quad),
    };
    types::Transcript {
        size: types::Size { width: page.size.width, height: page.size.height },
        dpi: page.dpi,
        turn: turn_out(page.turn),
        lines: page.lines.iter().map(line).collect(),
        findings: page.findings.iter().map(finding).collect(),
        warnings: page.warnings.clone(),
    }
}
