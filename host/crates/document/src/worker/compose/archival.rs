//! PDF/A-2b (ISO 19005-2, level B): what a file needs for it, and what of a document is in its way.
//!
//! A file of pictures is written so that it conforms. A PDF keeps its bytes, so it is refused where something of it that this
//! module can see does not conform, by name. Not judged: the widths and encodings of embedded fonts, and whether a content
//! stream uses what the standard leaves out beyond colors.

use std::collections::BTreeSet;

use lopdf::content::Content;
use lopdf::{Dictionary, Document, Object, Stream, dictionary};

use super::glyphs::{add, compressed};
use crate::faults::Refusal;

/// The program in the metadata and in the document information.
pub(super) const PRODUCER: &str = "Lector";
/// Sides of a page, in units (ISO 19005-2, 6.1.13).
const SIDE_UNITS: std::ops::RangeInclusive<f64> = 3.0..=14_400.0;
/// Actions that the standard forbids (6.5.1).
const ACTIONS: [&[u8]; 11] = [
    b"Launch",
    b"Sound",
    b"Movie",
    b"ResetForm",
    b"ImportData",
    b"Hide",
    b"SetOCGState",
    b"Rendition",
    b"Trans",
    b"GoTo3DView",
    b"JavaScript",
];
/// Kinds of annotations that it forbids (6.3.1).
const ANNOTATIONS: [&[u8]; 5] = [b"3D", b"Sound", b"Screen", b"Movie", b"FileAttachment"];
/// Most reasons that a refusal names.
const REASONS_MAX: usize = 5;
/// Most bytes of a content stream that is looked through for colors.
const CONTENT_BYTES_MAX: usize = 64 << 20;

/// Returns whether a page of these sides can conform.
pub(super) fn fits(width: f64, height: f64) -> bool {
    SIDE_UNITS.contains(&width) && SIDE_UNITS.contains(&height)
}

/// Returns the entries of the catalog: the metadata that names the standard, and the profile of the colors.
pub(super) fn entries(
    file: &mut Document,
    title: Option<&str>,
) -> Result<[(&'static str, Object); 2], Refusal> {
    let internal = |what: &str| Refusal::Internal { detail: what.to_owned() };
    let profile = moxcms::ColorProfile::new_srgb().encode();
    let profile = profile.map_err(|error| internal(&format!("the color profile: {error}")))?;
    let profile = add(file, compressed(dictionary! { "N" => 3 }, profile)?)?;
    let intent = dictionary! {
        "Type" => "OutputIntent",
        "S" => "GTS_PDFA1",
        "OutputConditionIdentifier" => Object::string_literal("sRGB"),
        "Info" => Object::string_literal("sRGB IEC61966-2.1"),
        "DestOutputProfile" => profile,
    };
    let metadata = dictionary! { "Type" => "Metadata", "Subtype" => "XML" };
    let metadata = Stream::new(metadata, xmp(title).into_bytes()).with_compression(false);
    let metadata = add(file, metadata)?;
    Ok([("Metadata", metadata.into()), ("OutputIntents", vec![Object::Dictionary(intent)].into())])
}

/// Returns the XMP packet.
fn xmp(title: Option<&str>) -> String {
    let escaped = |text: &str| {
        text.chars()
            .map(|c| match c {
                '&' => "&amp;".to_owned(),
                '<' => "&lt;".to_owned(),
                '>' => "&gt;".to_owned(),
                c if c.is_control() => " ".to_owned(),
                c => c.to_string(),
            })
            .collect::<String>()
    };
    let title = title.map_or_else(String::new, |title| {
        format!(
            "<dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">{}</rdf:li></rdf:Alt></dc:title>\n",
            escaped(title)
        )
    });
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n\
         <rdf:Description rdf:about=\"\" xmlns:pdfaid=\"http://www.aiim.org/pdfa/ns/id/\" \
         xmlns:pdf=\"http://ns.adobe.com/pdf/1.3/\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n\
         <pdfaid:part>2</pdfaid:part>\n<pdfaid:conformance>B</pdfaid:conformance>\n\
         <pdf:Producer>{PRODUCER}</pdf:Producer>\n{title}\
         </rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"r\"?>"
    )
}

