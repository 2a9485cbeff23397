//! Conversions between the types of the contract and of the host, in both directions, and the only place that turns a
//! `Fault` into an error of the contract. `answer` validates the answers of guests, not this module.

use lector_core::{Batching, Priority};
use lector_core::{
    Blame, Block, BlockKind, Cell, ConfigError, Direction, Dtype, Fault, Finding, Kind, Line, LineSource,
    ModelInfo, PageRequest, PipelineInfo, PixelFormat, Point, Quad, Rect, Rotation, Size, Summary, Table,
    TextLayer, TextLayerPolicy, Transcript, Word,
};
use lector_pixels as pixels;

use crate::bindings::lector::image::images as image;
use crate::bindings::lector::inference::{models, tensors};
use crate::bindings::lector::ocr::{document, model, pipeline_types as pipeline};
use crate::bindings::lector::types::{errors, geometry};

/// Converts a fault to an error for the guest: the kind decides the guest's reaction, code and message give the reason.
/// The cause stays in the host.
pub fn error(fault: &Fault) -> errors::Error {
    use errors::ErrorKind as K;
    let kind = match fault.kind {
        // `Unreadable` is for input of the client; any other invalid value is an argument of the guest.
        Kind::Invalid if fault.blame == Blame::Client => K::Unreadable,
        Kind::Invalid | Kind::NotFound | Kind::Conflict => K::Invalid,
        Kind::TooLarge => K::TooLarge,
        Kind::Denied => K::Denied,
        Kind::Busy => K::Busy,
        Kind::Deadline => K::Deadline,
        Kind::GuestFault | Kind::Unavailable | Kind::Bug => K::Failed,
    };
    errors::Error {
        kind,
        code: code(fault).to_owned(),
        message: fault.message.clone(),
        retry_after_ms: fault.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// Returns the code of a fault for the guest: the code that an inner guest gave, if any.
pub fn code(fault: &Fault) -> &str {
    fault.guest_code.as_deref().unwrap_or(fault.code)
}

/// Converts a guest's own error to a fault: the code and the blame follow from its kind.
pub fn fault(error: errors::Error) -> Fault {
    use errors::ErrorKind as K;
    let (kind, code, blame) = match error.kind {
        K::Invalid => (Kind::GuestFault, "guest_error_invalid", Blame::Guest),
        K::Unreadable => (Kind::Invalid, "guest_error_unreadable", Blame::Client),
        K::TooLarge => (Kind::TooLarge, "guest_error_too_large", Blame::Client),
        K::Denied => (Kind::Denied, "guest_error_denied", Blame::Guest),
        K::Busy => (Kind::Busy, "guest_error_busy", Blame::Host),
        K::Deadline => (Kind::Deadline, "guest_error_deadline", Blame::Host),
        K::Failed => (Kind::GuestFault, "guest_error_failed", Blame::Guest),
    };
    let mut fault = Fault::new(kind, code, error.message).blaming(blame);
    fault.retry_after = error.retry_after_ms.map(std::time::Duration::from_millis);
    fault.guest_code = (!error.code.is_empty()).then(|| error.code.into());
    fault
}

pub fn size(size: geometry::Size) -> Size {
    Size { width: size.width, height: size.height }
}

pub fn rotation(rotation: geometry::Rotation) -> Rotation {
    match rotation {
        geometry::Rotation::None => Rotation::None,
        geometry::Rotation::Quarter => Rotation::Quarter,
        geometry::Rotation::Half => Rotation::Half,
        geometry::Rotation::ThreeQuarters => Rotation::ThreeQuarters,
    }
}

fn rotation_out(rotation: Rotation) -> geometry::Rotation {
    match rotation {
        Rotation::None => geometry::Rotation::None,
        Rotation::Quarter => geometry::Rotation::Quarter,
        Rotation::Half => geometry::Rotation::Half,
        Rotation::ThreeQuarters => geometry::Rotation::ThreeQuarters,
    }
}

pub fn quad(quad: geometry::Quad) -> Quad {
    let point = |p: geometry::Point| Point { x: p.x, y: p.y };
    Quad([point(quad.top_left), point(quad.top_right), point(quad.bottom_right), point(quad.bottom_left)])
}

fn quad_out(quad: Quad) -> geometry::Quad {
    let [a, b, c, d] = quad.0.map(|p| geometry::Point { x: p.x, y: p.y });
    geometry::Quad { top_left: a, top_right: b, bottom_right: c, bottom_left: d }
}

pub fn filter(filter: image::Filter) -> pixels::Filter {
    match filter {
        image::Filter::Nearest => pixels::Filter::Nearest,
        image::Filter::Bilinear => pixels::Filter::Bilinear,
        image::Filter::Cubic => pixels::Filter::Cubic,
        image::Filter::Lanczos => pixels::Filter::Lanczos,
    }
}

pub fn normalization(n: image::Normalization) -> pixels::Normalization {
    let triple = |(a, b, c): (f32, f32, f32)| [a, b, c];
    let channels = match n.channels {
        image::Channels::Rgb => pixels::Channels::Rgb,
        image::Channels::Bgr => pixels::Channels::Bgr,
    };
    pixels::Normalization { mean: triple(n.mean), std: triple(n.std), channels }
}

pub fn encoding(encoding: image::Encoding) -> pixels::Encoding {
    match encoding {
        image::Encoding::Png => pixels::Encoding::Png,
        image::Encoding::Jpeg(quality) => pixels::Encoding::Jpeg(quality),
    }
}

pub fn pixel_format(format: image::PixelFormat) -> PixelFormat {
    match format {
        image::PixelFormat::Rgb8 => PixelFormat::Rgb8,
        image::PixelFormat::Gray8 => PixelFormat::Gray8,
    }
}

pub fn pixel_format_out(format: PixelFormat) -> image::PixelFormat {
    match format {
        PixelFormat::Rgb8 => image::PixelFormat::Rgb8,
        PixelFormat::Gray8 => image::PixelFormat::Gray8,
    }
}

/// Both directions of the element types, which have the same names on both sides.
macro_rules! dtypes {
    ($($kind:ident)*) => {
        pub fn dtype(dtype: tensors::Dtype) -> Dtype {
            match dtype {
                $(tensors::Dtype::$kind => Dtype::$kind,)*
            }
        }

        pub fn dtype_out(dtype: Dtype) -> tensors::Dtype {
            match dtype {
                $(Dtype::$kind => tensors::Dtype::$kind,)*
            }
        }
    };
}

dtypes!(Bool U8 S8 U16 S16 U32 S32 U64 S64 F16 Bf16 F32 F64);

pub fn model_info(info: &ModelInfo) -> models::ModelInfo {
    let ports = |ports: &[lector_core::model::PortInfo]| {
        ports
            .iter()
            .map(|port| models::Port {
                name: port.name.clone(),
                dtype: dtype_out(port.dtype),
                shape: port.shape.clone(),
            })
            .collect()
    };
    models::ModelInfo {
        name: info.name.as_str().to_owned(),
        inputs: ports(&info.inputs),
        outputs: ports(&info.outputs),
        labels: u32::try_from(info.labels.len()).unwrap_or(u32::MAX),
        width_buckets: info.width_buckets.clone(),
        max_batch: info.max_batch,
    }
}

fn source(source: model::Source) -> LineSource {
    match source {
        model::Source::Ocr => LineSource::Ocr,
        model::Source::TextLayer => LineSource::TextLayer,
        model::Source::FormField => LineSource::FormField,
        model::Source::Annotation => LineSource::Annotation,
    }
}

fn source_out(source: LineSource) -> model::Source {
    match source {
        LineSource::Ocr => model::Source::Ocr,
        LineSource::TextLayer => model::Source::TextLayer,
        LineSource::FormField => model::Source::FormField,
        LineSource::Annotation => model::Source::Annotation,
    }
}

pub fn text_layer(layer: TextLayer) -> document::TextLayer {
    let rect = |r: Rect| geometry::Rect { x: r.x, y: r.y, width: r.width, height: r.height };
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
                source: source_out(span.source),
            })
            .collect(),
        pictures: layer.pictures.into_iter().map(rect).collect(),
        unmapped: layer.unmapped,
        rules: layer.rules.into_iter().map(rect).collect(),
    }
}

