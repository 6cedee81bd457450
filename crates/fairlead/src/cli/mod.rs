//! The commands.

mod cleanup;
mod demo;
pub(crate) mod flags;
mod render;
mod run;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::{Parser, Subcommand};

use flags::Invocation;

/// The name under which the program takes kube-proxy's command line.
const KUBE_PROXY: &str = "kube-proxy";

/// A Kubernetes service proxy: programs this node so that connections to Services reach the
/// right pods.
#[derive(Debug, Parser)]
#[command(name = "fairlead", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep this node's rules as the Services say, until told to stop. The rules stay.
    /// Takes kube-proxy's flags; `fairlead run --help` lists them.
    #[command(disable_help_flag = true)]
    Run(Arguments),
    /// The same, with the words and ways of kube-proxy throughout: what this program does when it
    /// is started under that name.
    #[command(disable_help_flag = true)]
    KubeProxy(Arguments),
    /// Print the rules that would be programmed, as text that `nft -f` loads. Needs no privilege.
    /// Takes the flags of `run`.
    #[command(disable_help_flag = true)]
    Render(Arguments),
    /// Remove everything fairlead has put into the kernel, and what kube-proxy left there.
    Cleanup,
    /// Show a Service at work on a node in a box: network namespaces, pods, and real connections.
    Demo(demo::Demo),
}

/// Arguments that are read by other rules.
#[derive(Debug, clap::Args)]
struct Arguments {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "FLAGS"
    )]
    arguments: Vec<OsString>,
}

/// Does what the command line says.
pub(crate) fn run() -> anyhow::Result<()> {
    let arguments: Vec<OsString> = env::args_os().collect();
    if let Some((name, rest)) = arguments.split_first()
        && Path::new(name).file_name() == Some(KUBE_PROXY.as_ref())
    {
        return run::run(Invocation::KubeProxy, rest);
    }
    match Cli::parse_from(arguments).command {
        Command::Run(given) => run::run(Invocation::Fairlead, &given.arguments),
        Command::KubeProxy(given) => run::run(Invocation::KubeProxy, &given.arguments),
        Command::Render(given) => render::run(&given.arguments),
        Command::Cleanup => cleanup::run(&[]),
        Command::Demo(demo) => demo.run(),
    }
}

/// Prints what was asked for. Whoever reads no further, as head(1) does, has read enough.
fn print_out(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
