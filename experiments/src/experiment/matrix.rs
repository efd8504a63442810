//! Makes the cells of an experiment: for each phase, all combinations of the factors' values.

use std::collections::BTreeSet;
use std::ops::Range;

use probes::source::Span;
use probes::{Diagnostic, Diagnostics};
use toml::Spanned;
use vmm::CpuCount;
use vmm::disk::DiskMode;
use vmm::identity::Identity;
use vmm::jitter::JitterSpec;
use vmm::memory::MemorySize;

use super::cell::{Cell, CellSettings, Level};
use super::file::{File, Matrix, Phase, Settings};
use super::values::{Count, Faults};

/// The most cells of an experiment: more can't be looked through.
const MAX_CELLS: usize = 10_000;

/// The most runs of an experiment: 30 years of a thousand runs per second, and sums of them are far
/// from the largest number.
const MAX_RUNS: u64 = 1_000_000_000_000;

/// An error at a place of the file.
pub(super) type Problem = Box<Diagnostic>;

pub(super) fn span(range: Range<usize>) -> Span {
    Span::new(0, range.start, range.end)
}

fn problem(at: Range<usize>, message: impl Into<String>, label: &str) -> Problem {
    Box::new(Diagnostic::error(span(at), message, label))
}

/// A value of a factor.
#[derive(Clone)]
enum Value {
    Guest(String, Range<usize>),
    Cpus(CpuCount),
    Memory(MemorySize),
    Identity(Identity),
    Jitter(Box<JitterSpec>),
    Fault(Faults),
    CommandLine(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Guest(text, _) | Self::CommandLine(text) => text.clone(),
            Self::Cpus(value) => value.to_string(),
            Self::Memory(value) => value.to_string(),
            Self::Identity(value) => value.to_string(),
            Self::Jitter(value) => value.to_string(),
            Self::Fault(value) => value.to_string(),
        }
    }

    fn set(self, settings: &mut CellSettings) {
        match self {
            Self::Guest(guest, at) => {
                settings.guest = guest;
                settings.guest_span = span(at);
            }
            Self::Cpus(cpus) => settings.cpus = Some(cpus),
            Self::Memory(memory) => settings.memory = memory,
            Self::Identity(identity) => settings.identity = identity,
            Self::Jitter(jitter) => settings.jitter = *jitter,
            Self::Fault(faults) => settings.faults = faults.0,
            Self::CommandLine(text) => settings.command_line = text,
        }
    }
}

/// A factor, and its values.
struct Factor {
    name: &'static str,
    values: Vec<Value>,
    /// Where the file has the list of values.
    at: Range<usize>,
}

/// The cells of a file.
pub(super) fn cells(file: &File) -> Result<Vec<Cell>, Problem> {
    let factors = factors(&file.matrix)?;
    let mut all = vec![&file.machine];
    all.extend(file.phases.iter().map(|phase| &phase.machine));
    for settings in all {
        check_settings(settings)?;
        check_not_twice(settings, &file.matrix)?;
    }
    check_phases(&file.phases)?;
    let combinations = combinations(factors.iter().map(|factor| factor.values.len()));
    check_number(&factors, &file.phases, combinations)?;
    let phases: Vec<Option<&Phase>> =
        if file.phases.is_empty() { vec![None] } else { file.phases.iter().map(Some).collect() };
    let mut cells = Vec::new();
    let mut all_runs: u64 = 0;
    for phase in phases {
        let own = phase.and_then(|phase| phase.runs.as_ref());
        let Some(count) = own.or(file.runs.per_cell.as_ref()) else {
            let message = "how often each cell is run is missing: write `per_cell = 20` in [runs]";
            return Err(Box::new(Diagnostic::general(message)));
        };
        let Count(runs) = *count.get_ref();
        all_runs = all_runs.saturating_add(runs.saturating_mul(combinations as u64));
        if all_runs > MAX_RUNS {
            let message = format!("more than {MAX_RUNS} runs of all cells");
            return Err(problem(count.span(), message, "give a smaller number"));
        }
        let base = base(&file.machine, phase.map(|phase| &phase.machine));
        for number in 0..combinations {
            cells.push(cell(phase, &base, &factors, number, runs)?);
        }
    }
    Ok(cells)
}

/// How many combinations factors with these numbers of values have, or the largest number.
fn combinations(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(1, usize::saturating_mul)
}

