#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::config::layers::{Effective, Sources};
use crate::config::{ClientConfig, validate};

const FILE: &str = r#"
current = "here"

[contexts.here]
server = "http://here:1/"
tenant = "one"
key = "key-of-here"

[contexts.there]
server = "https://there"

[contexts.variable]
server = "http://variable"
key_env = "PATH"

[contexts.unset]
server = "http://unset"
key_env = "LECTOR_TEST_NOT_SET"
"#;

fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("contexts.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    (dir, path)
}

/// What a command is given.
#[derive(Default)]
struct Given<'a> {
    config: &'a str,
    env: &'a [(&'a str, &'a str)],
    env_context: Option<&'a str>,
    flag_context: Option<&'a str>,
    flags: &'a [(&'a str, &'a str, &'static str)],
}

impl Given<'_> {
    fn load(&self, contexts: &str) -> Result<ClientConfig, ConfigError> {
        let (_dir, contexts_file) = file(contexts, 0o600);
        let config_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(config_file.path(), self.config).unwrap();
        let environment = Environment {
            config_file: Some(config_file.path().to_owned()),
            keys: self.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            context: self.env_context.map(str::to_owned),
            contexts_file: Some(contexts_file),
        };
        let sources = Sources {
            file: None,
            flags: self
                .flags
                .iter()
                .map(|(key, value, flag)| ((*key).into(), (*value).into(), *flag))
                .collect(),
            context: Some(match self.flag_context {
                Some(name) => ContextChoice::Named(name.to_owned()),
                None => ContextChoice::Current,
            }),
        };
        Ok(validate::raise(&Effective::gather(&sources, environment)?)?.client)
    }

    fn client(&self) -> (String, Option<String>, Option<String>) {
        let client = self.load(FILE).unwrap();
        (client.server, client.key, client.tenant)
    }

    fn error(&self) -> String {
        self.load(FILE).unwrap_err().to_string()
    }
}

fn is(server: &str, key: Option<&str>, tenant: Option<&str>) -> (String, Option<String>, Option<String>) {
    (server.to_owned(), key.map(str::to_owned), tenant.map(str::to_owned))
}

const CONFIG: &str = "[client]\nserver = \"http://config\"\nkey = \"key-of-config\"\n";
const ENV: &[(&str, &str)] =
    &[("LECTOR__CLIENT__SERVER", "http://env"), ("LECTOR__CLIENT__KEY", "key-of-env")];

#[test]
fn the_order_is_flag_named_context_environment_context_configuration_default() {
    let none = Given { config: CONFIG, ..Given::default() };
    assert_eq!(none.load("").unwrap().server, "http://config");
    assert_eq!(Given::default().load("").unwrap().server, "http://127.0.0.1:8080");
    // The current context goes before the configuration.
    assert_eq!(none.client(), is("http://here:1", Some("key-of-here"), Some("one")));
    // LECTOR_CONTEXT goes before the current one, which has a key that is not sent to another server.
    assert_eq!(Given { env_context: Some("there"), ..none }.client(), is("https://there", None, None));
    // The environment goes before both, and a context of another server gives nothing.
    let env = Given { env: ENV, ..Given::default() };
    assert_eq!(env.client(), is("http://env", Some("key-of-env"), None));
    let key = Given { env: &ENV[1..], ..Given::default() };
    assert_eq!(key.client(), is("http://here:1", Some("key-of-env"), Some("one")));
    // A context that a flag names goes before the environment, as a whole.
    let named = Given { env: ENV, flag_context: Some("there"), ..Given::default() };
    assert_eq!(named.client(), is("https://there", None, None));
    // Flags go before all.
    let server = ("client.server", "http://flag", "--server");
    let flags = Given { env: ENV, flags: &[server], ..Given::default() };
    assert_eq!(flags.client(), is("http://flag", Some("key-of-env"), None));
    let flags = Given { flags: &[server], ..Given::default() };
    assert_eq!(flags.client(), is("http://flag", None, None));
    let same = ("client.server", "http://here:1", "--server");
    let flags = Given { flags: &[same, ("client.tenant", "two", "--tenant")], ..Given::default() };
    assert_eq!(flags.client(), is("http://here:1", Some("key-of-here"), Some("two")));
    let flags =
        Given { flag_context: Some("here"), flags: &[("client.key", "", "--key")], ..Given::default() };
    assert_eq!(flags.client(), is("http://here:1", None, Some("one")));
}

