//! The pages that several benchmarks read: the shipped list or another one, with all documents read at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use serde_json::{Value, json};
use xtask::gateway::{Gateway, Upload};
use xtask::places::Places;
use xtask::{corpus, shell};

use crate::client::answers;
use crate::in_parallel;

/// Arguments that select the pages.
#[derive(Args)]
pub struct Pages {
    /// List of pages with the lines FILE<tab>PAGES<tab>CLASS<tab>LANGUAGE
    #[arg(long, default_value = "tests/bench/pages.tsv")]
    pub pages: PathBuf,
    /// Folder with the files of the list (default: the corpus), e.g. one made by `tests/bench/degrade.py`
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Maximum number of pages, the first of each document before the second (default: all)
    #[arg(long)]
    pages_max: Option<usize>,
    /// Resolution of the pages, in dpi
    #[arg(long, default_value_t = 200)]
    pub dpi: u32,
}

/// Pages of one document.
pub struct Row {
    pub file: String,
    pub pages: String,
    /// ISO 639-1 code, or an empty string.
    pub language: String,
}

impl Pages {
    /// Returns the folder and the list; downloads the corpus if no folder is given.
    pub fn read(&self, places: &Places) -> Result<(PathBuf, Vec<Row>)> {
        self.read_at_most(places, usize::MAX)
    }

    /// Returns the same with at most this number of pages, unless a number was given.
    pub fn read_at_most(&self, places: &Places, pages_max: usize) -> Result<(PathBuf, Vec<Row>)> {
        let folder = match &self.folder {
            Some(folder) => places.root.join(folder),
            None => corpus::fetch(places, None)?,
        };
        let mut rows = rows(&shell::read(&places.root.join(&self.pages))?)?;
        cut(&mut rows, self.pages_max.unwrap_or(pages_max));
        Ok((folder, rows))
    }
}

/// Limits the list to a number of pages: the first of each document, then the second, ...
fn cut(rows: &mut Vec<Row>, pages_max: usize) {
    let pages: Vec<Vec<&str>> = rows.iter().map(|row| row.pages.split(',').collect()).collect();
    let mut taken = vec![0; rows.len()];
    let (mut left, mut round) = (pages_max, 0);
    while left > 0 && pages.iter().any(|pages| pages.len() > round) {
        for (taken, pages) in taken.iter_mut().zip(&pages) {
            let more = usize::from(left > 0 && pages.len() > round);
            *taken += more;
            left -= more;
        }
        round += 1;
    }
    let kept: Vec<String> =
        pages.iter().zip(&taken).map(|(p, &n)| p.get(..n).unwrap_or(p).join(",")).collect();
    rows.iter_mut().zip(kept).for_each(|(row, kept)| row.pages = kept);
    rows.retain(|row| !row.pages.is_empty());
}

/// Reads the files of the list.
pub fn uploads<'a>(folder: &Path, rows: &'a [Row]) -> Result<Vec<(Upload, &'a Row)>> {
    rows.iter().map(|row| Ok((Upload::read(&folder.join(&row.file))?, row))).collect()
}

fn rows(text: &str) -> Result<Vec<Row>> {
    let rows: Vec<Row> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut cells = line.split('\t');
            match (cells.next(), cells.next()) {
                (Some(file), Some(pages)) if !file.contains('/') => {
                    let language = cells.nth(1).unwrap_or_default().to_owned();
                    Ok(Row { file: file.to_owned(), pages: pages.to_owned(), language })
                }
                _ => Err(anyhow!("not FILE<tab>PAGES: {line}")),
            }
        })
        .collect::<Result<_>>()?;
    let files: BTreeSet<&str> = rows.iter().map(|row| row.file.as_str()).collect();
    ensure!(!rows.is_empty(), "the list of pages is empty");
    ensure!(files.len() == rows.len(), "a file is listed twice: name its pages in one line");
    Ok(rows)
}

/// Reads every document without embedded text, each as one request and all at once; returns the events of their pages,
/// with the name of the file.
pub fn read(gateway: &Gateway, uploads: &[(Upload, &Row)], options: &str) -> Result<Vec<Value>> {
    let documents = in_parallel(uploads.len(), uploads.len(), |_, at| {
        let (upload, row) = uploads.get(at).context("a document")?;
        let query = format!("?text_layer=never&{options}&pages={}", row.pages);
        let mut pages = answers::pages(gateway, std::slice::from_ref(upload), &query)
            .with_context(|| format!("reading {}", row.file))?;
        pages.iter_mut().for_each(|page| page["file"] = json!(row.file));
        Ok(pages)
    })?;
    Ok(documents.into_iter().flatten().collect())
}

/// Writes the pages in order in the form of score.py, and returns their number.
pub fn keep(mut pages: Vec<Value>, readings: &Path) -> Result<usize> {
    pages.sort_by_key(|page| (page["file"].as_str().unwrap_or_default().to_owned(), page["page"].as_u64()));
    let text: String = pages.iter().map(|page| format!("{page}\n")).collect();
    shell::write(readings, text)?;
    Ok(pages.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_list_of_pages() {
        let rows = rows("# note\na.pdf\t1,2\tpaper\ten\n").unwrap();
        assert_eq!((rows[0].file.as_str(), rows[0].pages.as_str()), ("a.pdf", "1,2"));
        for text in ["", "a.pdf\n", "../a.pdf\t1\n", "a.pdf\t1\na.pdf\t2\n"] {
            assert!(super::rows(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_cut_list_has_a_page_of_each_document_first() {
        let check = |most: usize, expect: &[(&str, &str)]| {
            let mut rows = rows("a.pdf\t1,2,3\nb.pdf\t7\nc.pdf\t4,5\n").unwrap();
            cut(&mut rows, most);
            let kept: Vec<(&str, &str)> = rows.iter().map(|r| (r.file.as_str(), r.pages.as_str())).collect();
            assert_eq!(kept, expect, "{most}");
        };
        check(2, &[("a.pdf", "1"), ("b.pdf", "7")]);
        check(4, &[("a.pdf", "1,2"), ("b.pdf", "7"), ("c.pdf", "4")]);
        check(usize::MAX, &[("a.pdf", "1,2,3"), ("b.pdf", "7"), ("c.pdf", "4,5")]);
    }

    #[test]
    fn the_shipped_list_is_understood() {
        let places = Places::find().unwrap();
        assert!(rows(&shell::read(&places.repo("tests/bench/pages.tsv")).unwrap()).unwrap().len() >= 8);
    }
}
