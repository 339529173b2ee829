//! `kidoku config default|check|doc`.

use super::error::CmdError;
use super::out;
use crate::config::build::load;
use crate::config::doc;
use crate::server;
use std::path::PathBuf;

/// Show or check the configuration
#[derive(Debug, clap::Subcommand)]
pub(super) enum Config {
    /// Print a configuration file with every default, explained
    Default,
    /// Say whether the file and the environment are right
    Check {
        /// The file [default: KIDOKU_CONFIG, or none]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the reference of all settings, in Markdown
    Doc,
}

impl Config {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        match self {
            Self::Default => out::print(&doc::default_toml()),
            Self::Doc => out::print(&doc::markdown()),
            Self::Check { config } => {
                let config = load(config.as_deref(), Vec::new())?;
                for warning in server::check_tls(&config)? {
                    out::complain(&format!("WARNING: {warning}"));
                }
                let tls = match (&config.tls.cert, &config.tls.client_ca) {
                    (None, _) => "off",
                    (Some(_), None) => "on",
                    (Some(_), Some(_)) => "on, with certificates of clients",
                };
                out::print(&format!(
                    "the configuration is valid: data in {}, RESP {}, HTTP {}, admin {}, \
                     durability {}, TLS {tls}\n",
                    config.data_dir.display(),
                    config.resp.listen,
                    config.http.listen,
                    config.admin.listen,
                    config.durability.as_str(),
                ))
            }
        }
    }
}
