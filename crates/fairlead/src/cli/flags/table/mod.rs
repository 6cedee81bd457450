//! All flags there are.

mod limits;
mod logging;
mod other;
mod proxy;
mod userspace;

use std::fmt;

use super::slot::Slot;

/// A flag.
pub(crate) struct Flag {
    /// Its name without dashes.
    pub(crate) name: &'static str,
    /// Its type and where its value goes.
    pub(crate) slot: Slot,
    /// The fields of the file that it stands for.
    pub(crate) fields: &'static [&'static str],
    /// When it counts.
    pub(crate) standing: Standing,
    /// What it is for.
    pub(crate) help: &'static str,
}

/// When a flag counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not when there is a file.
    WithoutFile,
    /// With a file too.
    Always,
    /// Like `WithoutFile`, and something else should be used.
    Deprecated(&'static str),
    /// Never: why.
    Never(&'static str),
}

/// A command that takes flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// `fairlead run`, and what is started as `kube-proxy`.
    Run,
    /// `fairlead render`.
    Render,
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            "v" => f.write_str("-v"),
            name => write!(f, "--{name}"),
        }
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Flag {
    /// A flag that counts when there is no file.
    const fn new(name: &'static str, slot: Slot, help: &'static str) -> Flag {
        Flag {
            name,
            slot,
            fields: &[],
            standing: Standing::WithoutFile,
            help,
        }
    }

    /// A flag for fields of the file.
    const fn of(
        name: &'static str,
        fields: &'static [&'static str],
        slot: Slot,
        help: &'static str,
    ) -> Flag {
        Flag {
            fields,
            ..Flag::new(name, slot, help)
        }
    }

    /// A flag that is taken and goes nowhere.
    const fn never(name: &'static str, slot: Slot, why: &'static str) -> Flag {
        Flag {
            standing: Standing::Never(why),
            ..Flag::new(name, slot, "")
        }
    }

    const fn standing(self, standing: Standing) -> Flag {
        Flag { standing, ..self }
    }

    /// Whether a command line that says this means it.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }
}

/// The flags that a command takes.
pub(crate) fn of(command: Command) -> impl Iterator<Item = &'static Flag> {
    let format: &[Flag] = match command {
        Command::Run => &[],
        Command::Render => &other::RENDER,
    };
    let tables: [&[Flag]; 8] = [
        &other::OURS,
        &other::FILES,
        &proxy::FLAGS,
        &userspace::FLAGS,
        &limits::FLAGS,
        &logging::FLAGS,
        &other::WINDOWS,
        &other::PAST,
    ];
    tables.into_iter().flatten().chain(format)
}

/// The flag of `fairlead run` with this name.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    of(Command::Run).find(|flag| flag.name == name)
}
