#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

/// Returns a file of these objects, numbered from 1; the first is the catalog.
fn file(objects: &[&str]) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n".to_vec();
    let mut offsets = Vec::new();
    for (at, body) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.extend(format!("{} 0 obj\n{body}\nendobj\n", at + 1).bytes());
    }
    let (xref, size) = (out.len(), offsets.len() + 1);
    out.extend(format!("xref\n0 {size}\n0000000000 65535 f \n").bytes());
    offsets.iter().for_each(|offset| out.extend(format!("{offset:010} 00000 n \n").bytes()));
    out.extend(format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n").bytes());
    out
}

/// Two pages whose resources and content have the given form; objects 5 and 6 are content streams.
fn two_pages(tree: &str, first: &str, second: &str, more: &[&str]) -> Vec<u8> {
    let stream = "<< /Length 3 >>\nstream\nq Q\nendstream";
    let page = |entries: &str| format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] {entries} >>");
    let tree = format!("<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 {tree} >>");
    let (first, second) = (page(first), page(second));
    let mut objects = vec!["<< /Type /Catalog /Pages 2 0 R >>", &tree, &first, &second, stream, stream];
    objects.extend(more);
    file(&objects)
}

/// Adds text to the pages; returns the file.
fn added(bytes: &[u8], pages: &[u32]) -> Vec<u8> {
    let Ok(mut append) = Append::of(bytes, None, 2) else { panic!("unsuitable") };
    let mut glyphs = Glyphs::default();
    glyphs.code('a');
    for &page in pages {
        let name = append.font_name(page).unwrap();
        append.add(page, b"q Q % text\n".to_vec(), &name).unwrap();
    }
    let mut out = Vec::new();
    append.write(&glyphs, &mut out).unwrap();
    out
}

/// Returns the content streams of a page and the names of its fonts, as the library reads them.
fn seen(bytes: &[u8], page: u32) -> (usize, Vec<String>) {
    let file = Document::load_mem(bytes).unwrap();
    assert_eq!(file.xref_recovery, None, "the tables are as written");
    let page = file.get_pages()[&(page + 1)];
    let fonts = file.get_page_fonts(page).unwrap();
    let mut names: Vec<String> =
        fonts.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    names.sort();
    (file.get_page_contents(page).len(), names)
}

#[test]
fn the_former_bytes_stay_and_every_form_of_resources_gets_the_font() {
    let helvetica = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>";
    let both = ["F1", "LectorText"];
    let check = |tree: &str, first: &str, second: &str, more: &[&str], fonts: &[&str]| {
        let former = two_pages(tree, first, second, more);
        let file = added(&former, &[0]);
        assert!(file.starts_with(&former), "an update is at the end");
        let (contents, names) = seen(&file, 0);
        assert_eq!(names, fonts, "{first}");
        assert_eq!(contents, 2, "{first}");
        assert_eq!(seen(&file, 1).0, 1, "the other page is as it was");
    };
    let own = "/Contents 5 0 R /Resources << /Font << /F1 7 0 R >> >>";
    check("", own, own, &[helvetica], &both);
    // Dictionaries that are objects, of two pages and of one.
    let shared = "/Contents [5 0 R] /Resources 8 0 R";
    check("", shared, shared, &[helvetica, "<< /Font << /F1 7 0 R >> >>"], &both);
    check("", shared, shared, &[helvetica, "<< /Font 9 0 R >>", "<< /F1 7 0 R >>"], &both);
    check("", shared, shared, &[helvetica, "<< /ProcSet [/PDF] >>"], &["LectorText"]);
    // Inherited, in the node and as an object.
    let plain = "/Contents 5 0 R";
    check("/Resources << /Font << /F1 7 0 R >> >>", plain, plain, &[helvetica], &both);
    check("/Resources 8 0 R", plain, plain, &[helvetica, "<< /Font << /F1 7 0 R >> >>"], &both);
    // None, null, and a reference to nothing.
    check("", plain, plain, &[], &["LectorText"]);
    check("", "/Contents 5 0 R /Resources null", plain, &[], &["LectorText"]);
    check("", "/Contents 5 0 R /Resources 99 0 R", plain, &[], &["LectorText"]);
    // A content array that is an object.
    check("", "/Contents 8 0 R", plain, &[helvetica, "[5 0 R]"], &["LectorText"]);
    // The name is in use for another font.
    let used = "/Contents 5 0 R /Resources << /Font << /LectorText 7 0 R >> >>";
    check("", used, used, &[helvetica], &["LectorText", "LectorText1"]);
}

#[test]
fn pages_share_one_font_and_a_page_without_content_gets_one() {
    let former = two_pages("", "/Resources 7 0 R", "/Contents [5 0 R 6 0 R] /Resources 7 0 R", &["<< >>"]);
    let file = added(&former, &[0, 1]);
    assert_eq!(seen(&file, 0), (1, vec!["LectorText".to_owned()]));
    assert_eq!(seen(&file, 1), (3, vec!["LectorText".to_owned()]));
    let count = file.windows(14).filter(|window| window == b"/Subtype/Type0").count();
    assert_eq!(count, 1, "one font for all pages");
}

#[test]
fn nothing_to_add_gives_the_same_bytes() {
    let former = two_pages("", "/Contents 5 0 R", "/Contents 6 0 R", &[]);
    assert_eq!(added(&former, &[]), former);
    let junk = [b"mail header\n".as_slice(), &former].concat();
    assert_eq!(added(&junk, &[]), junk);
}

#[test]
fn bytes_before_the_header_stay_and_offsets_count_from_it() {
    let junk = [b"mail header\n".as_slice(), &two_pages("", "", "", &[])].concat();
    let file = added(&junk, &[0]);
    assert!(file.starts_with(&junk));
    assert_eq!(seen(&file, 0).1, ["LectorText"]);
}

#[test]
fn two_updates_follow_each_other() {
    let once = added(&two_pages("", "/Contents 5 0 R", "/Contents 6 0 R", &[]), &[0]);
    let twice = added(&once, &[0, 1]);
    assert!(twice.starts_with(&once));
    assert_eq!(seen(&twice, 0), (3, vec!["LectorText".to_owned(), "LectorText1".to_owned()]));
    assert_eq!(seen(&twice, 1).0, 2);
}

#[test]
fn a_damaged_structure_is_told_from_a_good_one() {
    let good = two_pages("", "/Contents 5 0 R", "/Contents 6 0 R", &[]);
    let reason = |bytes: &[u8], pages: u32| match Append::of(bytes, None, pages) {
        Ok(_) => "none".to_owned(),
        Err(Unsuitable::Damaged(_)) => "damaged".to_owned(),
        Err(Unsuitable::Encrypted(_)) => "encrypted".to_owned(),
    };
    assert_eq!(reason(&good, 2), "none");
    assert_eq!(reason(&good, 3), "damaged", "pdfium sees another page");
    let text = String::from_utf8(good.clone()).unwrap();
    let moved = text.replace("/Type /Catalog", "/Type  /Catalog   ");
    assert_eq!(reason(moved.as_bytes(), 2), "damaged", "every offset is wrong");
    assert_eq!(reason(&good[..good.len() / 2], 2), "damaged");
    assert_eq!(reason(b"%PDF-1.7\nhello", 1), "damaged");
}
