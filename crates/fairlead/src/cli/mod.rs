//! The commands.

mod cleanup;
mod demo;
mod flags;
mod render;
mod run;

use clap::{Parser, Subcommand};

pub(crate) use flags::{DetectLocalMode, ProxyFlags};

/// A Kubernetes service proxy: programs this node so that connections to Services reach the
/// right pods.
#[derive(Debug, Parser)]
#[command(name = "fairlead", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep this node's rules as the Services say, until told to stop. The rules stay.
    Run(run::Run),
    /// Print the rules that would be programmed, as text that `nft -f` loads. Needs no privilege.
    Render(render::Render),
    /// Remove everything fairlead has put into the kernel.
    Cleanup,
    /// Show a Service at work on a node in a box: network namespaces, pods, and real connections.
    Demo(demo::Demo),
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(run) => run.run(),
            Command::Render(render) => render.run(),
            Command::Cleanup => cleanup::run(),
            Command::Demo(demo) => demo.run(),
        }
    }
}
