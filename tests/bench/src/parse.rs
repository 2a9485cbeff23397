//! `bench parse`: the structure of documents against truth that no OCR program made: tables, reading order, headings, tests
//! on single pages, scripts, whole cases. One server reads all sets; the scorers of `tests/bench/parse` compare, and one
//! table has each figure beside the one that is asked for.
//!
//! Nothing of the truth is in the repository. Sets of a folder (`--truth`, `--cases`) are measured where they are there;
//! the others come from packages ([`sources`]). Each set that is missing is named.

mod figures;
mod sources;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use xtask::gateway::Gateway;
use xtask::places::Places;
use xtask::{python, shell};

use crate::client::settled;
use crate::procs::Usage;
use crate::{table, write};
use figures::{Asked, Figure, figures};

/// Environment variables for the folders.
const TRUTH: &str = "LECTOR_TRUTH";
const CASES: &str = "LECTOR_CASES";
/// Documents of a set in the short form.
const SHORT: &str = "4";
/// Languages of the script set, as `scripts.py` names them, with the asked character error rate.
const LANGUAGES: [(&str, f64); 11] = [
    ("rus", 0.02),
    ("ell", 0.02),
    ("kor", 0.02),
    ("ara", 0.02),
    ("heb", 0.02),
    ("hin", 0.02),
    ("vie", 0.02),
    ("tam", 0.02),
    ("hye", 0.02),
    ("tha", 0.05),
    ("fas", 0.05),
];
/// Languages of the script set in the short form.
const SHORT_LANGUAGES: [&str; 2] = ["rus", "heb"];
/// The deployment that names no language.
const STANDARD: &str = "standard";
const COLUMNS: &str = "set measure asked got:4 result";

/// Arguments of `bench parse`.
#[derive(Args)]
pub struct Arguments {
    /// Read a part of each set, in some minutes; the figures then compare only with those of other short runs
    #[arg(long)]
    short: bool,
    /// Folder with `icdar2013-tables`, `pubtabnet-examples` and `olmocr-bench-sample` (default: $LECTOR_TRUTH). A folder
    /// `pairs` in it, with a folder for each PDF and its HTML, takes the place of the documents of Debian
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Folder of cases with expect.json (default: $LECTOR_CASES)
    #[arg(long)]
    cases: Option<PathBuf>,
    /// Sets to measure: tables, crops, pages, pairs, scripts, cases
    #[arg(long, value_delimiter = ',', default_value = "tables,crops,pages,pairs,scripts,cases")]
    sets: Vec<String>,
}

/// A set that was not measured, and why.
struct Skipped {
    set: &'static str,
    why: String,
}

/// The bench while it runs.
struct Bench<'a> {
    places: &'a Places,
    arguments: &'a Arguments,
    packages: PathBuf,
    gateway: Gateway,
    figures: Vec<Figure>,
    skipped: Vec<Skipped>,
    raw: Vec<Value>,
}

/// Runs the benchmark.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    for set in &arguments.sets {
        let known = ["tables", "crops", "pages", "pairs", "scripts", "cases"];
        ensure!(known.contains(&set.as_str()), "unknown set `{set}`: use {}", known.join(", "));
    }
    let requirements = places.repo("tests/bench/parse/requirements.txt");
    let packages = python::packages(places, "parse", &requirements)?;
    let mut bench = Bench {
        places,
        arguments,
        packages,
        gateway: started(places)?,
        figures: Vec::new(),
        skipped: Vec::new(),
        raw: Vec::new(),
    };
    bench.tables()?;
    bench.crops()?;
    bench.pages()?;
    bench.pairs()?;
    bench.scripts()?;
    bench.cases()?;
    bench.report()
}

/// Starts a server with the deployment `standard`, and one for each language of the scripts that is installed.
fn started(places: &Places) -> Result<Gateway> {
    let mut config = include_str!("parse/standard.toml").to_owned();
    for (language, _) in LANGUAGES.iter().filter(|(language, _)| is_installed(places, language)) {
        config += &format!(
            "\n[[deployments]]\nname = \"{}\"\ncomponent = \"guest/target/components/standard.wasm\"\nsettings = {{ \
             languages = [\"{language}\"] }}\n[deployments.grants]\ndetection = \"pp-ocrv6-small-det\"\nscripts = \
             \"tesseract\"\ntextline-orientation = \"textline-orientation\"\npage-orientation = \"page-orientation\"\n",
            deployment_of(language)
        );
    }
    let path = places.repo("target/bench/parse.toml");
    shell::write(&path, config)?;
    let env = [("LECTOR_CONFIG", path.display().to_string())];
    let gateway = Gateway::start_with(places, "bench-parse", &[], &env)?;
    // An engine builder in the background would be measured too.
    settled(&gateway)?;
    Ok(gateway)
}

