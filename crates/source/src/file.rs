//! One file that is read again when it changes, however it is changed: written in place, replaced,
//! or exchanged with the volume that it is in, as a ConfigMap's files are.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::manifests::{Watch, folder_of, read_file};

/// How long a file has to be left alone before it is read: a writer may need several steps.
const SETTLED: Duration = Duration::from_millis(50);

/// How often to look without being told to: inotify is silent about network file systems, and
/// about the far ends of links.
const LOOK: Duration = Duration::from_secs(10);

/// A file that is followed.
///
/// Call [`changed`](FileWatch::changed) whenever the file descriptor is readable or
/// [`due`](FileWatch::due) has come.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    watch: Watch,
    /// What was read last; `None` if it could not be.
    contents: Option<Vec<u8>>,
    /// When to look next.
    look: Instant,
}

impl FileWatch {
    /// Starts to follow the file at a path. It has to be there.
    pub fn open(path: &Path) -> io::Result<FileWatch> {
        let mut watch = Watch::new()?;
        watch.follow(folder_of(path))?;
        Ok(FileWatch {
            path: path.to_owned(),
            watch,
            contents: Some(read_file(path)?),
            look: Instant::now() + LOOK,
        })
    }

    /// The contents, if they are others than before. That the file cannot be read is told once.
    pub fn changed(&mut self, now: Instant) -> io::Result<Option<Vec<u8>>> {
        if !self.watch.events()?.is_empty() {
            self.look = self.look.min(now + SETTLED);
        }
        if now < self.look {
            return Ok(None);
        }
        self.look = now + LOOK;
        // The folder may have been made anew.
        let contents = self
            .watch
            .follow(folder_of(&self.path))
            .and_then(|()| read_file(&self.path));
        match contents {
            Ok(contents) if self.contents.as_ref() == Some(&contents) => Ok(None),
            Ok(contents) => {
                self.contents = Some(contents.clone());
                Ok(Some(contents))
            }
            Err(error) => match self.contents.take() {
                Some(_) => Err(error),
                None => Ok(None),
            },
        }
    }

    /// When to call [`changed`](FileWatch::changed) even if nothing is readable before.
    pub fn due(&self) -> Instant {
        self.look
    }
}

impl AsFd for FileWatch {
    /// The inotify instance: readable when something happened in the file's folder.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// The contents once a change has settled.
    fn settled(file: &mut FileWatch) -> io::Result<Option<Vec<u8>>> {
        let now = Instant::now();
        match file.changed(now)? {
            Some(contents) => Ok(Some(contents)),
            None => file.changed(now + SETTLED),
        }
    }

    #[test]
    fn every_way_to_change_a_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.conf");
        fs::write(&path, "one").unwrap();
        let mut file = FileWatch::open(&path).unwrap();
        assert_eq!(settled(&mut file).unwrap(), None);
        fs::write(&path, "two").unwrap();
        assert_eq!(settled(&mut file).unwrap().as_deref(), Some(&b"two"[..]));
        let other = folder.path().join("other");
        fs::write(&other, "three").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(settled(&mut file).unwrap().as_deref(), Some(&b"three"[..]));
        fs::write(&path, "three").unwrap();
        assert_eq!(settled(&mut file).unwrap(), None);
    }

    #[test]
    fn the_swap_of_a_volume_is_noticed() {
        let volume = tempfile::tempdir().unwrap();
        let at = |name: &str| volume.path().join(name);
        for (folder, contents) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("config.conf"), contents).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/config.conf", at("config.conf")).unwrap();
        let mut file = FileWatch::open(&at("config.conf")).unwrap();
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(settled(&mut file).unwrap().as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn that_it_is_gone_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.conf");
        fs::write(&path, "one").unwrap();
        let mut file = FileWatch::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(settled(&mut file).is_err());
        let later = Instant::now() + 2 * LOOK;
        assert_eq!(file.changed(later).unwrap(), None);
        fs::write(&path, "one").unwrap();
        assert_eq!(
            file.changed(later + LOOK).unwrap().as_deref(),
            Some(&b"one"[..])
        );
    }

    #[test]
    fn what_is_not_there_cannot_be_followed() {
        assert!(FileWatch::open(Path::new("/nowhere/config.conf")).is_err());
    }
}
