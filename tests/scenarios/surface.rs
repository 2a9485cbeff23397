//! Real clients: curl and Python.

use std::process::Command;

use lector_tests::Gateway;
use lector_tests::pdf::{self, PageSpec};

#[tokio::test]
async fn curl_and_python_are_served() {
    let gateway = Gateway::builder().with_tiny().start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("letter.pdf");
    std::fs::write(&file, pdf::document(&[PageSpec::a4(&["Dear Sir or Madam"])])).unwrap();
    let url = gateway.url("/api/v1/ocr?format=text");
    let form = format!("file=@{};type=application/pdf", file.display());
    let file2 = file.clone();
    let (curl, python) = tokio::task::spawn_blocking(move || {
        let curl = Command::new("curl").args(["-sS", "--noproxy", "*", "-F", &form, &url]).output();
        let script = "import sys,urllib.request as u;o=u.build_opener(u.ProxyHandler({}));r=u.Request(sys.argv[1],data=open(sys.argv[2],'rb').read(),headers={'Content-Type':'application/pdf'});print(o.open(r).read().decode())";
        let python = Command::new("python3").args(["-c", script, &url]).arg(&file2).output();
        (curl, python)
    })
    .await
    .unwrap();
    for (name, output) in [("curl", curl), ("python3", python)] {
        match output {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    text.contains("Dear Sir or Madam"),
                    "{name}: {text} {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Err(e) => eprintln!("SKIPPED: no {name} ({e})"),
        }
    }
}
