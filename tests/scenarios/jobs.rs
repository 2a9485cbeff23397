//! Jobs: a real server that is killed while it reads them, and the command line.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Answer, Gateway, paths};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use crate::server::{ECHO_ONLY, ask};

/// Pages of the documents of the job.
const PAGES: [usize; 3] = [40, 1, 25];
/// Times that the server is killed, if the job lasts that long; `LECTOR_CRASH_ROUNDS` sets more.
const KILLS: u32 = 5;

fn kills() -> u32 {
    let asked = std::env::var_os("LECTOR_CRASH_ROUNDS").and_then(|rounds| rounds.to_str()?.parse().ok());
    asked.unwrap_or(KILLS)
}

async fn server(data: &Path) -> Gateway {
    let builder = Gateway::builder().config(ECHO_ONLY).set("platform.data_dir", data.display());
    // Short turns and little work at once, so that a kill falls into the middle of the job.
    builder.set("jobs.pages_per_turn", 4).set("jobs.disk_free_bytes_min", 0).start().await
}

fn document(pages: usize) -> Vec<u8> {
    let pages: Vec<PageSpec> =
        (1..=pages).map(|number| PageSpec::a4(&[format!("Sheet {number}").as_str()])).collect();
    pdf::document(&pages)
}

async fn events(gateway: &Gateway, path: &str, after: u64) -> Option<Vec<Value>> {
    let url = gateway.url(&format!("{path}/events?after={after}"));
    let answer = lector_tests::http_client().build().ok()?.get(url).send().await.ok()?;
    let text = answer.text().await.ok()?;
    text.lines().map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn a_job_survives_kills_and_each_page_is_once_in_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = server(folder.path()).await;
    let mut form = Form::new();
    for pages in PAGES {
        form = form.part("file", Part::bytes(document(pages)).file_name(format!("{pages}.pdf")));
    }
    let request =
        lector_tests::http_client().build().unwrap().post(gateway.url("/api/v1/jobs")).multipart(form);
    let submitted = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(submitted.status, 202, "{}", submitted.text());
    let path = format!("/api/v1/jobs/{}", submitted.json()["id"].as_str().unwrap());
    // Acknowledged: from here on nothing may be lost.
    gateway.kill();
    let mut killed = 1;
    for round in 0..kills() {
        let gateway = server(folder.path()).await;
        let job = ask(&gateway, "", Method::GET, &path, None).await.ok();
        if job["finished_at"].is_string() {
            break;
        }
        // Instants between the start of a claim and some turns later.
        tokio::time::sleep(Duration::from_millis(u64::from(round * 7919 % 61) * 3)).await;
        gateway.kill();
        killed += 1;
    }
    let gateway = server(folder.path()).await;
    let request =
        lector_tests::http_client().build().unwrap().get(gateway.url(&path)).header("prefer", "wait=240");
    let job = Answer::read(request.send().await.unwrap()).await.ok();
    eprintln!("killed {killed} times");
    assert_eq!((&job["state"], &job["pages"]["ok"]), (&"succeeded".into(), &66.into()), "{job:#}");
    let all = events(&gateway, &path, 0).await.unwrap();
    let numbers: Vec<u64> = all.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(events(&gateway, &path, 30).await.unwrap(), all[30..]);
    for (number, pages) in PAGES.into_iter().enumerate() {
        let of = |event: &&Value| event["event"] == "page" && event["document"] == number;
        let mut seen: Vec<usize> =
            all.iter().filter(of).map(|event| event["page"].as_u64().unwrap() as usize).collect();
        seen.sort_unstable();
        assert_eq!(seen, (1..=pages).collect::<Vec<_>>(), "document {number}");
        let result =
            ask(&gateway, "", Method::GET, &format!("{path}/result?document={number}"), None).await.ok();
        let read: Vec<usize> = result["pages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|page| page["page"].as_u64().unwrap() as usize)
            .collect();
        assert_eq!(read, (1..=pages).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn jobs_on_the_command_line() {
    let gateway = Gateway::builder().config(ECHO_ONLY).set("jobs.disk_free_bytes_min", 0).start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.pdf");
    std::fs::write(&file, document(2)).unwrap();
    let lector = |args: &[&str]| {
        let mut command = Command::new(paths::lector());
        let server = format!("client.server={}", gateway.url(""));
        command.arg("jobs").args(args).args(["--set", &server]).current_dir(paths::repo());
        let output = command.output().expect("lector runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // The command blocks; the server is another process.
    let (code, out) = lector(&["submit", file.to_str().unwrap(), "--wait"]);
    let job: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &job["state"]), (Some(0), &"succeeded".into()), "{out}");
    let id = job["id"].as_str().unwrap();
    let (code, text) = lector(&["result", id]);
    assert_eq!(code, Some(0), "{text}");
    let target = dir.path().join("out.json");
    assert_eq!(lector(&["result", id, "--format", "json", "--out", target.to_str().unwrap()]).0, Some(0));
    let written: Value = serde_json::from_slice(&std::fs::read(&target).unwrap()).unwrap();
    assert_eq!(written["pages_ok"], 2);
    let listed: Value = serde_json::from_str(&lector(&["list"]).1).unwrap();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 1);
    let bad = dir.path().join("bad.pdf");
    std::fs::write(&bad, "no document").unwrap();
    let (code, out) = lector(&["submit", bad.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}");
    let failed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(lector(&["watch", failed["id"].as_str().unwrap()]).0, Some(1));
    let (code, out) = lector(&["cancel", id]);
    assert!(code == Some(0) && out.contains("forgotten"), "{out}");
    assert_eq!(lector(&["watch", id]).0, Some(1));
}
