//! The files that an experiment names, each read once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use experiments::campaign::{Image, ImageHash};
use experiments::experiment::CellSettings;
use experiments::finding::image_hash;
use inspect::Symbols;
use vmm::signals::Signals;
use vmm::{DiskConfig, GuestImage};

use super::stamps::Stamps;
use crate::guest::Guest;
use crate::input;

/// Reads the files that the cells name, each once.
pub(super) struct Files<'a> {
    folder: &'a Path,
    signals: &'a Signals,
    pub(super) guests: BTreeMap<String, Guest>,
    symbols: BTreeMap<(String, Option<PathBuf>), Option<Arc<Symbols>>>,
    initrds: BTreeMap<PathBuf, GuestImage>,
    pub(super) images: BTreeSet<Image>,
    /// By which a change of one of them is noticed.
    pub(super) stamps: Stamps,
}

impl<'a> Files<'a> {
    /// The files of an experiment whose file is in this folder.
    pub(super) fn new(folder: &'a Path, signals: &'a Signals) -> Self {
        Self {
            folder,
            signals,
            guests: BTreeMap::new(),
            symbols: BTreeMap::new(),
            initrds: BTreeMap::new(),
            images: BTreeSet::new(),
            stamps: Stamps::default(),
        }
    }

    /// The path of a file that the experiment names.
    pub(super) fn path(&self, name: &Path) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a cell's guest, if no other cell has it.
    pub(super) fn find_guest(&mut self, settings: &CellSettings) -> Result<()> {
        let name = &settings.guest;
        if self.guests.contains_key(name) {
            return Ok(());
        }
        let guest = match guests::find(name) {
            Some(_) => Guest::find(name, self.signals)?,
            None => self.read_guest(name)?,
        };
        self.images
            .insert(Image { name: guest.image.name.clone(), hash: image_hash(&guest.image.bytes) });
        self.guests.insert(name.clone(), guest);
        Ok(())
    }

    fn read_guest(&mut self, name: &str) -> Result<Guest> {
        let path = self.path(Path::new(name));
        if !path.exists() {
            // The message for the name as the user wrote it.
            return Guest::find(name, self.signals)
                .and_then(|_| Err(anyhow!("{name}: no such file")));
        }
        if !path.is_file() {
            bail!("{name}: it is not a regular file");
        }
        self.stamps.add(&path);
        let mut guest = Guest::find(&path.display().to_string(), self.signals)?;
        share(&mut guest.image);
        Ok(guest)
    }

    pub(super) fn symbols(&mut self, settings: &CellSettings) -> Result<Option<Arc<Symbols>>> {
        let key = (settings.guest.clone(), settings.symbols.clone());
        if let Some(symbols) = self.symbols.get(&key) {
            return Ok(symbols.clone());
        }
        let symbols = match &settings.symbols {
            Some(_) if is_nameless(settings) => None,
            Some(path) => {
                let GuestImage { name, bytes } = self.read(path, "symbols")?;
                Some(Arc::new(Symbols::from_file(name, bytes).context("symbols")?))
            }
            None => self.guests[&settings.guest].symbols(None, self.signals)?,
        };
        self.symbols.insert(key, symbols.clone());
        Ok(symbols)
    }

    pub(super) fn initrd(&mut self, name: &Path) -> Result<GuestImage> {
        if let Some(image) = self.initrds.get(name) {
            return Ok(image.clone());
        }
        let mut image = self.read(name, "initrd")?;
        share(&mut image);
        self.initrds.insert(name.into(), image.clone());
        Ok(image)
    }

    /// Reads a file whole, and adds its hash.
    fn read(&mut self, name: &Path, what: &str) -> Result<GuestImage> {
        let path = self.path(name);
        let name = path.display().to_string();
        self.stamps.add(&path);
        let bytes = input::regular(&path)
            .map_err(input::Error::from)
            .and_then(|()| input::bytes(&path, self.signals));
        let bytes = bytes.with_context(|| format!("{what} {name}: can't be read"))?;
        self.images.insert(Image { name: name.clone(), hash: image_hash(&bytes) });
        Ok(GuestImage { name, bytes: Cow::Owned(bytes) })
    }

    /// A disk, whose hash is added. It is read piece by piece.
    pub(super) fn disk(&mut self, disk: &DiskConfig) -> Result<DiskConfig> {
        let path = self.path(&disk.path);
        let name = path.display().to_string();
        if !self.images.iter().any(|image| image.name == name) {
            self.stamps.add(&path);
            let mut hash = ImageHash::default();
            let read = input::pieces(&path, self.signals, |piece| hash.add(piece));
            read.with_context(|| format!("disk {name}: can't be read"))?;
            self.images.insert(hash.image(name));
        }
        Ok(DiskConfig { path, mode: disk.mode })
    }
}

/// Whether nothing of the guest is to be named, as with `--symbols none`.
pub(super) fn is_nameless(settings: &CellSettings) -> bool {
    settings.symbols.as_deref() == Some(Path::new("none"))
}

/// Makes the copies of an image share its bytes, which then stay until the program ends: each run
/// has a copy of its machine's configuration.
fn share(image: &mut GuestImage) {
    let bytes = std::mem::take(&mut image.bytes);
    image.bytes = Cow::Borrowed(Box::leak(bytes.into_owned().into_boxed_slice()));
}
