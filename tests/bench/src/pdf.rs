//! PDFs of pages with some lines of Helvetica, in which each page says which one it is.

/// Returns a PDF of A4 pages with these lines, at 14 points from the top.
pub fn document(pages: &[Vec<String>]) -> Vec<u8> {
    let page_object = |page: usize| 4 + 2 * page;
    let kids: String = (0..pages.len()).map(|page| format!("{} 0 R ", page_object(page))).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Count {} /Kids [{kids}] >>", pages.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    for (page, lines) in pages.iter().enumerate() {
        let contents = page_object(page) + 1;
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents \
             {contents} 0 R >>"
        ));
        let shown: String = lines.iter().map(|line| format!("({line}) Tj T*\n")).collect();
        let text = format!("BT /F1 14 Tf 18 TL 60 762 Td\n{shown}ET");
        objects.push(format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()));
    }
    let mut out = "%PDF-1.7\n".to_owned();
    let mut table = String::new();
    for (at, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", out.len()));
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", at + 1));
    }
    let (start, size) = (out.len(), objects.len() + 1);
    out.push_str(&format!(
        "xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    ));
    out.into_bytes()
}
