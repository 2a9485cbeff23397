//! Fuzz targets of the bytes that the host itself parses: the magic numbers of documents, and frames from a worker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::channel::{Channel, ChannelError};
use crate::kind::Kind;
use crate::wire::{Opened, PageFacts, Reply, Request};

/// Arbitrary bytes are one kind of document or none; a declared type can only cause a refusal.
#[test]
fn fuzz_kind() {
    let seeds: [Vec<u8>; 7] = [
        b"%PDF-1.7".to_vec(),
        b"\x89PNG\r\n\x1a\n....".to_vec(),
        b"\xff\xd8\xff\xe0".to_vec(),
        b"II*\0".to_vec(),
        b"RIFF....WEBPVP8 ".to_vec(),
        b"BM............\x28\0\0\0".to_vec(),
        b"GIF89a\napplication/pdf; x=y".to_vec(),
    ];
    let words: [&[u8]; 6] = [b"%PDF-", b"application/pdf", b"image/png", b"text/html", b";", b"/"];
    lector_fuzz::target("kind", &seeds, &words, |input| {
        let mut parts = input.splitn(2, |byte| *byte == b'\n');
        let (bytes, claim) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let claim = String::from_utf8_lossy(claim);
        let bare = Kind::of(bytes, None).map_err(|refusal| refusal.code());
        let claimed = Kind::of(bytes, Some(&claim)).map_err(|refusal| refusal.code());
        if let Ok(kind) = claimed {
            assert_eq!(bare, Ok(kind));
        }
        (bare, claimed)
    });
}

/// For any bytes from a worker's socket, the host gets messages or an error, and does not block.
#[test]
fn fuzz_frames() {
    let frame = |message: &Reply| {
        let body = postcard::to_stdvec(message).unwrap();
        [&(body.len() as u32).to_le_bytes(), &body[..]].concat()
    };
    let facts = PageFacts::Pdf { width_pt: 595.0, height_pt: 842.0 };
    let opened = Reply::Opened(Opened { pages: 2, facts: vec![Some(facts), None] });
    let seeds =
        [frame(&Reply::Facts(facts)), [frame(&opened), frame(&Reply::Rendered)].concat(), vec![0xff; 8]];
    let words: [&[u8]; 4] =
        [&[4, 0, 0, 0], &[0, 0, 0, 4], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0, 0, 0xc0, 0x7f]];
    lector_fuzz::target("frames", &seeds, &words, |input| {
        let (host, worker) = Channel::pair().unwrap();
        // Inputs that exceed the socket's buffer are not of interest.
        rustix::io::ioctl_fionbio(&worker, true).unwrap();
        let _ = rustix::io::write(&worker, input);
        drop(worker);
        let mut messages = 0;
        let end = loop {
            match host.receive::<Reply>(|| true) {
                Ok((_, fd)) => {
                    assert!(fd.is_none(), "no descriptor was sent");
                    messages += 1;
                    assert!(messages <= input.len());
                }
                Err(end) => break end,
            }
        };
        // The worker's side of the same format.
        let _ = postcard::from_bytes::<Request>(input);
        let end = match end {
            ChannelError::Closed => 0,
            ChannelError::TooLong(_) => 1,
            ChannelError::Undecodable(_) => 2,
            other => panic!("{other}"),
        };
        (messages, end)
    });
}
