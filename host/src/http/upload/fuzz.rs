//! Fuzz test of multipart framing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::tests::{FORM, all, form};

/// The result does not depend on the chunks of the body, and stays within the size of the body and the limits.
#[test]
fn fuzz_multipart() {
    let seeds = [
        form(&[("name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf", "one\r\n--c")]),
        form(&[("name=\"file\"; filename*=UTF-8''%e4.png", ""), ("name=\"files[]\"", "two")]),
        form(&[("name=\"file\"", &"x".repeat(990)), ("name=\"pages\"", "1")]),
        b"--b--\r\n".to_vec(),
    ];
    let words: [&[u8]; 12] = [
        b"--b",
        b"\r\n",
        b"--b--\r\n",
        b"Content-Disposition: form-data; ",
        b"name=\"file\"",
        b"filename=\"",
        b"\"",
        b"Content-Type: ",
        b"Transfer-Encoding: base64",
        b"\\",
        b": ",
        b"\0",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    lector_fuzz::target("multipart", &seeds, &words, |body| {
        let whole = runtime.block_on(all(FORM, body, body.len().max(1)));
        for chunk in [1, 7] {
            let pieces = runtime.block_on(all(FORM, body, chunk));
            // For a document that is too large in a form that is malformed after it, either error is correct.
            assert!(
                pieces == whole || pieces.is_err() && whole.is_err(),
                "{pieces:?} in pieces of {chunk}, {whole:?}"
            );
        }
        let parts = whole?;
        let read: usize = parts.iter().map(|(.., bytes)| bytes.len()).sum();
        assert!(read <= body.len());
        for (name, _, bytes) in &parts {
            assert!(bytes.len() <= 1000);
            assert!(name.as_ref().is_none_or(|name| !name.contains(['/', '\\', '\n', '\0'])), "{name:?}");
        }
        Ok::<_, &'static str>(parts.len())
    });
}
