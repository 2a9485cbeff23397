//! The public surface: API description, pages, request ids, real clients.

use std::process::Command;

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Answer, Gateway};

#[tokio::test]
async fn the_api_describes_itself() {
    let gateway = Gateway::start().await;
    let openapi = gateway.get("/openapi.json").await.ok();
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3."));
    for path in ["/api/v1/ocr", "/api/v1/ocr/batch", "/healthz", "/readyz", "/metrics"] {
        assert!(openapi["paths"][path].is_object(), "no {path}");
    }
    let page = gateway.get("/").await;
    assert!(page.status == 200 && page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(!page.text().contains("https://cdn"), "the page fetches from elsewhere");
}

#[tokio::test]
async fn request_ids_go_in_and_come_out() {
    let gateway = Gateway::start().await;
    let bytes = pdf::document(&[PageSpec::a4(&["Who asked?"])]);
    let send = |id: &'static str| {
        let request = gateway.pdf("/api/v1/ocr", bytes.clone()).header("x-request-id", id);
        async move { Answer::read(request.send().await.unwrap()).await }
    };
    assert_eq!(send("my-own-id-17").await.header("x-request-id"), "my-own-id-17");
    let made = gateway.ocr("application/pdf", bytes.clone(), "").await;
    assert!(made.header("x-request-id").len() >= 16, "{made:?}");
}

#[tokio::test]
async fn curl_and_python_are_served() {
    let gateway = Gateway::start().await;
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
