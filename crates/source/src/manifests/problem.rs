//! What is wrong with a manifest, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fairlead_core::api::{Kind, ObjectName};

/// Which object, of all that can be described.
pub(crate) type Identity = (Kind, ObjectName);

/// Something in the manifests that its author should mend. Prints as
/// `objects.yaml:37: Service default/web: spec.ports[0].port: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the folder.
    pub file: Arc<Path>,
    /// The line in the file, from 1; `None` when the file as a whole is meant.
    pub line: Option<usize>,
    /// The object, if it could be determined.
    pub object: Option<(Kind, ObjectName)>,
    /// What is wrong, with the path of the field, what to do and what happens until then.
    pub message: String,
}

impl Problem {
    /// Something that is wrong with a file as a whole.
    pub(crate) fn with_file(file: &Arc<Path>, message: impl Into<String>) -> Problem {
        Problem {
            file: Arc::clone(file),
            line: None,
            object: None,
            message: message.into(),
        }
    }

    /// What tells it from the file's other problems, on whatever line it is now.
    pub(crate) fn gist(&self) -> (Option<&Identity>, &str) {
        (self.object.as_ref(), &self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some((kind, name)) = &self.object {
            write!(f, " {kind} {name}:")?;
        }
        write!(f, " {}", self.message)
    }
}
