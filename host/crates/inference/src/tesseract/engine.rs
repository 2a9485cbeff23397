//! An engine of a lane: reads lines in worker processes, one for each set of languages in use.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lector_core::model::PortInfo;
use lector_core::{Dtype, Tensor, TensorData};

use super::installed::TesseractConfig;
use super::pixels::{self, BORDER};
use super::wire::{self, Reading, Ready};
use crate::engine::Engine;

/// Input: a line, red, green and blue in 0 to 1, text in reading direction.
const LINE: &str = "line";
/// Input: labels of the languages to read, the most likely one first.
const LANGUAGES: &str = "languages";
/// Output: the text in UTF-8, a line feed after each word, two where a space follows.
const TEXT: &str = "text";
/// Output: of each word the left, top, right and bottom edge, as fractions of the line's picture, and the confidence.
const WORDS: &str = "words";
/// Numbers of a word in that output.
const WORD_NUMBERS: u8 = 5;

/// Most languages of one line.
const LANGUAGES_MAX: usize = 4;
/// Most workers of one engine: a third set of languages replaces the one used least recently.
const WORKERS_MAX: usize = 2;
/// Loading takes 10 to 50 ms; more on a loaded machine, but not this long.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// A line takes 25 to 60 ms.
const LINE_TIMEOUT: Duration = Duration::from_secs(30);

/// libtesseract as an engine.
pub(crate) struct TesseractEngine {
    config: Arc<TesseractConfig>,
    /// All installed languages: the labels of the model.
    languages: Arc<[String]>,
    /// The most recently used first.
    workers: Vec<Worker>,
}

impl TesseractEngine {
    pub(crate) fn new(config: Arc<TesseractConfig>, languages: Arc<[String]>) -> Self {
        Self { config, languages, workers: Vec::new() }
    }

    /// Returns the worker of these languages as the first one.
    fn worker(&mut self, languages: &str) -> Result<&mut Worker, String> {
        let at = self.workers.iter().position(|worker| worker.languages == languages);
        let worker = match at {
            Some(at) => self.workers.remove(at),
            None => Worker::start(&self.config, languages)?,
        };
        self.workers.truncate(WORKERS_MAX - 1);
        self.workers.insert(0, worker);
        self.workers.first_mut().ok_or_else(|| "no worker".to_owned())
    }

    fn names(&self, labels: &[i64]) -> Result<String, String> {
        let mut names: Vec<&str> = Vec::new();
        for label in labels {
            let name = usize::try_from(*label).ok().and_then(|label| self.languages.get(label));
            let name = name.ok_or_else(|| format!("{label} is not the label of a language"))?;
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        match names.len() {
            1..=LANGUAGES_MAX => Ok(names.join("+")),
            count => Err(format!("{count} languages for one line; 1 to {LANGUAGES_MAX} are possible")),
        }
    }

    fn read(&mut self, line: &Tensor, languages: &Tensor) -> Result<Vec<Tensor>, String> {
        let TensorData::S64(labels) = languages.data() else {
            return Err("the labels are not s64".to_owned());
        };
        let names = self.names(labels)?;
        let planes = line.as_f32().ok_or("the line is not f32")?;
        let &[_, _, height, width] = line.shape() else { return Err("the line has no four axes".to_owned()) };
        let Some(gray) = pixels::gray(planes, width, height) else {
            return outputs(&Reading::default(), width, height);
        };
        let reading = self.worker(&names)?.read(&gray);
        if reading.is_err() {
            // The next line starts another one.
            self.workers.remove(0);
        }
        outputs(&reading?, width, height)
    }
}

/// Returns the inputs and outputs of the model: a line and the labels of its languages, the text and its words.
pub(crate) fn ports() -> (Vec<PortInfo>, Vec<PortInfo>) {
    let port =
        |name: &str, dtype, shape: &[i64]| PortInfo { name: name.to_owned(), dtype, shape: shape.to_vec() };
    let inputs = vec![port(LINE, Dtype::F32, &[1, 3, -1, -1]), port(LANGUAGES, Dtype::S64, &[1, -1])];
    let outputs =
        vec![port(TEXT, Dtype::U8, &[1, -1]), port(WORDS, Dtype::F32, &[1, -1, i64::from(WORD_NUMBERS)])];
    (inputs, outputs)
}

impl Engine for TesseractEngine {
    fn run(&mut self, inputs: &[(String, Tensor)], wanted: &[String]) -> Result<Vec<Tensor>, String> {
        let input = |name: &str| {
            let found = inputs.iter().find(|(own, _)| own == name).map(|(_, tensor)| tensor.clone());
            found.ok_or_else(|| format!("no input `{name}`"))
        };
        let outputs = self.read(&input(LINE)?, &input(LANGUAGES)?)?;
        let output = |name: &String| {
            let named = [TEXT, WORDS].into_iter().zip(&outputs);
            let found = named.into_iter().find(|(own, _)| own == name).map(|(_, tensor)| tensor.clone());
            found.ok_or_else(|| format!("no output `{name}`"))
        };
        wanted.iter().map(output).collect()
    }
}

/// Returns the outputs of a reading of a picture that had `width` columns and `height` rows before its border.
fn outputs(reading: &Reading, width: usize, height: usize) -> Result<Vec<Tensor>, String> {
    let (mut text, mut numbers) = (String::new(), Vec::new());
    let whole = reading.lines.join(" ");
    let mut rest = whole.as_str();
    for word in &reading.words {
        // The text of the line says where the words of a script without spaces end.
        if let Some((before, after)) = rest.split_once(word.text.as_str()) {
            if before.contains(char::is_whitespace) && !text.is_empty() {
                text.push('\n');
            }
            rest = after;
        } else if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&word.text);
        text.push('\n');
        let [left, top, right, bottom] = word.area;
        let part = |edge: i32, extent: usize| ((edge as f32 - BORDER as f32) / extent as f32).clamp(0.0, 1.0);
        numbers.extend([part(left, width), part(top, height), part(right, width), part(bottom, height)]);
        numbers.push(word.confidence);
    }
    let tensor = |shape: &[usize], data| Tensor::new(shape, data).ok_or("an output does not fill its shape");
    Ok(vec![
        tensor(&[1, text.len()], TensorData::U8(text.into_bytes()))?,
        tensor(&[1, reading.words.len(), usize::from(WORD_NUMBERS)], TensorData::F32(numbers))?,
    ])
}

