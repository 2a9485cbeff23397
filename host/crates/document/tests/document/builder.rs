//! Writes small PDFs by hand, so that a test controls their whole content.

/// A PDF of numbered objects; the first is the catalog, object 2 the page tree.
#[derive(Default)]
pub struct Pdf {
    /// Further entries of the catalog.
    pub catalog: String,
    objects: Vec<Vec<u8>>,
    kids: Vec<usize>,
}

/// One page.
pub struct Page<'a> {
    pub media_box: [i32; 4],
    pub crop_box: Option<[i32; 4]>,
    pub rotate: i32,
    pub content: &'a str,
    /// Entries of the `/XObject` resources.
    pub xobjects: String,
    /// Further entries of the page.
    pub entries: String,
    /// Further resources.
    pub resources: String,
}

impl Default for Page<'_> {
    fn default() -> Self {
        Page {
            media_box: [0, 0, 300, 400],
            crop_box: None,
            rotate: 0,
            content: "",
            xobjects: String::new(),
            entries: String::new(),
            resources: String::new(),
        }
    }
}

impl Pdf {
    pub fn new() -> Self {
        Pdf { objects: vec![Vec::new(), Vec::new()], ..Pdf::default() }
    }

    /// Adds an object and returns its number.
    pub fn add(&mut self, body: impl Into<Vec<u8>>) -> usize {
        self.objects.push(body.into());
        self.objects.len()
    }

    pub fn stream(&mut self, entries: &str, data: &[u8]) -> usize {
        let mut body = format!("<< {entries} /Length {} >>\nstream\n", data.len()).into_bytes();
        body.extend(data);
        body.extend(b"\nendstream");
        self.add(body)
    }

    pub fn page(&mut self, page: &Page<'_>) -> &mut Self {
        let content = self.stream("", page.content.as_bytes());
        let font =
            self.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>");
        let rect = |name: &str, r: [i32; 4]| format!("/{name} [{} {} {} {}]", r[0], r[1], r[2], r[3]);
        let crop = page.crop_box.map(|r| rect("CropBox", r)).unwrap_or_default();
        let number = self.add(format!(
            "<< /Type /Page /Parent 2 0 R {} {crop} /Rotate {} /Contents {content} 0 R {} \
             /Resources << /Font << /F1 {font} 0 R >> /XObject << {} >> {} >> >>",
            rect("MediaBox", page.media_box),
            page.rotate,
            page.entries,
            page.xobjects,
            page.resources,
        ));
        self.kids.push(number);
        self
    }

    /// Adds a page object written by the caller.
    pub fn add_page(&mut self, body: impl Into<Vec<u8>>) {
        let number = self.add(body);
        self.kids.push(number);
    }

    pub fn bytes(&self) -> Vec<u8> {
        let kids: String = self.kids.iter().map(|kid| format!("{kid} 0 R ")).collect();
        let mut out = b"%PDF-1.7\n".to_vec();
        let mut offsets = Vec::new();
        for (index, body) in self.objects.iter().enumerate() {
            offsets.push(out.len());
            out.extend(format!("{} 0 obj\n", index + 1).bytes());
            match index {
                0 => out.extend(format!("<< /Type /Catalog /Pages 2 0 R {} >>", self.catalog).bytes()),
                1 => out
                    .extend(format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", self.kids.len()).bytes()),
                _ => out.extend(body),
            }
            out.extend(b"\nendobj\n");
        }
        let xref = out.len();
        out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", offsets.len() + 1).bytes());
        for offset in &offsets {
            out.extend(format!("{offset:010} 00000 n \n").bytes());
        }
        let size = offsets.len() + 1;
        out.extend(format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n").bytes());
        out
    }
}

/// One page with one line of text.
pub fn hello() -> Vec<u8> {
    let content = "BT /F1 24 Tf 50 300 Td (Hello world) Tj ET";
    Pdf::new().page(&Page { content, ..Page::default() }).bytes()
}

/// A page that takes practically infinite time to render, in little memory: a tiling pattern of 10^13 tiles. (Nested forms
/// that draw forms take memory for each: on a fast processor its limit ends them before a limit of some seconds.)
pub fn endless() -> Vec<u8> {
    let mut pdf = Pdf::new();
    let pattern = pdf.stream(
        "/Type /Pattern /PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1] /XStep 0.0001 /YStep 0.0001 /Resources << >>",
        b"0 0 1 1 re f",
    );
    let resources = format!("/Pattern << /P1 {pattern} 0 R >>");
    let content = "/Pattern cs /P1 scn 0 0 300 400 re f";
    pdf.page(&Page { content, resources, ..Page::default() }).bytes()
}