/// Returns the identifier of a file (6.1.3), from its content: the worker has no clock and no random numbers.
pub(super) fn identifier(content: &[u8]) -> Object {
    // FNV-1a, 128 bits.
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in content {
        hash = (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
    }
    let id = Object::String(hash.to_be_bytes().to_vec(), lopdf::StringFormat::Hexadecimal);
    Object::Array(vec![id.clone(), id])
}

/// Returns the refusal of a document with these obstacles; `None` where there are none.
pub(super) fn refusal(reasons: &BTreeSet<String>) -> Option<Refusal> {
    let mut named: Vec<&str> = reasons.iter().map(String::as_str).take(REASONS_MAX).collect();
    if reasons.len() > REASONS_MAX {
        named.push("more of the kind");
    }
    let reason = format!("it cannot become PDF/A-2b: {}", named.join("; "));
    (!reasons.is_empty()).then_some(Refusal::NotComposable { reason })
}

/// Returns what of a PDF is in the way of the standard. `bytes` begin with its header.
pub(super) fn obstacles(bytes: &[u8], file: &Document) -> BTreeSet<String> {
    let mut found = Obstacles { file, reasons: BTreeSet::new() };
    found.header(bytes);
    for object in file.objects.values() {
        found.object(object);
    }
    found.catalog();
    found.reasons
}

struct Obstacles<'a> {
    file: &'a Document,
    reasons: BTreeSet<String>,
}