/// A worker process. Dropping it ends the process.
struct Worker {
    languages: String,
    child: Child,
    socket: UnixStream,
}

impl Worker {
    /// Starts a worker and waits until it reads lines. The worker ends with the calling thread.
    fn start(config: &TesseractConfig, languages: &str) -> Result<Self, String> {
        let (program, arguments) =
            config.worker_command.split_first().ok_or("this host starts no workers of libtesseract")?;
        let failed = |what: &str, error: io::Error| format!("{what} a worker of libtesseract: {error}");
        let (socket, theirs) = UnixStream::pair().map_err(|error| failed("a socket for", error))?;
        let child = Command::new(program)
            .args(arguments)
            .args([config.dir.as_os_str(), &OsString::from(languages)])
            .env_clear()
            .env("LD_LIBRARY_PATH", &config.dir)
            // libgomp starts no threads, which the sandbox would refuse.
            .env("OMP_THREAD_LIMIT", "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed("starting", error))?;
        let mut worker = Self { languages: languages.to_owned(), child, socket };
        let ready = worker.receive(READY_TIMEOUT).map_err(|error| failed("waiting for", error))?;
        match ready {
            Ready::Yes { sandbox } => config.sandbox.check(&sandbox)?,
            Ready::No { why } => return Err(format!("a worker of libtesseract for {languages}: {why}")),
        }
        tracing::info!(languages, "a worker of libtesseract is ready");
        Ok(worker)
    }

    fn read(&mut self, gray: &pixels::Gray) -> Result<Reading, String> {
        let extent = |pixels: usize| u32::try_from(pixels).map_err(|_| "a line without end".to_owned());
        let (width, height) = (extent(gray.width)?, extent(gray.height)?);
        let outcome = wire::send_line(&mut self.socket, width, height, &gray.pixels)
            .and_then(|()| self.receive::<Reading>(LINE_TIMEOUT));
        outcome.map_err(|error| format!("the worker of libtesseract for {} failed: {error}", self.languages))
    }

    fn receive<T: serde::de::DeserializeOwned>(&mut self, timeout: Duration) -> io::Result<T> {
        self.socket.set_read_timeout(Some(timeout))?;
        self.socket.set_write_timeout(Some(timeout))?;
        let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the process ended");
        wire::receive_json(&mut self.socket)?.ok_or_else(gone)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::wire::Word;
    use super::*;

    fn engine() -> TesseractEngine {
        let languages: Vec<String> = ["eng", "rus", "tha"].map(str::to_owned).into();
        TesseractEngine::new(Arc::default(), languages.into())
    }

    #[test]
    fn labels_become_names_once_each_and_in_order() {
        let engine = engine();
        assert_eq!(engine.names(&[1, 0, 1]).unwrap(), "rus+eng");
        assert!(engine.names(&[3]).unwrap_err().contains("not the label"));
        assert!(engine.names(&[-1]).is_err() && engine.names(&[]).is_err());
    }

    #[test]
    fn words_end_with_one_line_feed_and_spaces_with_another() {
        let word = |text: &str, left: i32| Word {
            text: text.into(),
            confidence: 0.5,
            area: [left, 14, left + 10, 24],
        };
        let reading = Reading {
            lines: vec!["ab cd".into()],
            words: vec![word("a", 14), word("b", 24), word("cd", 34)],
        };
        let outputs = outputs(&reading, 40, 20).unwrap();
        let TensorData::U8(text) = outputs[0].data() else { panic!("not text") };
        assert_eq!(std::str::from_utf8(text).unwrap(), "a\nb\n\ncd\n");
        assert_eq!(outputs[1].shape(), [1, 3, 5]);
        assert_eq!(outputs[1].as_f32().unwrap()[..5], [0.0, 0.0, 0.25, 0.5, 0.5]);
    }

    #[test]
    fn a_flat_line_is_empty_without_a_worker_and_a_host_without_workers_says_so() {
        let mut engine = engine();
        let mut run = |level: fn(usize) -> f32| {
            let line = Tensor::new(&[1, 3, 4, 8], TensorData::F32((0..96).map(level).collect())).unwrap();
            let labels = Tensor::new(&[1, 1], TensorData::S64(vec![0])).unwrap();
            let inputs = [(LINE.to_owned(), line), (LANGUAGES.to_owned(), labels)];
            engine.run(&inputs, &[WORDS.to_owned(), TEXT.to_owned()])
        };
        let outputs = run(|_| 0.5).unwrap();
        assert_eq!((outputs[0].shape(), outputs[1].shape()), (&[1, 0, 5][..], &[1, 0][..]));
        let error = run(|at| if at % 8 == 0 { 0.0 } else { 1.0 }).unwrap_err();
        assert!(error.contains("starts no workers"), "{error}");
    }
}