/// Converts the options of a page, with the name of its file.
pub fn request(id: &str, file_name: Option<&str>, request: PageRequest) -> pipeline::Request {
    pipeline::Request {
        id: id.to_owned(),
        dpi: request.dpi,
        text_layer: request.text_layer.map(|policy| match policy {
            TextLayerPolicy::Auto => pipeline::TextLayerPolicy::Auto,
            TextLayerPolicy::Never => pipeline::TextLayerPolicy::Never,
            TextLayerPolicy::Only => pipeline::TextLayerPolicy::Only,
        }),
        words: request.words,
        file_name: file_name.map(str::to_owned),
        page_count: request.page_count,
    }
}

/// Converts the options that a wrapping guest passes to the pipeline that it wraps.
pub fn request_in(request: pipeline::Request, explain: bool) -> PageRequest {
    PageRequest {
        dpi: request.dpi,
        text_layer: request.text_layer.map(|policy| match policy {
            pipeline::TextLayerPolicy::Auto => TextLayerPolicy::Auto,
            pipeline::TextLayerPolicy::Never => TextLayerPolicy::Never,
            pipeline::TextLayerPolicy::Only => TextLayerPolicy::Only,
        }),
        words: request.words,
        explain,
        page_count: request.page_count,
    }
}

pub fn pipeline_info(info: pipeline::PipelineInfo) -> PipelineInfo {
    let batching = |b: pipeline::BatchingConfig| Batching {
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
    PipelineInfo {
        models: info.models,
        batching: info.batching.into_iter().map(batching).collect(),
        features: info.features,
    }
}

pub fn declaration_out(pipeline_info: PipelineInfo) -> pipeline::PipelineInfo {
    let batching = |b: Batching| pipeline::BatchingConfig {
        model: b.model,
        max_batch: b.max_batch,
        max_wait_us: b.max_wait_us,
        preferred_widths: b.preferred_widths,
        priority: match b.priority {
            Priority::High => pipeline::Priority::High,
            Priority::Normal => pipeline::Priority::Normal,
            Priority::Low => pipeline::Priority::Low,
        },
        isolated: b.isolated,
    };
    pipeline::PipelineInfo {
        models: pipeline_info.models,
        batching: pipeline_info.batching.into_iter().map(batching).collect(),
        features: pipeline_info.features,
    }
}

pub fn config_error(error: pipeline::ConfigError) -> ConfigError {
    ConfigError { pointer: error.pointer, message: error.message }
}

pub fn summary(summary: pipeline::Summary) -> Summary {
    Summary { text: summary.text, properties: summary.properties }
}

pub fn summary_out(summary: Summary) -> pipeline::Summary {
    pipeline::Summary { text: summary.text, properties: summary.properties }
}

/// Both directions of the block kinds without data.
macro_rules! block_kinds {
    ($($kind:ident)*) => {
        fn block_kind(kind: model::BlockKind) -> BlockKind {
            match kind {
                $(model::BlockKind::$kind => BlockKind::$kind,)*
                model::BlockKind::Heading(level) => BlockKind::Heading { level },
                model::BlockKind::Other(name) => BlockKind::Other { name },
            }
        }

        fn block_kind_out(kind: &BlockKind) -> model::BlockKind {
            match kind {
                $(BlockKind::$kind => model::BlockKind::$kind,)*
                BlockKind::Heading { level } => model::BlockKind::Heading(*level),
                BlockKind::Other { name } => model::BlockKind::Other(name.clone()),
            }
        }
    };
}

block_kinds!(Title Text ListItem Table Figure Caption Formula Header Footer PageNumber Footnote Code FormField Stamp);

fn direction(direction: model::Direction) -> Direction {
    match direction {
        model::Direction::Ltr => Direction::Ltr,
        model::Direction::Rtl => Direction::Rtl,
        model::Direction::Ttb => Direction::Ttb,
    }
}

fn direction_out(direction: Direction) -> model::Direction {
    match direction {
        Direction::Ltr => model::Direction::Ltr,
        Direction::Rtl => model::Direction::Rtl,
        Direction::Ttb => model::Direction::Ttb,
    }
}

pub fn transcript(page: model::Transcript) -> Transcript {
    let word = |w: model::Word| Word { text: w.text, confidence: w.confidence, quad: quad(w.quad) };
    let line = |l: model::Line| Line {
        text: l.text,
        confidence: l.confidence,
        quad: quad(l.quad),
        words: l.words.into_iter().map(word).collect(),
        source: source(l.source),
        direction: direction(l.direction),
        block_id: l.block_id,
    };
    let cell = |c: model::Cell| Cell {
        row: c.row,
        column: c.column,
        row_span: c.row_span,
        column_span: c.column_span,
        header: c.header,
        quad: quad(c.quad),
        text: c.text,
        lines: c.lines,
    };
    let block = |b: model::Block| Block {
        id: b.id,
        kind: block_kind(b.kind),
        quad: quad(b.quad),
        confidence: b.confidence,
        table: b.table.map(|table| Table {
            rows: table.rows,
            columns: table.columns,
            cells: table.cells.into_iter().map(cell).collect(),
        }),
        properties: b.properties,
    };
    let finding = |f: model::Finding| Finding {
        kind: f.kind,
        text: f.text,
        value: f.value,
        confidence: f.confidence,
        lines: f.lines,
        quad: quad(f.quad),
    };
    Transcript {
        size: size(page.size),
        dpi: page.dpi,
        rotation: rotation(page.rotation),
        lines: page.lines.into_iter().map(line).collect(),
        blocks: page.blocks.into_iter().map(block).collect(),
        findings: page.findings.into_iter().map(finding).collect(),
        warnings: page.warnings,
        properties: page.properties,
    }
}

pub fn transcript_out(page: &Transcript) -> model::Transcript {
    let word =
        |w: &Word| model::Word { text: w.text.clone(), confidence: w.confidence, quad: quad_out(w.quad) };
    let line = |l: &Line| model::Line {
        text: l.text.clone(),
        confidence: l.confidence,
        quad: quad_out(l.quad),
        words: l.words.iter().map(word).collect(),
        source: source_out(l.source),
        direction: direction_out(l.direction),
        block_id: l.block_id,
    };
    let cell = |c: &Cell| model::Cell {
        row: c.row,
        column: c.column,
        row_span: c.row_span,
        column_span: c.column_span,
        header: c.header,
        quad: quad_out(c.quad),
        text: c.text.clone(),
        lines: c.lines.clone(),
    };
    let block = |b: &Block| model::Block {
        id: b.id,
        kind: block_kind_out(&b.kind),
        quad: quad_out(b.quad),
        confidence: b.confidence,
        table: b.table.as_ref().map(|table| model::Table {
            rows: table.rows,
            columns: table.columns,
            cells: table.cells.iter().map(cell).collect(),
        }),
        properties: b.properties.clone(),
    };
    let finding = |f: &Finding| model::Finding {
        kind: f.kind.clone(),
        text: f.text.clone(),
        value: f.value.clone(),
        confidence: f.confidence,
        lines: f.lines.clone(),
        quad: quad_out(f.quad),
    };
    model::Transcript {
        size: geometry::Size { width: page.size.width, height: page.size.height },
        dpi: page.dpi,
        rotation: rotation_out(page.rotation),
        lines: page.lines.iter().map(line).collect(),
        blocks: page.blocks.iter().map(block).collect(),
        findings: page.findings.iter().map(finding).collect(),
        warnings: page.warnings.clone(),
        properties: page.properties.clone(),
    }
}
