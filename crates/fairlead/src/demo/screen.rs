//! Standard output. Colours reach only a terminal whose user did not set `NO_COLOR`.

use std::io::{self, Stdout, Write};

use anstream::AutoStream;

/// Where the demo is seen.
#[derive(Debug)]
pub(super) struct Screen(AutoStream<Stdout>);

impl Screen {
    /// This process's standard output.
    pub(super) fn new() -> Screen {
        Screen(anstream::stdout())
    }

    /// Shows text, at once.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())?;
        self.0.flush()
    }
}
