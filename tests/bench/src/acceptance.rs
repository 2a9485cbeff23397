//! `bench acceptance`: derives acceptance limits from the quality of text. The weights of a model get increasing noise;
//! its acceptance measures the agreement with the original model (`examples/noise.rs`), and a server with the noisy
//! model reads pages, which score.py compares with their embedded text. On a processor with bf16 the table includes the
//! bf16 engine, even if acceptance would refuse it.
//!
//! The limit of the first measure (masks, characters) is right if it is above every agreement at which the text loses
//! more than is allowed, and not higher than necessary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};
use xtask::places::Places;
use xtask::{processor, shell};

use crate::client::settled;
use crate::pages::{self, Row};
use crate::peer::{self, Tier, runner};
use crate::{example, number, rows, write};

const FOLDER: &str = "target/bench/acceptance";
/// Default number of pages.
const PAGES: usize = 6;
/// Range of agreement of useful noise: above it the text does not change, below it no text is left.
const SHOWS: (f64, f64) = (0.5, 0.998);
/// Measures that relate to text; the others check the run itself.
const COLUMNS: usize = 3;

/// Arguments of `bench acceptance`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    list: pages::Pages,
    /// Detectors and recognizers of the catalog
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "pp-ocrv6-small-det,pp-ocrv6-small-rec,pp-ocrv6-tiny-det,pp-ocrv6-tiny-rec"
    )]
    models: Vec<String>,
    /// Number of noise levels; 0: compare only the bf16 engine with the model
    #[arg(long, default_value_t = 4)]
    levels: usize,
    /// Number of additional levels, each between the last good one and the first bad one
    #[arg(long, default_value_t = 1)]
    halvings: usize,
    /// Truth as JSON lines with `file`, `page`, `truth` (default: the embedded text of the pages)
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Allowed loss of text: increase of CER
    #[arg(long, default_value_t = 0.001)]
    worse_max: f64,
    /// Threads of the measured engines
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// A noise level and its results.
#[derive(Clone, Debug)]
struct Level {
    /// The noise, or the engine variant that was measured instead.
    name: String,
    measures: Vec<Value>,
    /// Increase of CER.
    worse: f64,
    missed: f64,
}

impl Level {
    fn of(name: String, measures: Vec<Value>, plain: (f64, f64), found: (f64, f64)) -> Self {
        Self { name, measures, worse: found.0 - plain.0, missed: found.1 - plain.1 }
    }

    fn agreement(&self) -> f64 {
        first(&self.measures, "value")
    }
}

/// The pages that every level reads, and their truth.
struct Reading<'a> {
    places: &'a Places,
    arguments: &'a Arguments,
    python: PathBuf,
    /// Path of the program that adds noise.
    noise: PathBuf,
    truth: PathBuf,
    uploads: Vec<(Upload, &'a Row)>,
}

/// Runs the benchmark.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    let (folder, listed) = arguments.list.read_at_most(places, PAGES)?;
    let out = places.repo(FOLDER);
    shell::make_folder(&out)?;
    let python = runner::environment(places)?;
    let truth = match &arguments.truth {
        Some(truth) => places.root.join(truth),
        None => runner::truth(places, &python, &folder, &listed, out.join("truth.jsonl"))?,
    };
    let uploads = pages::uploads(&folder, &listed)?;
    let noise = example(places, "noise")?;
    let reading = Reading { places, arguments, python, noise, truth, uploads };
    let (mut plain, mut results) = (BTreeMap::new(), Vec::new());
    for model in &arguments.models {
        println!("\n==> {model}");
        let config = config(model)?;
        let whole = match plain.get(&config) {
            Some(whole) => *whole,
            None => {
                let whole = reading.read(&config, &format!("plain-{model}"), None, "build = false")?;
                *plain.entry(config.clone()).or_insert(whole)
            }
        };
        // One level is enough to read the limit.
        let sigmas: &[f64] = if arguments.levels == 0 { &[0.01] } else { &[] };
        let judged = reading.noise(model, sigmas, None, false)?;
        let limit = judged.first().map_or(f64::NAN, |(_, measures)| first(measures, "limit"));
        ensure!(limit.is_finite(), "the first measure of {model} has no limit");
        let levels = reading.levels(model, &config, whole, &judged)?;
        results.push(report(model, whole, limit, &levels, arguments.worse_max)?);
    }
    write(places, "acceptance", json!({ "worse_max": arguments.worse_max, "models": results }))
}