impl Obstacles<'_> {
    fn add(&mut self, reason: impl Into<String>) {
        self.reasons.insert(reason.into());
    }

    /// Checks the first two lines (6.1.2).
    fn header(&mut self, bytes: &[u8]) {
        let mut lines = bytes.splitn(3, |byte| matches!(byte, b'\n' | b'\r'));
        let version = lines.next().and_then(|line| line.strip_prefix(b"%PDF-"));
        if !matches!(version, Some([b'1', b'.', b'0'..=b'7'])) {
            self.add("its header states no version up to 1.7");
        }
        let rest = lines.next().filter(|line| !line.is_empty()).or_else(|| lines.next());
        let marked = rest.and_then(|line| line.strip_prefix(b"%")).and_then(|line| line.get(..4));
        if !marked.is_some_and(|mark| mark.iter().all(|byte| *byte >= 128)) {
            self.add("its header lacks the comment that marks binary data");
        }
    }

    fn catalog(&mut self) {
        let Ok(catalog) = self.file.catalog() else { return };
        let form = catalog.get(b"AcroForm").ok().and_then(|form| dictionary_of(self.file, form));
        let has = |key: &[u8]| form.is_some_and(|form| form.has(key));
        let needs =
            form.is_some_and(|form| matches!(form.get(b"NeedAppearances"), Ok(Object::Boolean(true))));
        let (is_xfa, has_names) =
            (has(b"XFA"), catalog.get(b"Names").ok().and_then(|n| dictionary_of(self.file, n)));
        let scripts = has_names.is_some_and(|names| names.has(b"JavaScript"));
        if is_xfa || needs {
            self.add("its form has XFA or fields without appearances");
        }
        if scripts {
            self.add("it has scripts");
        }
    }

    fn object(&mut self, object: &Object) {
        match object {
            Object::Dictionary(dictionary) => self.any_dictionary(dictionary),
            Object::Stream(stream) => {
                self.any_dictionary(&stream.dict);
                self.stream(stream);
            }
            Object::Array(items) => {
                self.color_space(items);
                for item in items {
                    self.object(item);
                }
            }
            _ => {}
        }
    }

    fn any_dictionary(&mut self, dictionary: &Dictionary) {
        let name = |key: &[u8]| dictionary.get(key).and_then(Object::as_name).unwrap_or_default().to_vec();
        let (kind, subtype, action) = (name(b"Type"), name(b"Subtype"), name(b"S"));
        if kind == b"Font" {
            self.font(dictionary, &subtype);
        }
        if kind == b"Annot" || (dictionary.has(b"Rect") && dictionary.has(b"Subtype")) {
            self.annotation(dictionary, &subtype);
        }
        if ACTIONS.contains(&action.as_slice()) && kind != b"Group" {
            self.add(format!("it has the action {}", String::from_utf8_lossy(&action)));
        }
        if dictionary.has(b"AA") {
            self.add("it has actions that are triggered by events");
        }
        if dictionary.has(b"EF") {
            self.add("it has embedded files");
        }
        if subtype == b"PS" || dictionary.has(b"OPI") {
            self.add("it has PostScript or OPI");
        }
        if matches!(dictionary.get(b"Interpolate"), Ok(Object::Boolean(true))) {
            self.add("it has pictures that are to be interpolated");
        }
        if kind == b"ExtGState" && (dictionary.has(b"TR") || dictionary.has(b"HTP")) {
            self.add("it has transfer functions or halftone phases");
        }
        for key in [&b"ColorSpace"[..], b"CS"] {
            if dictionary.get(key).and_then(Object::as_name).is_ok_and(|name| name == b"DeviceCMYK") {
                self.add("it has CMYK colors");
            }
        }
        for (_, value) in dictionary.iter() {
            self.object(value);
        }
    }

    /// Checks that a font is embedded (6.2.11.4.1). Those of type 3 are drawings.
    fn font(&mut self, font: &Dictionary, subtype: &[u8]) {
        if matches!(subtype, b"Type0" | b"Type3") {
            return;
        }
        let descriptor = font.get(b"FontDescriptor").ok().and_then(|found| dictionary_of(self.file, found));
        let programs = [&b"FontFile"[..], b"FontFile2", b"FontFile3"];
        if !descriptor.is_some_and(|found| programs.iter().any(|program| found.has(program))) {
            let name = font.get(b"BaseFont").and_then(Object::as_name).unwrap_or(b"without a name");
            self.add(format!("the font {} is not embedded", String::from_utf8_lossy(name)));
        }
    }

    fn annotation(&mut self, annotation: &Dictionary, subtype: &[u8]) {
        if ANNOTATIONS.contains(&subtype) {
            self.add(format!("it has annotations of the kind {}", String::from_utf8_lossy(subtype)));
            return;
        }
        if matches!(subtype, b"Popup" | b"Link") {
            return;
        }
        let flags = annotation.get(b"F").and_then(Object::as_i64).unwrap_or(0);
        // Print is set; Invisible, Hidden, NoView and ToggleNoView are not (6.3.2).
        let is_plain = flags & 0b100 != 0 && flags & (0b10_0011 | 1 << 8) == 0;
        let edges: Vec<f32> = annotation
            .get(b"Rect")
            .and_then(Object::as_array)
            .map(|sides| sides.iter().filter_map(|side| side.as_float().ok()).collect())
            .unwrap_or_default();
        let has_area = matches!(edges.as_slice(), [a, b, c, d] if a != c && b != d);
        if !is_plain || (has_area && !annotation.has(b"AP")) {
            self.add("it has annotations or form fields that are not printed as they are shown");
        }
    }

    fn color_space(&mut self, items: &[Object]) {
        let is = |at: usize, names: &[&[u8]]| {
            items.get(at).and_then(|item| item.as_name().ok()).is_some_and(|name| names.contains(&name))
        };
        let based = is(0, &[b"Indexed", b"Pattern"]) && is(1, &[b"DeviceCMYK"]);
        let spot = is(0, &[b"Separation", b"DeviceN"]) && is(2, &[b"DeviceCMYK"]);
        if based || spot {
            self.add("it has CMYK colors");
        }
    }

    fn stream(&mut self, stream: &Stream) {
        if stream.filters().is_ok_and(|filters| filters.iter().any(|f| matches!(*f, b"LZWDecode" | b"Crypt")))
        {
            self.add("it has streams in LZW or with encryption of their own");
        }
        let kind = |key: &[u8]| stream.dict.get(key).and_then(Object::as_name).unwrap_or_default();
        // Contents of pages have no type of their own; those of forms and patterns have.
        let is_content = matches!(
            (kind(b"Type"), kind(b"Subtype")),
            (b"", b"") | (b"XObject" | b"", b"Form") | (b"Pattern", _)
        );
        if !is_content || stream.content.len() > CONTENT_BYTES_MAX {
            return;
        }
        let Ok(content) = stream.get_plain_content_with_limit(CONTENT_BYTES_MAX) else { return };
        // What is no content does not parse, or has none of these operators.
        let uses_cmyk = Content::decode(&content).is_ok_and(|content| {
            let is_cmyk = |op: &lopdf::content::Operation| {
                let numbers = op.operands.len() == 4;
                let named = op.operands.first().and_then(|name| name.as_name().ok());
                (matches!(op.operator.as_str(), "k" | "K") && numbers)
                    || (matches!(op.operator.as_str(), "cs" | "CS") && named == Some(b"DeviceCMYK"))
            };
            content.operations.iter().any(is_cmyk)
        });
        if uses_cmyk {
            self.add("it has CMYK colors");
        }
    }
}

