//! What `kube` failed at, in words, without what is secret: its own show what an exec plugin was
//! given and what it printed, which may be a token. They would be in the log, and at /statusz.

use std::error::Error;

use kube::client::AuthError;

/// As much of what a plugin complains of is told, in characters.
const COMPLAINT: usize = 200;

/// All causes, each once.
pub(super) fn all(error: &(dyn Error + 'static)) -> String {
    if let Some(plugin) = plugin(error) {
        return plugin;
    }
    let mut text = error.to_string();
    for error in causes(error) {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The cause at the end of the chain: those before it say that a request failed.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    plugin(error).unwrap_or_else(|| causes(error).last().unwrap_or(error).to_string())
}

/// What is wrong with an exec plugin, if it is that.
fn plugin(error: &(dyn Error + 'static)) -> Option<String> {
    let mut chain = std::iter::once(error).chain(causes(error));
    let why = chain.find_map(|error| match error.downcast_ref::<AuthError>()? {
        AuthError::AuthExecRun { out, .. } => {
            let complaint = String::from_utf8_lossy(&out.stderr);
            let complaint: String = complaint.trim().chars().take(COMPLAINT).collect();
            Some(format!("failed ({}): {complaint}", out.status))
        }
        AuthError::AuthExecParse(_) => Some("printed what is no ExecCredential".to_owned()),
        _ => None,
    })?;
    Some(format!("the exec plugin of the kubeconfig {why}"))
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}
