//! Contexts: servers that a user logged in to, each with its tenant and its key, in a file of the user alone.
//!
//! Owns the file and its mode, and the choice of a context. A context is a whole: it sets every key of `[client]`, so that
//! no key of another source goes to its server, and its key goes to its own server only.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::env::{self, Environment};
use super::error::ConfigError;
use super::origin::Origin;

/// Maximum size of the file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Mode of the file: it holds keys.
const FILE_MODE: u32 = 0o600;
/// Mode of its folder, if it is created.
const FOLDER_MODE: u32 = 0o700;
const SERVER: &str = "client.server";
const KEY: &str = "client.key";

/// Which context a command uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextChoice {
    /// That of `LECTOR_CONTEXT`, else the current one; none if there is none.
    Current,
    /// The one that `--context` names.
    Named(String),
}

/// A server, and who calls it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Address of the server.
    pub server: String,
    /// Tenant for which an administrator acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Environment variable that has the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// Authorities beside those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca_file: Option<PathBuf>,
    /// Certificate, for servers that require one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_certificate_file: Option<PathBuf>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_key_file: Option<PathBuf>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Context {
    /// Returns the table of `[client]`, with every key.
    fn table(&self, key: Option<String>) -> Table {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let values = [
            ("server", Some(self.server.clone())),
            ("key", key),
            ("tenant", self.tenant.clone()),
            ("tls_ca_file", path(&self.tls_ca_file)),
            ("tls_certificate_file", path(&self.tls_certificate_file)),
            ("tls_key_file", path(&self.tls_key_file)),
        ];
        let client = values.into_iter().map(|(name, value)| {
            let value = value.unwrap_or_default();
            (name.to_owned(), Value::String(value))
        });
        Table::from_iter([("client".to_owned(), Value::Table(client.collect()))])
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// The contexts of a user.
pub struct Contexts {
    path: PathBuf,
    file: File,
}

impl Contexts {
    /// Reads the contexts of the user of this process. Error: the folder of the user is not known, or [`Contexts::read`].
    pub fn of_user() -> Result<Self, ConfigError> {
        Self::read(env::contexts_file().ok_or(ConfigError::NoConfigRoot)?)
    }

    /// Reads a file; without one there are no contexts. Error: it is not such a file, or others can read its keys.
    pub(super) fn read(path: PathBuf) -> Result<Self, ConfigError> {
        let failed = |problem: String| ConfigError::Contexts { path: path.clone(), problem };
        let meta = match std::fs::metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { path, file: File::default() });
            }
            Err(error) => return Err(failed(format!("cannot be read: {error}"))),
        };
        if meta.len() > FILE_BYTES_MAX {
            return Err(failed("is larger than 1 MiB".to_owned()));
        }
        let text =
            std::fs::read_to_string(&path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        // The message of the parser quotes lines, and lines have keys.
        let file: File = toml::from_str(&text).map_err(|error: toml::de::Error| {
            failed(format!("is not a file of contexts: {}", error.message()))
        })?;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 && file.contexts.values().any(|context| context.key.is_some()) {
            let problem = format!("holds keys, and its mode {mode:04o} lets others read it: chmod 600 it");
            return Err(failed(problem));
        }
        Ok(Self { path, file })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the current context.
    pub fn current(&self) -> Option<&str> {
        self.file.current.as_deref()
    }

    /// Returns the contexts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Context)> {
        self.file.contexts.iter().map(|(name, context)| (name.as_str(), context))
    }

    /// Returns a context. Error: there is none with this name.
    pub fn get(&self, name: &str) -> Result<&Context, ConfigError> {
        self.file.contexts.get(name).ok_or_else(|| ConfigError::ContextUnknown {
            name: name.to_owned(),
            path: self.path.clone(),
            known: match self.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>() {
                none if none.is_empty() => "none: `lector login` makes one".to_owned(),
                names => names.join(", "),
            },
        })
    }

    /// Returns the key that an environment variable has. Error: it is not set.
    pub fn key_of_variable(name: &str) -> Result<String, ConfigError> {
        env::variable(name).ok_or_else(|| ConfigError::KeyVariable { variable: name.to_owned() })
    }

    /// Adds or replaces a context, and makes it the current one.
    pub fn set(&mut self, name: &str, context: Context) {
        self.file.contexts.insert(name.to_owned(), context);
        self.file.current = Some(name.to_owned());
    }

    /// Makes a context the current one.
    pub fn choose(&mut self, name: &str) -> Result<(), ConfigError> {
        self.get(name)?;
        self.file.current = Some(name.to_owned());
        Ok(())
    }

    /// Removes a context; if it was the current one, there is none.
    pub fn remove(&mut self, name: &str) -> Result<(), ConfigError> {
        self.get(name)?;
        self.file.contexts.remove(name);
        if self.current() == Some(name) {
            self.file.current = None;
        }
        Ok(())
    }

    /// Writes the file, as a whole and readable for its user only.
    pub fn save(&self) -> Result<(), ConfigError> {
        let write = || -> Result<(), Box<dyn std::error::Error>> {
            let text = toml::to_string(&self.file)?;
            let folder = self.path.parent().unwrap_or(Path::new("."));
            std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
            let mut whole = tempfile::Builder::new()
                .permissions(std::fs::Permissions::from_mode(FILE_MODE))
                .tempfile_in(folder)?;
            whole.write_all(text.as_bytes())?;
            whole.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|error| ConfigError::Contexts {
            path: self.path.clone(),
            problem: format!("cannot be written: {error}"),
        })
    }
}

