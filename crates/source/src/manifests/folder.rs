//! The file or folder that holds the manifests: which files count, and whether they changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SourceError;

/// The place where manifests are.
#[derive(Debug)]
pub(crate) enum Folder {
    /// A folder: its files that end in `.yaml`, `.yml` or `.json`.
    All(PathBuf),
    /// One file, whatever its name.
    One(Arc<Path>),
}

/// What tells one state of a file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The files that are there; `None` stands for one that cannot be looked at.
pub(crate) type Listing = BTreeMap<Arc<Path>, Option<Stamp>>;

impl Folder {
    /// Looks at a path and makes sure it can be read.
    pub(crate) fn open(path: &Path) -> Result<Folder, SourceError> {
        let error = |error| SourceError::of(path, error);
        let metadata = fs::metadata(path).map_err(error)?;
        if metadata.is_dir() {
            fs::read_dir(path).map_err(error)?;
            Ok(Folder::All(path.to_owned()))
        } else if metadata.is_file() {
            File::open(path).map_err(error)?;
            Ok(Folder::One(path.into()))
        } else {
            Err(SourceError::NotAFile(path.to_owned()))
        }
    }

    /// The folder to watch: that of the file, if it is one.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Folder::All(folder) => folder,
            Folder::One(file) => folder_of(file),
        }
    }

    /// The file of this name in the folder, if it counts.
    pub(crate) fn file(&self, name: &OsStr) -> Option<Arc<Path>> {
        match self {
            Folder::All(folder) => is_manifest(name).then(|| folder.join(name).into()),
            Folder::One(file) => (file.file_name() == Some(name)).then(|| Arc::clone(file)),
        }
    }

    /// Lists the files that exist.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::new();
        for entry in fs::read_dir(self.path())? {
            let Some(file) = self.file(&entry?.file_name()) else {
                continue;
            };
            match fs::metadata(&file) {
                Ok(metadata) if metadata.is_file() => {
                    listing.insert(file, Some(Stamp::of(&metadata)))
                }
                Ok(_) => None,
                // Removed meanwhile, or a link that leads nowhere.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(_) => listing.insert(file, None),
            };
        }
        Ok(listing)
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Reads a file, provided that it is one: reading a pipe could take forever.
pub(crate) fn read(file: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(file)?.is_file() {
        true => fs::read(file),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Kubernetes mounts a ConfigMap as links to files in the hidden folder `..data`, itself a link
/// that is exchanged to change all files at once.
pub(crate) fn is_volume_swap(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"..")
}

/// Hidden files and editors' leftovers (`x.yaml~`, `.x.yaml.swp`, `#x.yaml#`) do not count.
fn is_manifest(name: &OsStr) -> bool {
    let extension = Path::new(name).extension().unwrap_or_default();
    !name.as_bytes().starts_with(b".")
        && ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension == *known)
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
