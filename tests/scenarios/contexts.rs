//! `lector login` and contexts: the command line against a server with keys.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};
use serde_json::Value;

use crate::server::ECHO_ONLY;

/// Runs a command of a user whose configuration folder is `home`, with `input` as its standard input.
fn lector(home: &Path, env: &[(&str, &str)], args: &[&str], input: &str) -> Output {
    let mut command = Command::new(paths::lector());
    command.args(args).env("XDG_CONFIG_HOME", home).envs(env.iter().copied()).current_dir(home);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("lector runs");
    // A command that does not read its input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn ok(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failed(output: &Output) -> String {
    assert_ne!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_user_logs_in_once_and_errors_name_the_source_of_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let key_file = home.join("admin.key");
    let gateway =
        Gateway::builder().config(ECHO_ONLY).set("platform.admin_key_file", key_file.display()).start().await;
    let key = std::fs::read_to_string(&key_file).unwrap().trim().to_owned();
    let base = gateway.base.as_str();
    let run = |env: &[(&str, &str)], args: &[&str]| lector(home, env, args, "");

    let message = failed(&run(&[], &["keys", "list", "--server", base]));
    assert!(message.contains("key_missing") && message.contains("no key is set for"), "{message}");
    // A key that the server refuses is not stored.
    let message = failed(&lector(home, &[], &["login", "prod", "--server", base], "lk_wrong\n"));
    assert!(message.contains("key_invalid"), "{message}");
    assert_eq!(failed(&run(&[], &["context", "show"])).matches("no current context").count(), 1);

    let said = ok(&lector(home, &[], &["login", "prod", "--server", base], &format!("{key}\n")));
    assert!(said.contains("context `prod`") && said.contains("tenant default"), "{said}");
    let file = home.join("lector/contexts.toml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    ok(&run(&[], &["login", "broken", "--server", "http://127.0.0.1:9", "--key", "secret-x", "--no-check"]));
    ok(&run(&[], &["context", "use", "prod"]));
    let listed = ok(&run(&[], &["context", "list"])) + &ok(&run(&[], &["context", "show"]));
    assert!(listed.contains(base) && !listed.contains(&key) && !listed.contains("secret-x"), "{listed}");
    let json: Value = serde_json::from_str(&ok(&run(&[], &["context", "list", "--json"]))).unwrap();
    assert_eq!(json["contexts"][1]["name"], "prod");
    assert_eq!(json["contexts"][1]["current"], true);

    // Every kind of command finds server and key.
    let keys: Value = serde_json::from_str(&ok(&run(&[], &["keys", "list", "--all"]))).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    ok(&run(&[], &["revisions"]));
    ok(&run(&[], &["engines", "status"]));
    ok(&run(&[], &["jobs", "list"]));
    ok(&run(&[], &["tenants", "create", "acme"]));
    let made: Value =
        serde_json::from_str(&ok(&run(&[], &["keys", "create", "ci", "--tenant", "acme"]))).unwrap();
    let of_acme = made["key"].as_str().unwrap();
    // A key of a variable, and the tenant of a flag.
    let variable = [("ACME_KEY", of_acme)];
    let args = ["login", "acme", "--server", base, "--key-env", "ACME_KEY"];
    assert!(ok(&run(&variable, &args)).contains("tenant acme"));
    assert!(!std::fs::read_to_string(&file).unwrap().contains(of_acme));
    ok(&run(&variable, &["usage"]));
    let message = failed(&run(&[], &["usage"]));
    assert!(message.contains("ACME_KEY, which is not set"), "{message}");
    ok(&run(&[], &["usage", "--context", "prod"]));
    let message = failed(&run(&[], &["usage", "--context", "prod", "--tenant", "nobody"]));
    assert!(message.contains("`nobody` (flag --tenant)"), "{message}");

    // Errors name the source.
    let message = failed(&run(
        &[("LECTOR__CLIENT__KEY", "lk_other")],
        &["usage", "--context", "prod", "--key", "lk_x"],
    ));
    assert!(message.contains("from: flag --key"), "{message}");
    let message =
        failed(&run(&[("LECTOR_CONTEXT", "prod"), ("LECTOR__CLIENT__KEY", "lk_other")], &["usage"]));
    assert!(message.contains("from: environment LECTOR__CLIENT__KEY"), "{message}");
    let message = failed(&run(&[("LECTOR_CONTEXT", "broken")], &["usage"]));
    assert!(message.contains("http://127.0.0.1:9 (context `broken` of"), "{message}");
    let message = failed(&run(&[], &["usage", "--context", "nowhere"]));
    assert!(message.contains("`acme`, `broken`, `prod`"), "{message}");

    // Documents leave this machine only where the command says so.
    let document = home.join("a.pdf");
    std::fs::write(&document, pdf::document(&[PageSpec::a4(&["Read me there"])])).unwrap();
    let document = document.to_str().unwrap();
    let text = ok(&run(&[], &["ocr", document, "--context", "prod", "--format", "json"]));
    assert!(text.contains("\"deployment\""), "{text}");
    let message = failed(&run(&[], &["ocr", document, "--key", &key]));
    assert!(message.contains("--key is for a server"), "{message}");
    ok(&run(&[], &["context", "remove", "prod"]));
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&key));
}