/// The combination of this number of the factors' values: the last factor changes fastest.
fn cell(
    phase: Option<&Phase>,
    base: &CellSettings,
    factors: &[Factor],
    number: usize,
    runs: u64,
) -> Result<Cell, Problem> {
    let mut rest = number;
    let mut chosen = Vec::new();
    for factor in factors.iter().rev() {
        chosen.push((factor.name, factor.values[rest % factor.values.len()].clone()));
        rest /= factor.values.len();
    }
    let mut settings = base.clone();
    let mut levels = Vec::new();
    for (factor, value) in chosen.into_iter().rev() {
        levels.push(Level { factor, value: value.text() });
        value.set(&mut settings);
    }
    if settings.guest.is_empty() {
        let message = "no guest: write `guest = \"tsc-sync\"` in [machine]";
        return Err(match phase {
            Some(phase) => problem(phase.name.span(), message, "this phase has none"),
            None => Box::new(Diagnostic::general(message)),
        });
    }
    Ok(Cell { phase: phase.map(|phase| phase.name.get_ref().clone()), levels, settings, runs })
}

/// Fails if there are too many cells, at the factor that has the most values.
fn check_number(factors: &[Factor], phases: &[Phase], combinations: usize) -> Result<(), Problem> {
    let cells = combinations.saturating_mul(phases.len().max(1));
    if cells <= MAX_CELLS {
        return Ok(());
    }
    // Where the number alone is too large to be counted, it is `usize::MAX`, and not said.
    let message = match cells {
        usize::MAX => format!("more than {MAX_CELLS} cells"),
        cells => format!("{cells} cells: at most {MAX_CELLS} can be run"),
    };
    // Of several, the first.
    let most = factors.iter().rev().max_by_key(|factor| factor.values.len());
    let most = most.filter(|factor| factor.values.len() >= phases.len());
    Err(match (most, phases.get(MAX_CELLS).or(phases.last())) {
        (Some(Factor { name, values, at }), _) => {
            let label = format!("{name} has {} values: use fewer", values.len());
            problem(at.clone(), message, &label)
        }
        (None, Some(phase)) => {
            let label = format!("there are {} phases: use fewer", phases.len());
            problem(phase.name.span(), message, &label)
        }
        (None, None) => Box::new(Diagnostic::general(message)),
    })
}

/// The settings of all cells of a phase, without the factors.
fn base(all: &Settings, own: Option<&Settings>) -> CellSettings {
    fn of<'a, T>(
        own: Option<&'a Settings>,
        all: &'a Settings,
        get: impl Fn(&'a Settings) -> Option<&'a T>,
    ) -> Option<&'a T> {
        own.and_then(&get).or_else(|| get(all))
    }
    fn value<T: Clone>(spanned: Option<&Spanned<T>>) -> Option<T> {
        spanned.map(|spanned| spanned.get_ref().clone())
    }
    let guest = of(own, all, |s| s.guest.as_ref());
    let disks = of(own, all, |s| s.disks.as_ref());
    CellSettings {
        guest: value(guest).unwrap_or_default(),
        guest_span: guest.map_or(Span::new(0, 0, 0), |guest| span(guest.span())),
        initrd: of(own, all, |s| s.initrd.as_ref()).cloned(),
        symbols: of(own, all, |s| s.symbols.as_ref()).cloned(),
        cpus: value(of(own, all, |s| s.cpus.as_ref())).map(|cpus| cpus.0),
        memory: value(of(own, all, |s| s.memory.as_ref())).map_or_else(Default::default, |it| it.0),
        identity: value(of(own, all, |s| s.identity.as_ref()))
            .map_or_else(Default::default, |it| it.0),
        jitter: value(of(own, all, |s| s.jitter.as_ref())).map_or_else(Default::default, |it| it.0),
        faults: value(of(own, all, |s| s.fault.as_ref())).unwrap_or_default().0,
        command_line: value(of(own, all, |s| s.command_line.as_ref())).unwrap_or_default(),
        disks: disks.into_iter().flatten().map(|disk| disk.get_ref().0.clone()).collect(),
        rng: of(own, all, |s| s.rng.as_ref()).copied().unwrap_or_default(),
        virtio_console: of(own, all, |s| s.virtio_console.as_ref()).copied().unwrap_or_default(),
    }
}

fn check_settings(settings: &Settings) -> Result<(), Problem> {
    if let Some(guest) = &settings.guest {
        check_guest(guest)?;
    }
    for disk in settings.disks.iter().flatten() {
        if disk.get_ref().0.mode == DiskMode::ReadWrite {
            let message = "a run would change this disk, and with it the runs after it";
            let label = "write FILE,copy-on-write or FILE,read-only";
            return Err(problem(disk.span(), message, label));
        }
    }
    Ok(())
}

