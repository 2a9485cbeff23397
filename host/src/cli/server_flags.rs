//! The flags of commands that call a server: its address, the key, the tenant, or a context that has them.

use crate::config::{ContextChoice, Sources};

/// The server that a command calls, and who calls it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerFlags {
    /// Address of the server, e.g. http://127.0.0.1:8080
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// API key; $LECTOR__CLIENT__KEY and `lector login` keep it out of process lists
    #[arg(long, global = true, value_name = "KEY")]
    key: Option<String>,
    /// Tenant for which an administrator's key acts
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
    /// Context of `lector login` (default: $LECTOR_CONTEXT, else that of `lector context use`)
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
}

impl ServerFlags {
    /// Returns whether a flag names a server.
    pub(super) fn name_a_server(&self) -> bool {
        self.server.is_some() || self.context.is_some()
    }

    /// Returns a flag that is given although none names a server; for commands that call one only then.
    pub(super) fn without_server(&self) -> Option<&'static str> {
        let of_server = [("--key", &self.key), ("--tenant", &self.tenant)];
        let given = of_server.iter().find(|(_, value)| value.is_some()).map(|(flag, _)| *flag);
        given.filter(|_| !self.name_a_server())
    }

    /// Adds what the flags set, and the chosen context, to the sources of the configuration.
    pub(super) fn add_to(&self, sources: &mut Sources) {
        sources.context = Some(match &self.context {
            Some(name) => ContextChoice::Named(name.clone()),
            None => ContextChoice::Current,
        });
        let values = [
            ("client.server", &self.server, "--server"),
            ("client.key", &self.key, "--key"),
            ("client.tenant", &self.tenant, "--tenant"),
        ];
        for (key, value, flag) in values {
            sources.flags.extend(value.clone().map(|value| (key.to_owned(), value, flag)));
        }
    }
}

/// A command that calls a server.
#[derive(Debug, clap::Args)]
pub(super) struct OnServer<T: clap::Args> {
    #[command(flatten)]
    pub(super) command: T,
    #[command(flatten)]
    pub(super) flags: ServerFlags,
}

/// A group of commands that call a server.
#[derive(Debug, clap::Args)]
pub(super) struct GroupOnServer<T: clap::Subcommand> {
    #[command(subcommand)]
    pub(super) command: T,
    #[command(flatten)]
    pub(super) flags: ServerFlags,
}