impl Reading<'_> {
    /// Returns the noisy models and the bf16 engine, each measured.
    fn levels(
        &self,
        model: &str,
        config: &str,
        plain: (f64, f64),
        judged: &[(f64, Vec<Value>)],
    ) -> Result<Vec<Level>> {
        let mut levels = Vec::new();
        for sigma in spread(judged, self.arguments.levels) {
            levels.push((sigma, self.noisy(model, config, plain, sigma)?));
        }
        for _ in 0..self.arguments.halvings {
            let Some((place, sigma)) = between(&levels, self.arguments.worse_max) else { break };
            levels.insert(place, (sigma, self.noisy(model, config, plain, sigma)?));
        }
        let mut levels: Vec<Level> = levels.into_iter().map(|(_, level)| level).collect();
        levels.extend(self.in_bf16(model, config, plain)?);
        levels.sort_by(|a, b| b.agreement().total_cmp(&a.agreement()));
        Ok(levels)
    }

    fn noisy(&self, model: &str, config: &str, plain: (f64, f64), sigma: f64) -> Result<Level> {
        let out = self.places.repo(FOLDER).join(model);
        let (_, measures) = self
            .noise(model, &[sigma], Some(&out), false)?
            .pop()
            .context("the noise program printed no measures")?;
        let catalog = out.join(format!("{}", sigma as f32));
        let found = self.read(config, &format!("{model}-{sigma}"), Some(&catalog), "build = false")?;
        shell::remove_folder(&catalog)?;
        Ok(Level::of(format!("noise {sigma}"), measures, plain, found))
    }

    /// Adds noise and returns what acceptance measures at each strength; writes a catalog for each to `out`.
    fn noise(
        &self,
        model: &str,
        sigmas: &[f64],
        out: Option<&Path>,
        loose: bool,
    ) -> Result<Vec<(f64, Vec<Value>)>> {
        let (places, plan) = (self.places, self.places.repo(FOLDER).join("plan.json"));
        let plan_json = json!({
            "library": places.onnxruntime(), "models_dir": places.repo("models"), "threads": self.arguments.threads,
            "model": model, "sigmas": sigmas, "out": out, "loose": loose,
        });
        shell::write(&plan, plan_json.to_string())?;
        let text = shell::output(Command::new(&self.noise).arg(&plan))?;
        rows(&text)?
            .into_iter()
            .map(|row| {
                let sigma = row["sigma"].as_f64().context("no sigma")?;
                Ok((shortened(sigma), row["measures"].as_array().context("no measures")?.clone()))
            })
            .collect()
    }

    /// Measures the bf16 engine, under limits that it meets; prints a message and returns `None` if the processor has
    /// no bf16.
    fn in_bf16(&self, model: &str, config: &str, plain: (f64, f64)) -> Result<Option<Level>> {
        if let Some(reason) = processor::lacks_bf16() {
            println!("SKIPPED: openvino/bf16: {reason}");
            return Ok(None);
        }
        let out = self.places.repo(FOLDER).join(model);
        self.noise(model, &[0.0], Some(&out), true)?;
        let (catalog, cache) = (out.join("0"), out.join("engines"));
        let more = format!(
            "cache_dir = {:?}\n[engines.model_providers]\n{model} = [\"openvino/bf16\"]",
            cache.display().to_string()
        );
        let found = self.read(config, &format!("{model}-bf16"), Some(&catalog), &more)?;
        let mut measures = None;
        for dir in shell::list(&cache)? {
            let Ok(text) = fs::read_to_string(dir.join("manifest.json")) else { continue };
            let manifest: Value = serde_json::from_str(&text).context("a manifest is not JSON")?;
            if manifest["key"]["model"] == model && manifest["key"]["variant"] == "openvino/bf16" {
                measures = manifest["acceptance"]["measures"].as_array().cloned();
            }
        }
        shell::remove_folder(&out)?;
        let measures = measures.context("the engine in bf16 left no manifest")?;
        Ok(Some(Level::of("openvino/bf16".to_owned(), measures, plain, found)))
    }

    /// Returns CER and the share of missed characters of the pages on a server with ONNX Runtime in f32, with this
    /// catalog and additional configuration.
    fn read(&self, config: &str, name: &str, models: Option<&Path>, more: &str) -> Result<(f64, f64)> {
        let (places, out) = (self.places, self.places.repo(FOLDER));
        let models_dir = models.unwrap_or(&places.repo("models")).display().to_string();
        let config =
            format!("{config}\n[engines]\nproviders = [\"cpu\"]\nmodels_dir = {models_dir:?}\n{more}\n");
        let file = out.join("lector.toml");
        shell::write(&file, config)?;
        let env = [("LECTOR_CONFIG", file.display().to_string())];
        let gateway = Gateway::start_with(places, "bench-acceptance", &[], &env)?;
        settled(&gateway)?;
        let pages = pages::read(&gateway, &self.uploads, &format!("dpi={}", self.arguments.list.dpi));
        gateway.stop()?;
        let readings = out.join(format!("{name}.jsonl"));
        pages::keep(pages?, &readings)?;
        let scores = peer::scored(places, &self.python, &self.truth, &[&readings], None)?;
        let all = scores.as_object().and_then(|scores| scores.values().next()).map(|side| &side["all"]);
        let all = all.context("score.py printed no scores")?;
        let number = |key: &str| all[key].as_f64().with_context(|| format!("score.py printed no {key}"));
        Ok((number("cer")?, number("miss")?))
    }
}

