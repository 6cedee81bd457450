//! What `--help` prints.

use std::fmt::Write;

use super::Flags;
use super::table::{self, Command, Standing};

/// How wide the text is.
const WIDTH: usize = 100;
/// Where the explanations begin.
const INDENT: usize = 8;

/// The list of flags of a command.
pub(super) fn help(command: Command) -> String {
    let what = match command {
        Command::Run => {
            "Keeps this node's rules as the Services say, until told to stop. The rules stay.\n\n\
             Usage: fairlead run [FLAGS], or started under the name kube-proxy: kube-proxy [FLAGS]\n\n\
             With --config the flags that count besides are marked with *.\n"
        }
        Command::Render => {
            "Prints the rules that would be programmed. Needs no privilege.\n\n\
             Usage: fairlead render --manifests PATH [FLAGS]\n"
        }
    };
    let mut text = format!("{what}\n");
    let mut flags: Vec<_> = table::of(command).collect();
    flags.sort_by_key(|flag| flag.name);
    let mut values = Flags::default();
    let mut idle = Vec::new();
    for flag in flags {
        if let Standing::Never(_) = flag.standing {
            idle.push(flag.to_string());
            continue;
        }
        let mark = if flag.standing == Standing::Always {
            '*'
        } else {
            ' '
        };
        let default = match flag.slot.show(&mut values).as_str() {
            "" | "false" | "[]" => String::new(),
            default => format!(" (default {default})"),
        };
        let kind = flag.slot.type_name();
        let _ = writeln!(text, "{mark} {flag} {kind}{default}");
        wrap(&mut text, flag.help);
        if let Standing::Deprecated(instead) = flag.standing {
            wrap(&mut text, &format!("Deprecated: {instead}."));
        }
    }
    text.push_str("  -h, --help\n  --version, --version=raw\n\nTaken and without effect:\n");
    wrap(&mut text, &idle.join(" "));
    text
}

fn wrap(text: &mut String, words: &str) {
    let mut column = 0;
    for word in words.split(' ') {
        if column == 0 || column + 1 + word.len() > WIDTH {
            let new_line = if column == 0 { "" } else { "\n" };
            let _ = write!(text, "{new_line}{:INDENT$}{word}", "");
            column = INDENT + word.len();
        } else {
            let _ = write!(text, " {word}");
            column += 1 + word.len();
        }
    }
    text.push('\n');
}
