//! The legacy iptables, by its own programs: the kernel replaces a table as a whole, so whoever
//! changes one must keep the lock of all others who do, and know every extension of the kernel's
//! by heart. `iptables-restore` does both.

mod left;
mod lock;
mod run;
mod said;
mod save;
#[cfg(test)]
mod tests;
mod tools;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use self::left::Left;
pub use self::left::Ours;
use self::lock::Locked;
use self::run::{Ended, run};
use self::save::{Reader, Saved};
use self::tools::Tools;
use super::handle::{Applied, ApplyError, CallError, Iptables, ObservedTable, Refusal};
use super::info::{TableInfo, TableSize, registered};
use super::ruleset::{Batch, Family, TableId};
use super::text;

/// How often [`LegacyIptables::touched`] is worth asking.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a program may run before it is killed. 160,000 rules take it some seconds, and each
/// table [`LOCK_SECONDS`] when others are busy.
const LIMIT: Duration = Duration::from_mins(2);

/// How long a program waits for the lock of a table, in seconds.
const LOCK_SECONDS: u32 = 5;

/// The legacy tables of the network namespace that the calling thread is in, at each call.
#[derive(Debug)]
pub struct LegacyIptables {
    sides: Vec<Side>,
    ours: Ours,
    left: HashMap<TableId, Left>,
    limit: Duration,
}

/// What there is for one family.
#[derive(Debug)]
struct Side {
    family: Family,
    tools: Tools,
    info: TableInfo,
}

impl LegacyIptables {
    /// Finds the programs for these families. `ours` says of a chain's name whether it is one
    /// that [`LegacyIptables::touched`] is to look after.
    ///
    /// # Errors
    /// `ENOENT` when there are no programs of the legacy variant; a socket's.
    pub fn open(families: &[Family], ours: Ours) -> Result<LegacyIptables, CallError> {
        let side = |family: &Family| {
            Ok(Side {
                family: *family,
                tools: Tools::find(*family)?,
                info: TableInfo::open(*family)?,
            })
        };
        Ok(LegacyIptables {
            sides: families
                .iter()
                .map(side)
                .collect::<Result<_, CallError>>()?,
            ours,
            left: HashMap::new(),
            limit: LIMIT,
        })
    }

    /// MASQUERADE has `--random-fully` (iptables 1.6.2) in every family.
    pub fn random_fully(&self) -> bool {
        self.sides.iter().all(|side| side.tools.random_fully())
    }

