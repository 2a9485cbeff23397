//! The body of a worker process: loads libtesseract and the data of its languages, enters the sandbox, reads lines.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use lector_sandbox::Role;

use super::installed::is_language;
use super::reader::Reader;
use super::wire::{self, Ready};

/// Limit of a worker's private memory: a language takes 35 to 100 MiB, and a line a few.
const MEMORY_BYTES: u64 = 1 << 30;

/// Runs this process as a worker. The arguments: the folder of libtesseract, and the languages, joined by `+`. Standard
/// input is the socket of the engine.
pub fn worker_main(arguments: &[OsString]) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(arguments: &[OsString]) -> io::Result<()> {
    // A file: its calls are `read` and `write`, those of a socket are not on the list of the sandbox.
    let mut socket = File::from(lector_sandbox::isolate().map_err(io::Error::other)?);
    let mut reader = match open(arguments) {
        Ok(reader) => reader,
        Err(why) => return wire::send_json(&mut socket, &Ready::No { why }),
    };
    // The role of a render worker fits: one thread, one socket.
    let sandbox = lector_sandbox::enter(Role::RenderWorker { memory_bytes: MEMORY_BYTES });
    wire::send_json(&mut socket, &Ready::Yes { sandbox })?;
    while let Some(message) = wire::receive(&mut socket)? {
        let reading = wire::line(&message).and_then(|(width, height, gray)| reader.read(gray, width, height));
        wire::send_json(&mut socket, &reading.unwrap_or_default())?;
    }
    Ok(())
}

fn open(arguments: &[OsString]) -> Result<Reader, String> {
    let [dir, languages] = arguments else { return Err("a worker needs a folder and languages".to_owned()) };
    let languages = languages.to_str().filter(|names| names.split('+').all(is_language));
    Reader::open(Path::new(dir), languages.ok_or("the languages are no names of language data")?)
}