/// Returns the configuration of a server that uses this model with the other models of its tier, or else with the small
/// ones.
fn config(model: &str) -> Result<String> {
    let tier = if model.contains("-tiny-") { Tier::Tiny } else { Tier::Small };
    let task = model.rsplit('-').next().unwrap_or_default();
    ensure!(["det", "rec"].contains(&task), "{model} is neither a detector (…-det) nor a recognizer (…-rec)");
    let usual = format!("pp-ocrv6-{}-{task}", tier.name());
    Ok(tier.config_alone().replace(&usual, model))
}

/// Rounds to six decimals, more than the noise needs.
fn shortened(sigma: f64) -> f64 {
    (sigma * 1e6).round() / 1e6
}

/// Returns strengths spread evenly over those with an effect.
fn spread(judged: &[(f64, Vec<Value>)], most: usize) -> Vec<f64> {
    let shows = |measures: &[Value]| (SHOWS.0..SHOWS.1).contains(&first(measures, "value"));
    let shown: Vec<f64> = judged.iter().filter(|(_, of)| shows(of)).map(|(sigma, _)| *sigma).collect();
    let last = shown.len().saturating_sub(1);
    let steps = most.saturating_sub(1).max(1);
    let mut places: Vec<usize> = (0..most).map(|n| (n * last + steps / 2) / steps).collect();
    places.dedup();
    places.into_iter().filter_map(|place| shown.get(place).copied()).collect()
}

/// Returns a strength between the last good level and the first bad one, and its position.
fn between(levels: &[(f64, Level)], worse_max: f64) -> Option<(usize, f64)> {
    let first_bad = levels.iter().position(|(_, level)| level.worse > worse_max)?;
    let (good, bad) = (levels.get(first_bad.checked_sub(1)?)?.0, levels.get(first_bad)?.0);
    Some((first_bad, shortened((good * bad).sqrt())))
}

fn first(measures: &[Value], key: &str) -> f64 {
    measures.first().map_or(f64::NAN, |measure| number(measure, key))
}

/// Returns the range of the limit: above the greatest agreement at which the text loses more than is allowed, up to the
/// least agreement above that without such a loss.
fn derived(levels: &[Level], worse_max: f64) -> (Option<f64>, Option<f64>) {
    let too_bad = levels.iter().filter(|level| level.worse > worse_max).map(Level::agreement);
    let too_bad = too_bad.max_by(f64::total_cmp);
    let good =
        levels.iter().map(Level::agreement).filter(|&agreement| too_bad.is_none_or(|bad| agreement > bad));
    (too_bad, good.min_by(f64::total_cmp))
}