/// A context as a source of the configuration.
pub(super) struct Layer {
    /// The keys of `[client]`.
    pub(super) table: Table,
    pub(super) origin: Origin,
    /// Whether a flag names it: it comes before the environment then, as flags do.
    pub(super) is_flag: bool,
}

/// Returns the layer of the chosen context, if it applies. `flags` are those of the command line.
///
/// It does not apply if a source before it sets another server. Error: the context does not exist, the variable of its key
/// is not set, or a flag names another server than the context that a flag names.
pub(super) fn layer(
    choice: &ContextChoice,
    environment: &Environment,
    flags: &[(String, String, &'static str)],
) -> Result<Option<Layer>, ConfigError> {
    let path = match (&environment.contexts_file, choice) {
        (Some(path), _) => path.clone(),
        (None, ContextChoice::Named(_)) => return Err(ConfigError::NoConfigRoot),
        (None, ContextChoice::Current) => return Ok(None),
    };
    let contexts = Contexts::read(path)?;
    let (name, is_flag) = match choice {
        ContextChoice::Named(name) => (name.as_str(), true),
        ContextChoice::Current => match environment.context.as_deref().or(contexts.current()) {
            Some(name) => (name, false),
            None => return Ok(None),
        },
    };
    let context = contexts.get(name)?;
    let of_environment = environment.keys.iter().filter(|_| !is_flag);
    let above: Vec<(String, &str)> = of_environment
        .map(|(variable, text)| (env::key_of(variable), text.as_str()))
        .chain(flags.iter().map(|(key, text, _)| (key.clone(), text.as_str())))
        .collect();
    // The last one of a key wins.
    let set = |wanted: &str| above.iter().rev().find(|(key, _)| key == wanted).map(|(_, text)| *text);
    if let Some(other) = set(SERVER).filter(|other| !is_same(other, &context.server)) {
        if is_flag {
            return Err(ConfigError::ContextServer {
                name: name.to_owned(),
                server: context.server.clone(),
                other: other.to_owned(),
            });
        }
        return Ok(None);
    }
    let key = match (&context.key, &context.key_env) {
        (Some(key), _) => Some(key.clone()),
        (None, Some(variable)) if set(KEY).is_none() => {
            let missing = || ConfigError::ContextKey { name: name.to_owned(), variable: variable.clone() };
            Some(env::variable(variable).ok_or_else(missing)?)
        }
        _ => None,
    };
    let origin = Origin::Context { name: name.to_owned(), path: contexts.path.clone() };
    Ok(Some(Layer { table: context.table(key), origin, is_flag }))
}

/// Returns whether two addresses are the same, apart from a slash at the end.
fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

#[cfg(test)]
mod tests;
