//! Test guest without models and pixels; its single line contains the arguments of the call. The runtime's tests use it
//! to check that a call reaches a guest and returns. Other settings make it misbehave on purpose.

use lector_sdk::{ConfigError, Error, Line, Page, Pipeline, PipelineInfo, Quad, Rect, Request, Transcript};

/// Settings of the test.
#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Greeting, repeated in the line.
    greeting: String,
    /// `calm`, or a misbehavior.
    mood: Mood,
    /// Any JSON; without effect.
    ignored: serde::de::IgnoredAny,
}

/// Behavior of the guest.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mood {
    /// Behaves correctly.
    #[default]
    Calm,
    /// Traps by a panic.
    Panic,
    /// Never returns.
    Spin,
    /// Allocates memory until it is refused, then answers with the number of MiB.
    Eat,
    /// Answers with an error.
    Refuse,
    /// Answers with a result far over any budget.
    Shout,
    /// Calls into the host without end.
    Pester,
    /// Reads the text layer and counts its words.
    Quote,
    /// Renders the page at 200 dpi and reads its size.
    Render,
    /// Writes to the log without end, then answers.
    Chatter,
    /// Opens a model without a grant.
    Trespass,
    /// Opens images without dropping any.
    Hoard,
}

impl Default for Settings {
    fn default() -> Self {
        Self { greeting: "hello".to_owned(), mood: Mood::Calm, ignored: serde::de::IgnoredAny }
    }
}

struct Echo;

impl Pipeline for Echo {
    type Settings = Settings;

    fn configure(settings: &Settings) -> Result<PipelineInfo, ConfigError> {
        if settings.greeting.is_empty() {
            return Err(ConfigError::at("/greeting", "is empty; give it at least one character"));
        }
        Ok(PipelineInfo { features: vec!["echo".to_owned()], ..PipelineInfo::default() })
    }

    async fn recognize(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
        let dpi = request.dpi.unwrap_or(72.0);
        let (width_pt, height_pt) = page.size_pt();
        let mut transcript = Transcript::blank(page.size_at(dpi), dpi);
        let mut text = format!("{} page {} of {width_pt} x {height_pt} pt", settings.greeting, page.index());
        if let Some(more) = misbehave(page, &settings.mood).await? {
            text.push_str(&more);
        }
        let quad = Quad::from_rect(Rect { x: 0.0, y: 0.0, width: 10.0, height: 10.0 });
        transcript.lines.push(Line::new(text, 1.0, quad));
        Ok(transcript)
    }
}

/// A function of its own: the message of a panic names it, and not the caller that it would be inlined into.
#[inline(never)]
#[allow(clippy::panic, reason = "on purpose: a test of traps")]
fn panic_as_told() -> ! {
    panic!("the echo guest panics as configured")
}

/// Applies the mood; returns a text to append to the answer.
async fn misbehave(page: &Page, mood: &Mood) -> Result<Option<String>, Error> {
    match mood {
        Mood::Calm => Ok(None),
        Mood::Panic => panic_as_told(),
        Mood::Spin => {
            let mut turns = 0_u64;
            loop {
                turns = std::hint::black_box(turns.wrapping_add(1));
            }
        }
        Mood::Eat => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut piece: Vec<u8> = Vec::new();
                if piece.try_reserve_exact(1 << 20).is_err() {
                    return Ok(Some(format!(", {} MiB eaten", eaten.len())));
                }
                piece.resize(1 << 20, 1);
                eaten.push(std::hint::black_box(piece));
            }
        }
        Mood::Refuse => Err(Error::unreadable("told_to_refuse", "the echo guest was told to refuse")),
        Mood::Shout => Ok(Some("!".repeat(64 << 20))),
        Mood::Pester => loop {
            std::hint::black_box(page.index());
        },
        Mood::Quote => {
            let layer = page.text_layer().await?;
            Ok(Some(format!(", {} words embedded", layer.spans.len())))
        }
        Mood::Render => {
            let size = page.render(200.0).await?.size();
            Ok(Some(format!(", rendered {} x {} px", size.width, size.height)))
        }
        Mood::Chatter => {
            for index in 0..10_000 {
                lector_sdk::info(format!("line {index}: {}", "la ".repeat(100)));
            }
            Ok(Some(", chattered".to_owned()))
        }
        Mood::Trespass => match lector_sdk::Model::open("nobody-granted-this") {
            Ok(_) => Ok(Some(", opened what it should not".to_owned())),
            Err(error) => Err(error),
        },
        Mood::Hoard => {
            let mut held = Vec::new();
            loop {
                let size = lector_sdk::Size { width: 1, height: 1 };
                held.push(lector_sdk::Image::from_rgb(size, &[0, 0, 0])?);
            }
        }
    }
}

lector_sdk::export!(Echo);