/// Returns the dictionary that an object is or refers to.
fn dictionary_of<'a>(file: &'a Document, object: &'a Object) -> Option<&'a Dictionary> {
    match object {
        Object::Dictionary(dictionary) => Some(dictionary),
        Object::Reference(id) => file.get_dictionary(*id).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn reasons(objects: Vec<Object>) -> BTreeSet<String> {
        let mut file = Document::with_version("1.7");
        for object in objects {
            file.add_object(object);
        }
        obstacles(b"%PDF-1.7\n%\xbb\xad\xc0\xde\n1 0 obj", &file)
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let page =
            |content: &str| Object::Stream(Stream::new(Dictionary::new(), content.as_bytes().to_vec()));
        assert!(reasons(vec![page("0.1 0.2 0.3 rg 0 0 m 9 9 l S")]).is_empty());
        let font = dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica" };
        let action = dictionary! { "S" => "JavaScript", "JS" => Object::string_literal("app.beep()") };
        let note = dictionary! { "Type" => "Annot", "Subtype" => "Text", "F" => 4, "Rect" => vec![0.into(), 0.into(), 9.into(), 9.into()] };
        let picture = dictionary! { "Subtype" => "Image", "ColorSpace" => "DeviceCMYK" };
        for (object, expect) in [
            (Object::Dictionary(font), "the font Helvetica is not embedded"),
            (Object::Dictionary(action), "the action JavaScript"),
            (Object::Dictionary(note), "not printed as they are shown"),
            (Object::Stream(Stream::new(picture, vec![0; 4])), "CMYK"),
            (page("0 0 0 1 k 0 0 9 9 re f"), "CMYK"),
            (Object::Stream(Stream::new(dictionary! { "Filter" => "LZWDecode" }, vec![0; 4])), "LZW"),
        ] {
            let found = reasons(vec![object]);
            assert!(found.iter().any(|reason| reason.contains(expect)), "{expect}: {found:?}");
        }
        let old = obstacles(b"%PDF-2.0\n1 0 obj", &Document::with_version("2.0"));
        assert_eq!(old.len(), 2, "{old:?}");
        assert!(refusal(&BTreeSet::new()).is_none());
    }

    #[test]
    fn the_metadata_are_xml_with_the_title_escaped() {
        let packet = xmp(Some("Tom & <Jerry>"));
        assert!(
            packet.contains("<pdfaid:part>2</pdfaid:part>") && packet.contains("Tom &amp; &lt;Jerry&gt;")
        );
        assert_ne!(identifier(b"a"), identifier(b"b"));
        assert!(fits(595.0, 842.0) && !fits(2.0, 842.0) && !fits(595.0, 15_000.0));
    }
}