#[test]
fn a_value_has_the_source_that_set_it() {
    let given = Given { env: &ENV[1..], flags: &[("client.tenant", "t", "--tenant")], ..Given::default() };
    let origins = given.load(FILE).unwrap().origins;
    let server = origins.server.to_string();
    assert!(server.starts_with("context `here` of /") && server.ends_with("contexts.toml"), "{server}");
    assert_eq!(origins.key.to_string(), "environment LECTOR__CLIENT__KEY");
    assert_eq!(origins.tenant.to_string(), "flag --tenant");
    let bad = Given { flags: &[("client.server", "here:1", "--server")], ..Given::default() };
    assert!(
        bad.error().contains("`client.server` is not the address of a server")
            && bad.error().contains("(flag --server)")
    );
    let bad = "[contexts.a]\nserver = \"a\"\n";
    let error = Given { flag_context: Some("a"), ..Given::default() }.load(bad).unwrap_err().to_string();
    assert!(error.contains("(context `a` of /"), "{error}");
}

#[test]
fn a_key_of_a_variable_is_read_when_it_is_needed() {
    let variable = Given { flag_context: Some("variable"), ..Given::default() };
    assert_eq!(variable.client().1, std::env::var_os("PATH").map(|path| path.into_string().unwrap()));
    let unset = Given { flag_context: Some("unset"), ..Given::default() };
    assert!(unset.error().contains("variable LECTOR_TEST_NOT_SET, which is not set"), "{}", unset.error());
    let given = Given { flags: &[("client.key", "k", "--key")], ..unset };
    assert_eq!(given.client().1.as_deref(), Some("k"));
}

#[test]
fn an_unknown_context_and_a_contradiction_are_errors() {
    let unknown = Given { flag_context: Some("nowhere"), ..Given::default() }.error();
    assert!(unknown.contains("no context `nowhere`") && unknown.contains("`here`, `there`"), "{unknown}");
    let unknown = Given { env_context: Some("nowhere"), ..Given::default() }.error();
    assert!(unknown.contains("no context `nowhere`"), "{unknown}");
    let two = Given {
        flag_context: Some("here"),
        flags: &[("client.server", "http://there", "--server")],
        ..Given::default()
    };
    assert!(two.error().contains("give one of --context and --server"), "{}", two.error());
}

#[test]
fn the_file_is_written_for_its_user_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/lector/contexts.toml");
    let mut contexts = Contexts::read(path.clone()).unwrap();
    assert_eq!((contexts.current(), contexts.iter().count()), (None, 0));
    let context =
        Context { server: "http://a".to_owned(), key: Some("secret".to_owned()), ..Context::default() };
    contexts.set("a b", context.clone());
    contexts.save().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    // Also where another program made it readable.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = Contexts::read(path.clone()).err().unwrap().to_string();
    assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    contexts.set("b", Context { server: "http://b".to_owned(), ..Context::default() });
    contexts.save().unwrap();
    assert_eq!(mode(&path), 0o600);
    let mut contexts = Contexts::read(path.clone()).unwrap();
    assert_eq!(contexts.get("a b").unwrap(), &context);
    assert!(!format!("{context:?}").contains("secret"));
    assert_eq!(contexts.current(), Some("b"));
    contexts.choose("a b").unwrap();
    contexts.remove("a b").unwrap();
    assert_eq!(contexts.current(), None);
    assert!(contexts.choose("a b").is_err() && contexts.remove("c").is_err());
}

#[test]
fn a_damaged_file_is_named_without_its_keys() {
    for text in
        ["[contexts.a]\nkey = \"secret\"\n", "[contexts.a]\nserver = \"a\"\nkey = secret\n", "x = 1\n"]
    {
        let (_dir, path) = file(text, 0o600);
        let error = Contexts::read(path).err().unwrap().to_string();
        assert!(
            error.contains("contexts.toml is not a file of contexts") && !error.contains("secret"),
            "{error}"
        );
    }
    // Without keys, others may read it.
    let (_dir, path) = file("[contexts.a]\nserver = \"http://a\"\n", 0o644);
    assert_eq!(Contexts::read(path).unwrap().iter().count(), 1);
}