fn check_guest(guest: &Spanned<String>) -> Result<(), Problem> {
    if guest.get_ref().is_empty() {
        let label = "a guest of the catalogue, or a file";
        return Err(problem(guest.span(), "the guest's name is empty", label));
    }
    Ok(())
}

/// Fails if a factor is set elsewhere, too.
fn check_not_twice(settings: &Settings, matrix: &Matrix) -> Result<(), Problem> {
    fn place<T>(spanned: Option<&Spanned<T>>) -> Option<Range<usize>> {
        spanned.map(Spanned::span)
    }
    let pairs = [
        ("guest", place(settings.guest.as_ref()), place(matrix.guest.as_ref())),
        ("cpus", place(settings.cpus.as_ref()), place(matrix.cpus.as_ref())),
        ("memory", place(settings.memory.as_ref()), place(matrix.memory.as_ref())),
        ("identity", place(settings.identity.as_ref()), place(matrix.identity.as_ref())),
        ("jitter", place(settings.jitter.as_ref()), place(matrix.jitter.as_ref())),
        ("fault", place(settings.fault.as_ref()), place(matrix.fault.as_ref())),
        (
            "command_line",
            place(settings.command_line.as_ref()),
            place(matrix.command_line.as_ref()),
        ),
    ];
    for (name, set, factor) in pairs {
        if let (Some(set), Some(factor)) = (set, factor) {
            let message = format!("{name} is a factor of [matrix] and is set here, too");
            let error = Diagnostic::error(span(set), message, "remove one of the two")
                .with_related(span(factor), "the factor");
            return Err(Box::new(error));
        }
    }
    Ok(())
}

fn check_phases(phases: &[Phase]) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    for Phase { name, .. } in phases {
        if name.get_ref().is_empty() {
            return Err(problem(name.span(), "the phase's name is empty", "any text"));
        }
        if !names.insert(name.get_ref()) {
            let message = format!("there are two phases `{}`", name.get_ref());
            return Err(problem(name.span(), message, "the second of them"));
        }
    }
    Ok(())
}

fn factors(matrix: &Matrix) -> Result<Vec<Factor>, Problem> {
    let Matrix { guest, cpus, memory, identity, jitter, fault, command_line } = matrix;
    for name in guest.iter().flat_map(Spanned::get_ref) {
        check_guest(name)?;
    }
    let guests = |guest: &Spanned<String>| Value::Guest(guest.get_ref().clone(), guest.span());
    let factors = [
        factor("guest", guest.as_ref(), guests)?,
        factor("cpus", cpus.as_ref(), |it| Value::Cpus(it.get_ref().0))?,
        factor("memory", memory.as_ref(), |it| Value::Memory(it.get_ref().0))?,
        factor("identity", identity.as_ref(), |it| Value::Identity(it.get_ref().0))?,
        factor("jitter", jitter.as_ref(), |it| Value::Jitter(Box::new(it.get_ref().0.clone())))?,
        factor("fault", fault.as_ref(), |it| Value::Fault(it.get_ref().clone()))?,
        factor("command_line", command_line.as_ref(), |it| {
            Value::CommandLine(it.get_ref().clone())
        })?,
    ];
    Ok(factors.into_iter().flatten().collect())
}

fn factor<T>(
    name: &'static str,
    values: Option<&Spanned<Vec<Spanned<T>>>>,
    value: impl Fn(&Spanned<T>) -> Value,
) -> Result<Option<Factor>, Problem> {
    let Some(list) = values else { return Ok(None) };
    if list.get_ref().is_empty() {
        return Err(problem(list.span(), format!("{name} has no values"), "at least one"));
    }
    let mut texts = BTreeSet::new();
    let mut values = Vec::new();
    for given in list.get_ref() {
        let value = value(given);
        if !texts.insert(value.text()) {
            let message = format!("{name} has the value {} twice", value.text());
            return Err(problem(given.span(), message, "the second time"));
        }
        values.push(value);
    }
    Ok(Some(Factor { name, values, at: list.span() }))
}

/// The diagnostics of one problem.
pub(super) fn refused(source: probes::Source, problem: &Diagnostic) -> Diagnostics {
    Diagnostics::new([source].into(), vec![problem.clone()])
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
