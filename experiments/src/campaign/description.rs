//! What a campaign is: all that its store holds besides the runs.

use std::fmt;
use std::hash::Hasher;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use twox_hash::XxHash64;

use crate::experiment::Limits;

/// A campaign's description. A campaign is resumed only if it is the same.
#[derive(Clone, Debug)]
pub struct Description {
    /// The experiment file's absolute path.
    pub file: String,
    /// The file's hash.
    pub file_hash: String,
    /// The file's text.
    pub file_text: String,
    /// What the experiment is about.
    pub about: String,
    /// Where the campaign ends before all runs were made.
    pub limits: Limits,
    /// The number of failures of each kind of which the report is kept.
    pub keep: u32,
    /// The part of the runs that this campaign makes.
    pub shard: Shard,
    /// The files that the machines are made of.
    pub images: Vec<Image>,
    /// The cells.
    pub cells: Vec<CellDescription>,
}

/// A file that machines are made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// The file's path, or a name of the catalogue.
    pub name: String,
    /// XXH64 of its contents, in hex.
    pub hash: String,
}

/// The hash of a file, such as a disk, that is read piece by piece.
#[derive(Debug, Default)]
pub struct ImageHash(XxHash64);

impl ImageHash {
    /// Adds the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// The file of this name, when all pieces were added.
    pub fn image(&self, name: String) -> Image {
        Image { name, hash: format!("{:016x}", self.0.finish()) }
    }
}

/// A cell, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellDescription {
    /// The cell's name.
    pub name: String,
    /// The phase, if there are phases, and the value of each factor: names and values.
    pub levels: Vec<(String, String)>,
    /// The number of runs that are wanted, of all shards.
    pub asked: u64,
    /// The seed of the first run.
    pub first_seed: u64,
    /// The command that makes a run again, without its seed.
    pub command: String,
}

/// A part of the runs: those whose number in their cell is `number - 1` modulo `of`. Each part has
/// runs of all cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    of: u64,
}

impl Shard {
    /// All runs.
    pub const ALL: Self = Self { number: 1, of: 1 };

    /// The most shards.
    const MAX: u64 = 1_000_000;

    /// Whether this is a part only.
    pub fn is_part(self) -> bool {
        self.of > 1
    }

    /// The number of the first run of each cell that the part has, from 0.
    pub fn first(self) -> u64 {
        self.number - 1
    }

    /// From one run of a cell that the part has to the next.
    pub fn step(self) -> u64 {
        self.of
    }

    /// How many of the first `runs` runs of a cell the part has.
    pub fn share(self, runs: u64) -> u64 {
        runs / self.of + u64::from(runs % self.of >= self.number)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shard = text.split_once('/').and_then(|(number, of)| {
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        shard
            .filter(|it| (1..=Self::MAX).contains(&it.of) && (1..=it.of).contains(&it.number))
            .ok_or_else(|| "give the part's number and how many there are, such as 1/8".into())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Description {
    /// What of `self` a campaign with this other description lacks: the reason why it can't be
    /// resumed, or merged, as the same.
    pub fn difference(&self, now: &Self) -> Option<String> {
        for image in &self.images {
            let place = self.place(image);
            match now.images.iter().find(|other| now.place(other) == place) {
                None => return Some(format!("{} is not among its files", image.name)),
                Some(other) if other.hash != image.hash => {
                    return Some(format!(
                        "{} has changed: XXH64 was {}, now it is {}",
                        image.name, image.hash, other.hash
                    ));
                }
                Some(_) => {}
            }
        }
        if self.file_hash != now.file_hash {
            return Some(format!(
                "{} has changed: XXH64 was {}, now it is {}",
                self.file, self.file_hash, now.file_hash
            ));
        }
        let names = |cells: &[CellDescription]| -> Vec<_> {
            cells.iter().map(|cell| (cell.name.clone(), cell.asked, cell.first_seed)).collect()
        };
        (names(&self.cells) != names(&now.cells)).then(|| "its cells are others".into())
    }

    /// The place of a file, relative to the experiment file if it is in its folder: parts of a
    /// campaign may be made in folders of different names. A guest of the catalogue, whose name is
    /// no absolute path, is told apart from a file of the same name there.
    fn place<'a>(&self, image: &'a Image) -> (bool, &'a Path) {
        let path = Path::new(&image.name);
        let folder = Path::new(&self.file).parent();
        let relative = folder.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
        (path.is_absolute(), relative)
    }

    /// The maximum number of runs of this part.
    pub fn run_limit(&self) -> Option<u64> {
        self.limits.runs.map(|runs| runs.div_ceil(self.shard.of))
    }

    /// The time of work that this campaign may take.
    pub fn time_limit(&self) -> Option<Duration> {
        self.limits.time
    }
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod tests;
