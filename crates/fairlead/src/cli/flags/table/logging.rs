//! Flags about the log. They count with a file too.

use super::{Flag, Slot, Standing};

pub(super) static FLAGS: [Flag; 8] = [
    Flag::of(
        "v",
        &["logging.verbosity"],
        Slot::Count(|flags| &mut flags.config.logging.verbosity),
        "How much is logged: 0 to 3 what happens, 4 and 5 also why, 6 and above everything.",
    )
    .standing(Standing::Always),
    Flag::of(
        "vmodule",
        &["logging.vmodule"],
        Slot::Vmodule(|flags| &mut flags.config.logging.vmodule),
        "",
    )
    .standing(Standing::Never("it names source files of kube-proxy")),
    Flag::of(
        "logging-format",
        &["logging.format"],
        Slot::Text(|flags| &mut flags.config.logging.format),
        "text or json.",
    )
    .standing(Standing::Always),
    Flag::of(
        "log-flush-frequency",
        &["logging.flushFrequency"],
        Slot::Duration(|flags| &mut flags.config.logging.flush_frequency),
        "",
    )
    .standing(Standing::Never("every line is written at once")),
    Flag::of(
        "log-text-split-stream",
        &["logging.options.text.splitStream"],
        Slot::Bool(|flags| &mut flags.config.logging.options.text.split_stream),
        "",
    )
    .standing(Standing::Never("all of the log goes to standard error")),
    Flag::of(
        "log-text-info-buffer-size",
        &["logging.options.text.infoBufferSize"],
        Slot::Text(|flags| &mut flags.config.logging.options.text.info_buffer_size),
        "",
    )
    .standing(Standing::Never("every line is written at once")),
    Flag::of(
        "log-json-split-stream",
        &["logging.options.json.splitStream"],
        Slot::Bool(|flags| &mut flags.config.logging.options.json.split_stream),
        "",
    )
    .standing(Standing::Never("all of the log goes to standard error")),
    Flag::of(
        "log-json-info-buffer-size",
        &["logging.options.json.infoBufferSize"],
        Slot::Text(|flags| &mut flags.config.logging.options.json.info_buffer_size),
        "",
    )
    .standing(Standing::Never("every line is written at once")),
];