impl Bench<'_> {
    fn tables(&mut self) -> Result<()> {
        let Some(folder) = self.truth("tables", "icdar2013-tables")? else { return Ok(()) };
        for (set, more, asked) in [
            ("ICDAR 2013, text layer", &[][..], true),
            ("ICDAR 2013, pixels", &["--text-layer", "never"][..], false),
        ] {
            let mut arguments = args(&["--truth"], &folder);
            arguments.extend(more.iter().map(OsString::from));
            let (scores, cpu_s) = self.score("tables.py", arguments, true)?;
            let asked = |figure: Asked| if asked { figure } else { Asked::Nothing };
            self.take(
                set,
                &scores,
                &[("/teds", asked(Asked::Least(0.92))), ("/teds_structure", asked(Asked::Least(0.96)))],
            );
            let tables = scores["tables"].as_f64().unwrap_or(0.0);
            if tables > 0.0 {
                // Whole pages are read: with pixels this is detection and recognition of all their text.
                self.figures.push(Figure::new(
                    set,
                    "server's CPU s a table, pages included",
                    asked(Asked::Most(0.25)),
                    cpu_s / tables,
                ));
            }
        }
        Ok(())
    }

    fn crops(&mut self) -> Result<()> {
        let Some(folder) = self.truth("crops", "pubtabnet-examples")? else { return Ok(()) };
        let (scores, _) = self.score("crops.py", args(&["--worst", "5", "--truth"], &folder), true)?;
        self.take(
            "PubTabNet, pictures",
            &scores,
            &[("/teds", Asked::Least(0.95)), ("/teds_structure", Asked::Nothing)],
        );
        Ok(())
    }

    fn pages(&mut self) -> Result<()> {
        let Some(folder) = self.truth("pages", "olmocr-bench-sample")? else { return Ok(()) };
        let (scores, _) = self.score("olmocr.py", args(&["--failed", "--truth"], &folder), true)?;
        let count = |of: &Value| of.as_f64().unwrap_or(f64::NAN);
        let left: f64 = scores["without_pdf"].as_object().into_iter().flatten().map(|(_, n)| count(n)).sum();
        let set = format!("olmOCR sample: {} tests, {left} without their PDF", scores["tests"]);
        // The asked number is of the whole sample; tests whose PDF is missing cannot pass.
        self.take(&set, &scores, &[("/passed", Asked::Least((75.0 - left).max(0.0)))]);
        Ok(())
    }

    fn pairs(&mut self) -> Result<()> {
        if !self.wants("pairs") {
            return Ok(());
        }
        let own = self.folder(self.arguments.truth.as_ref(), TRUTH).map(|folder| folder.join("pairs"));
        let pairs = match own.filter(|folder| folder.is_dir()) {
            Some(folder) => sources::pairs_in(&folder),
            None => sources::pairs_of_debian(self.places),
        };
        let pairs = match pairs {
            Ok(pairs) => pairs,
            Err(error) => return self.skip("pairs", format!("{error:#}")),
        };
        for pair in pairs.iter().take(if self.arguments.short { 1 } else { usize::MAX }) {
            for (kind, f1, more) in
                [("born-digital", 0.85, &[][..]), ("pixels", 0.75, &["--text-layer", "never"][..])]
            {
                if self.arguments.short && kind == "pixels" {
                    println!("short: {} is not read from pixels", pair.name);
                    continue;
                }
                let mut arguments = args(&["--pdf"], &pair.pdf);
                arguments.push("--html".into());
                arguments.extend(pair.html.iter().map(OsString::from));
                arguments.extend(more.iter().map(OsString::from));
                let (scores, _) = self.score("pairs.py", arguments, false)?;
                let asked = [
                    ("/order", Asked::Most(0.06)),
                    ("/heading/f1", Asked::Least(f1)),
                    ("/matched", Asked::Nothing),
                ];
                self.take(&format!("{}, {kind}", pair.name), &scores, &asked);
            }
        }
        Ok(())
    }

    fn scripts(&mut self) -> Result<()> {
        if !self.wants("scripts") {
            return Ok(());
        }
        let (udhr, fonts) = match sources::scripts(self.places) {
            Ok(found) => found,
            Err(error) => return self.skip("scripts", format!("{error:#}")),
        };
        let is_short = |name: &str| !self.arguments.short || SHORT_LANGUAGES.contains(&name);
        let chosen: Vec<(&str, f64)> = LANGUAGES.into_iter().filter(|(name, _)| is_short(name)).collect();
        let (there, missing): (Vec<_>, Vec<_>) =
            chosen.into_iter().partition(|(name, _)| is_installed(self.places, name));
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
            let names = names.join(",");
            self.skip("scripts", format!("not installed: {names} (cargo xtask setup --languages {names})"))?;
        }
        // Each language by name, and as a page whose language is not named; Latin pages, to see that they do not get worse.
        let mut reads: Vec<(String, Asked)> = Vec::new();
        for (language, most) in there {
            reads.push((format!("{language}={}", deployment_of(language)), Asked::Most(most)));
            reads.push((format!("{language}={STANDARD}"), Asked::Nothing));
        }
        reads.push((format!("eng={STANDARD}"), Asked::Nothing));
        for (read, asked) in reads {
            let mut arguments = args(&["--udhr"], &udhr);
            arguments.push("--fonts".into());
            arguments.extend(fonts.iter().map(OsString::from));
            arguments.extend(["--read", &read].map(OsString::from));
            let (scores, _) = self.score("scripts.py", arguments, false)?;
            let own = &scores[read.as_str()];
            self.take(&format!("UDHR {read}"), own, &[("/clean", asked), ("/degraded", asked)]);
        }
        Ok(())
    }

    fn cases(&mut self) -> Result<()> {
        if !self.wants("cases") {
            return Ok(());
        }
        let Some(folder) = self.folder(self.arguments.cases.as_ref(), CASES).filter(|folder| folder.is_dir())
        else {
            return self.skip("cases", format!("pass --cases, or set {CASES}"));
        };
        let (scores, _) = self.score("cases.py", args(&["--cases"], &folder), false)?;
        let all = scores["cases"].as_f64().unwrap_or(f64::NAN);
        self.take(&format!("cases: {all}"), &scores, &[("/passed", Asked::Least(all))]);
        Ok(())
    }

    fn wants(&self, set: &str) -> bool {
        self.arguments.sets.iter().any(|wanted| wanted == set)
    }

    fn folder(&self, given: Option<&PathBuf>, variable: &str) -> Option<PathBuf> {
        let folder = given.cloned().or_else(|| std::env::var_os(variable).map(PathBuf::from))?;
        Some(self.places.root.join(folder))
    }

    /// Returns the folder of a set; `None`, with a message, if it is not there or not wanted.
    fn truth(&mut self, set: &'static str, name: &str) -> Result<Option<PathBuf>> {
        if !self.wants(set) {
            return Ok(None);
        }
        let folder = self.folder(self.arguments.truth.as_ref(), TRUTH).map(|folder| folder.join(name));
        match folder {
            Some(folder) if folder.is_dir() => Ok(Some(folder)),
            Some(folder) => self.skip(set, format!("there is no {}", folder.display())).map(|()| None),
            None => {
                self.skip(set, format!("pass --truth, or set {TRUTH}: a folder with {name}")).map(|()| None)
            }
        }
    }

    fn skip(&mut self, set: &'static str, why: String) -> Result<()> {
        println!("\n==> {set}\nSKIPPED {set}: {why}");
        self.skipped.push(Skipped { set, why });
        Ok(())
    }

    /// Runs a scorer against the server; returns its JSON, and the CPU seconds of the server.
    fn score(&mut self, scorer: &str, arguments: Vec<OsString>, is_cut: bool) -> Result<(Value, f64)> {
        let mut command =
            python::program(&self.places.repo("tests/bench/parse").join(scorer), &self.packages);
        command.args(arguments).args(["--server", self.gateway.base()]);
        if self.arguments.short && is_cut {
            command.args(["--most", SHORT]);
        }
        println!("\n==> {}", shell::line(&command));
        let (text, usage) = Usage::during(self.gateway.pid(), || shell::output(&mut command));
        let (text, cpu_s) = (text.with_context(|| format!("{scorer} failed"))?, usage.cpu_s);
        let scores: Value =
            serde_json::from_str(&text).with_context(|| format!("{scorer} printed no JSON"))?;
        println!("{}", text.trim());
        self.raw.push(json!({ "scorer": scorer, "scores": scores, "server_cpu_s": cpu_s }));
        Ok((scores, cpu_s))
    }

    fn take(&mut self, set: &str, scores: &Value, asked: &[(&str, Asked)]) {
        self.figures.extend(figures(set, scores, asked));
    }

    /// Prints the table, and names what was skipped and what was missed.
    fn report(self) -> Result<()> {
        self.gateway.stop()?;
        let rows: Vec<Value> = self.figures.iter().map(Figure::row).collect();
        table::print(COLUMNS, &rows);
        let missed = self.figures.iter().filter(|figure| figure.is_missed()).count();
        println!(
            "\n{missed} of {} asked figures missed",
            self.figures.iter().filter(|f| f.is_asked()).count()
        );
        for Skipped { set, why } in &self.skipped {
            println!("SKIPPED {set}: {why}");
        }
        if self.arguments.short {
            println!("short run: a part of each set; the asked figures are those of whole sets");
        }
        let skipped: Vec<Value> =
            self.skipped.iter().map(|skipped| json!({ "set": skipped.set, "why": skipped.why })).collect();
        let result = json!({ "short": self.arguments.short, "figures": rows, "skipped": skipped, "scorers": self.raw });
        write(self.places, if self.arguments.short { "parse-short" } else { "parse" }, result)?;
        ensure!(!self.figures.is_empty(), "every set was skipped: nothing was measured");
        Ok(())
    }
}

/// Returns the name of the deployment whose settings name a language.
fn deployment_of(language: &str) -> String {
    format!("script-{language}")
}

fn is_installed(places: &Places, language: &str) -> bool {
    places.tesseract().join(format!("tessdata/{language}.traineddata")).is_file()
}

fn args(before: &[&str], path: &Path) -> Vec<OsString> {
    before.iter().map(OsString::from).chain([path.into()]).collect()
}