    /// Whether rules of every family can have a match of this name; the kernel loads it if it can.
    pub fn has_match(&self, name: &str) -> Result<bool, CallError> {
        for side in &self.sides {
            if !side.info.has_match(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether somebody else has changed what is ours since it was last observed or changed by us:
    /// a chain of ours is gone or has another number of rules, or rules of built-in chains that
    /// lead to them are gone. What leaves a table as large as it was, such as another name for a
    /// chain, goes unnoticed. A question of microseconds, unless a table has another size.
    pub fn touched(&mut self) -> Result<bool, CallError> {
        let tables: Vec<TableId> = self.left.keys().copied().collect();
        for table in tables {
            if self.is_touched(table)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_touched(&mut self, table: TableId) -> Result<bool, CallError> {
        let size = self.size(table)?;
        let left = self.left.get(&table);
        if left.is_none_or(|left| left.size.is_some() && left.size == size) {
            return Ok(false);
        }
        // The size was asked for first: what changes from here on is seen next time.
        let saved = match size {
            Some(_) => self.save(table)?,
            None => Saved::default(),
        };
        let Some(left) = self.left.get_mut(&table) else {
            return Ok(false);
        };
        let whole = left.is_in(&saved, self.ours);
        left.size = size.filter(|_| whole);
        Ok(!whole)
    }
}

impl Iptables for LegacyIptables {
    /// One run of `iptables-restore` does all batches of a family that stand together.
    fn apply(&mut self, batches: &[Batch]) -> Result<Applied, ApplyError> {
        let mut cost = Applied::default();
        let mut first = 0;
        for batches in batches.chunk_by(|one, next| one.table.family == next.table.family) {
            if batches.iter().any(|batch| !batch.ops.is_empty()) {
                let some = self.apply_some(first, batches)?;
                cost.messages += some.messages;
                cost.bytes += some.bytes;
            }
            first += batches.len();
        }
        Ok(cost)
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.left.remove(&table);
        let size = self.size(table)?;
        let saved = match size {
            Some(_) => self.save(table)?,
            None => Saved::default(),
        };
        let mut left = Left::of(&saved, self.ours);
        left.size = size;
        self.left.insert(table, left);
        Ok(size.map(|_| saved.observed()))
    }
}

impl LegacyIptables {
    /// Applies batches of one family, of which the first has this index.
    fn apply_some(&mut self, first: usize, batches: &[Batch]) -> Result<Applied, ApplyError> {
        let input = text::restore_input(batches);
        let lines = input.lines().count();
        let expected: usize = batches.iter().map(|batch| batch.ops.len() + 2).sum();
        if lines != expected || input.contains('\0') {
            return Err(several_lines(first, batches));
        }
        let result = self.restore(first, batches, &input);
        let done = match &result {
            Ok(()) => batches.len(),
            Err(ApplyError::Refused(refusal)) => refusal.batch - first,
            Err(_) => {
                for batch in batches {
                    self.left.remove(&batch.table);
                }
                0
            }
        };
        self.remember(&batches[..done]);
        result.map(|()| Applied {
            messages: lines,
            bytes: input.len(),
        })
    }

    fn restore(&self, first: usize, batches: &[Batch], input: &str) -> Result<(), ApplyError> {
        let Some(batch) = batches.first() else {
            return Ok(());
        };
        let tools = &self.side(batch.table.family)?.tools;
        let mut command = Command::new(&tools.restore);
        command.args(["--noflush", "--counters"]);
        let _locked = if tools.waits {
            command.args(["-w", &LOCK_SECONDS.to_string()]);
            None
        } else {
            Some(Locked::take().map_err(|error| no_lock(&tools.restore, &error))?)
        };
        let Ended { status, said } = run(&mut command, input.as_bytes(), self.limit, |_| ())
            .map_err(|error| ApplyError::Program {
                program: tools.restore.display().to_string(),
                said: self.not_run(&error),
            })?;
        if status.success() {
            return Ok(());
        }
        let program = tools.restore.display().to_string();
        Err(said::decode(
            program,
            (first, batches),
            status.code(),
            &said,
        ))
    }

    /// These batches were done.
    fn remember(&mut self, batches: &[Batch]) {
        for Batch { table, ops } in batches {
            let size = self.size(*table).unwrap_or_default();
            let Some(left) = self.left.get_mut(table) else {
                continue;
            };
            let more = left.did(table.table, ops, self.ours);
            // Another size than ours alone would have made it: somebody else was there, too.
            let expected = left
                .size
                .zip(more)
                .map(|(before, more)| i64::from(before.entries) + more);
            left.size = size.filter(|size| expected == Some(size.entries.into()));
        }
    }

    /// How large a table is; `None` when nobody has asked for it in this namespace.
    fn size(&self, table: TableId) -> Result<Option<TableSize>, CallError> {
        if !registered(table.family, table.table)? {
            return Ok(None);
        }
        self.side(table.family)?.info.size(table.table)
    }

    fn save(&self, table: TableId) -> Result<Saved, CallError> {
        let program = &self.side(table.family)?.tools.save;
        let mut command = Command::new(program);
        command.args(["-t", table.table.name()]);
        let mut reader = Reader::default();
        let ended = run(&mut command, &[], self.limit, |bytes| reader.read(bytes));
        let failed = |said: &str, errno| CallError {
            call: "run",
            object: format!("{} -t {}: {said}", program.display(), table.table.name()),
            errno,
        };
        match ended {
            Ok(Ended { status, said }) => {
                let saved = reader.end();
                if status.success() && saved.complete {
                    return Ok(saved);
                }
                Err(failed(said.trim(), libc::EIO))
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::ETIMEDOUT);
                Err(failed(&self.not_run(&error), errno))
            }
        }
    }

    fn side(&self, family: Family) -> Result<&Side, CallError> {
        let mut sides = self.sides.iter();
        sides.find(|side| side.family == family).ok_or(CallError {
            call: "iptables",
            object: "a family that was not opened".to_owned(),
            errno: libc::EAFNOSUPPORT,
        })
    }

    fn not_run(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::TimedOut => format!(
                "did not end within {} s and was killed; see what else keeps this machine or the \
                 lock {} busy",
                self.limit.as_secs(),
                lock::file().display()
            ),
            _ => error.to_string(),
        }
    }
}

fn no_lock(program: &Path, error: &io::Error) -> ApplyError {
    let said = match error.kind() {
        io::ErrorKind::WouldBlock => "another program keeps the lock of iptables".to_owned(),
        _ => error.to_string(),
    };
    let file = lock::file();
    let said = format!(
        "{said}; see who holds {} or the abstract socket @xtables",
        file.display()
    );
    let program = program.display().to_string();
    ApplyError::Program { program, said }
}

/// An operation that is not one line would be read as several.
fn several_lines(first: usize, batches: &[Batch]) -> ApplyError {
    for (batch, Batch { table, ops }) in batches.iter().enumerate() {
        for (op, operation) in ops.iter().enumerate() {
            let what = text::op_line(operation, table.family).to_string();
            if what.contains(['\n', '\0']) {
                let why = "does not fit a line".to_owned();
                let batch = first + batch;
                return ApplyError::Refused(Refusal {
                    batch,
                    op,
                    what,
                    why,
                });
            }
        }
    }
    let (call, object, errno) = ("write", "batches as lines".to_owned(), libc::EINVAL);
    ApplyError::Call(CallError {
        call,
        object,
        errno,
    })
}
