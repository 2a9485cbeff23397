//! A wrapper of another pipeline, and an example of one: it awaits the pages that the wrapped deployment reads, finds personal
//! data in the text, masks it in lines and words, and reports each position without its content. Owns the masking;
//! independent of pixels and models, and of the pipeline that it wraps.

mod find;
mod mask;
mod place;
mod settings;

use std::collections::BTreeMap;

use lector_sdk::{
    ConfigError, Error, Finding, Line, Page, Pages, Pipeline, PipelineInfo, Request, Summary, Transcript,
    inner, span,
};

use serde_json::Value;

use find::Finders;
use settings::Settings;

/// The pipeline.
struct Redact;

impl Pipeline for Redact {
    type Settings = Settings;

    fn configure(settings: &Settings) -> Result<PipelineInfo, ConfigError> {
        settings.check()?;
        Finders::new(settings)?;
        // The models and their batching are those of the wrapped pipeline, which opens them itself.
        let mut features = inner::info()?.features;
        features.push("findings".to_owned());
        Ok(PipelineInfo { features, ..PipelineInfo::default() })
    }

    async fn recognize(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
        let finders =
            Finders::new(settings).map_err(|error| Error::invalid("settings_invalid", error.message))?;
        // Words locate a finding far better than a fraction of its line, so they are always requested.
        let with_words = Request { words: true, ..request.clone() };
        let mut transcript = inner::recognize(page.share(), &with_words).await?;
        let _span = span("redact");
        redact(&mut transcript, &finders, settings);
        if !(request.words || gives_words()) {
            transcript.lines.iter_mut().for_each(|line| line.words.clear());
        }
        Ok(transcript)
    }

    async fn assemble(pages: Pages, _: &Settings) -> Result<Summary, Error> {
        let pages = pages.collect().await?;
        let findings = counts(&pages);
        // The wrapped pipeline joins the masked pages: it never gets back what was masked.
        Ok(inner::assemble(Pages::from_list(pages)?).await?.with_property("findings", findings))
    }
}

/// Returns whether the wrapped pipeline gives words without being asked.
fn gives_words() -> bool {
    inner::info().is_ok_and(|info| info.features.iter().any(|feature| feature == "words"))
}

lector_sdk::export!(Redact);

/// Masks every line in place, what blocks repeat of it, and adds the findings.
fn redact(transcript: &mut Transcript, finders: &Finders, settings: &Settings) {
    let mask = |text: &str| {
        let found = finders.find(text);
        mask::masked(text, &found, settings.mask_char(), settings.keep_last as usize)
    };
    mask_inner(transcript, &mask);
    // For each line, the masked words as they were and as they are.
    let mut masked: Vec<Vec<(String, String)>> = Vec::with_capacity(transcript.lines.len());
    for (index, line) in (0_u32..).zip(&mut transcript.lines) {
        let before = line.text.clone();
        let found = redact_line(line, index, finders, settings);
        masked.push(if found.is_empty() { Vec::new() } else { changed(&before, &line.text) });
        transcript.findings.extend(found);
    }
    for block in &mut transcript.blocks {
        for cell in block.table.iter_mut().flat_map(|table| &mut table.cells) {
            let own = cell.lines.iter().filter_map(|at| masked.get(*at as usize)).flatten();
            cell.text = mask(&own.fold(cell.text.clone(), |text, (from, to)| text.replace(from, to)));
        }
        let lines = transcript.lines.iter().zip(&masked).filter(|(line, _)| line.block_id == block.id);
        let touched = lines.into_iter().any(|(_, words)| !words.is_empty());
        // The joined text of a block repeats its lines; where one is masked it goes.
        if touched {
            block.remove_property("text");
        }
    }
}

/// Masks what the wrapped pipeline adds to lines and blocks: its findings, and all texts in its properties.
fn mask_inner(transcript: &mut Transcript, mask: &impl Fn(&str) -> String) {
    for finding in &mut transcript.findings {
        finding.text = mask(&finding.text);
        finding.value = finding.value.as_deref().map(mask);
    }
    let blocks = transcript.blocks.iter_mut().map(|block| &mut block.properties);
    for properties in blocks.chain([&mut transcript.properties]) {
        let Some(json) = properties.as_deref() else { continue };
        *properties = serde_json::from_str(json).ok().map(|value| masked_json(value, mask).to_string());
    }
}

fn masked_json(value: Value, mask: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(mask(&text)),
        Value::Array(values) => values.into_iter().map(|value| masked_json(value, mask)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (mask(&name), masked_json(value, mask))).collect()
        }
        other => other,
    }
}

/// Returns the words that masking changed, before and after. Masking keeps the number of characters.
fn changed(before: &str, after: &str) -> Vec<(String, String)> {
    let after: Vec<char> = after.chars().collect();
    let mut at = 0;
    let mut out = Vec::new();
    for word in before.split(char::is_whitespace) {
        let end = at + word.chars().count();
        let masked: String = after.get(at..end).unwrap_or_default().iter().collect();
        if !word.is_empty() && masked != word {
            out.push((word.to_owned(), masked));
        }
        at = end + 1;
    }
    out
}

fn redact_line(line: &mut Line, index: u32, finders: &Finders, settings: &Settings) -> Vec<Finding> {
    let found = finders.find(&line.text);
    if found.is_empty() {
        return Vec::new();
    }
    let masked = mask::masked(&line.text, &found, settings.mask_char(), settings.keep_last as usize);
    let findings = found
        .iter()
        .map(|found| {
            // Masking keeps the number of characters, so positions in the text are valid in the masked text.
            let shown: String =
                masked.chars().skip(found.from).take(found.to.saturating_sub(found.from)).collect();
            let quad = line.quad_of(found.from..found.to);
            Finding::new(found.kind.clone(), shown, index, quad)
        })
        .collect();
    place::mask_words(line, &masked);
    line.text = masked;
    findings
}

/// Returns the number of findings of the document by kind.
fn counts(pages: &[Transcript]) -> Value {
    let mut by_kind: BTreeMap<&str, u64> = BTreeMap::new();
    for finding in pages.iter().flat_map(|page| &page.findings) {
        *by_kind.entry(&finding.kind).or_default() += 1;
    }
    let total: u64 = by_kind.values().sum();
    serde_json::json!({ "total": total, "by_kind": by_kind })
}

#[cfg(test)]
mod tests;