fn report(
    model: &str,
    (cer, miss): (f64, f64),
    limit: f64,
    levels: &[Level],
    worse_max: f64,
) -> Result<Value> {
    let best = levels.first().context("no noise level has an effect")?;
    let shown = best.measures.iter().take(COLUMNS);
    let names: Vec<&str> = shown.filter_map(|measure| measure["name"].as_str()).collect();
    println!("\n{model}: CER {cer:.4}, miss {miss:.4} as it is; worse by, in points");
    print!("  {:<18}", "");
    names.iter().for_each(|name| print!("{name:>22}"));
    println!("{:>10}{:>10}", "CER", "miss");
    let mut rows = Vec::new();
    for level in levels {
        print!("  {:<18}", level.name);
        for measure in level.measures.iter().take(COLUMNS) {
            print!("{:>22.5}", number(measure, "value"));
        }
        println!("{:>10.2}{:>10.2}", 100.0 * level.worse, 100.0 * level.missed);
        rows.push(json!({ "what": level.name, "measures": level.measures, "cer_worse": level.worse, "miss_worse": level.missed }));
    }
    let (bad, good) = derived(levels, worse_max);
    let shown = |agreement: Option<f64>| agreement.map_or_else(|| "none".to_owned(), |a| format!("{a:.4}"));
    let verdict = match (bad, good) {
        (Some(bad), _) if limit <= bad => "is too low",
        (_, Some(good)) if limit > good => "is higher than the text needs",
        _ => "lies between",
    };
    println!(
        "  worse by more than {:.2} points at an agreement of {} and below; not from {} on. The limit, {limit}, {verdict}",
        100.0 * worse_max,
        shown(bad),
        shown(good),
    );
    Ok(
        json!({ "model": model, "cer": cer, "miss": miss, "levels": rows, "too_bad_at": bad, "good_from": good, "limit": limit, "verdict": verdict }),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn level(agreement: f64, worse: f64) -> Level {
        let measures = vec![json!({ "name": "mask_agreement", "value": agreement, "limit": 0.97 })];
        Level { name: String::new(), measures, worse, missed: 0.0 }
    }

    #[test]
    fn a_limit_lies_above_what_is_too_bad_and_not_above_what_is_good() {
        let check = |levels: &[(f64, f64)], expect: (Option<f64>, Option<f64>)| {
            let levels: Vec<Level> =
                levels.iter().map(|&(agreement, worse)| level(agreement, worse)).collect();
            assert_eq!(derived(&levels, 0.001), expect);
        };
        check(&[(0.99, 0.0), (0.98, 0.0005), (0.96, 0.002), (0.9, 0.01)], (Some(0.96), Some(0.98)));
        // Good again further down, by chance.
        check(&[(0.99, 0.0), (0.96, 0.002), (0.9, 0.0)], (Some(0.96), Some(0.99)));
        check(&[(0.99, 0.0), (0.9, 0.0)], (None, Some(0.9)));
        check(&[(0.99, 0.01)], (Some(0.99), None));
        check(&[], (None, None));
    }

    #[test]
    fn strengths_are_spread_over_those_that_show_and_one_lies_between_good_and_bad() {
        let judged = |agreements: &[f64]| {
            agreements
                .iter()
                .enumerate()
                .map(|(n, &a)| (n as f64, level(a, 0.0).measures))
                .collect::<Vec<_>>()
        };
        let check = |agreements: &[f64], most, expect: &[f64]| {
            assert_eq!(spread(&judged(agreements), most), expect, "{agreements:?} {most}");
        };
        check(&[0.9999, 0.99, 0.97, 0.9, 0.8, 0.7, 0.1], 3, &[1.0, 3.0, 5.0]);
        check(&[0.99, 0.9], 4, &[0.0, 1.0]);
        check(&[0.99, 0.9], 1, &[0.0]);
        check(&[0.9999], 4, &[]);
        let levels: Vec<(f64, Level)> =
            [(0.01, 0.0), (0.04, 0.01), (0.05, 0.0)].map(|(sigma, worse)| (sigma, level(0.9, worse))).into();
        assert_eq!(between(&levels, 0.001), Some((1, 0.02)));
        assert_eq!(between(&levels[1..], 0.001), None, "bad from the first on");
        assert_eq!(between(&levels[..1], 0.001), None, "good to the last");
    }
}
