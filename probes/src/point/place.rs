//! Parses what follows `GUEST:ENTER:` and similar prefixes: an address, a symbol, or a pattern for
//! several symbols.

use inspect::symbols::{Kind, Symbol, Symbols};
use wildmatch::WildMatch;

use super::found::{Found, NoPoint, Result, available, malformed, number};
use super::{Access, Address, Point, Scope};

/// The most bytes of a range of data, or of a function that is stepped through.
const MAX_RANGE: u64 = 4096;
/// The most symbols that a pattern may match.
const MAX_MATCHES: usize = 256;

/// The points for what follows `GUEST:ENTER:` and similar prefixes.
pub(super) fn address(name: &str, access: Access, rest: &str, scope: &Scope) -> Result<Vec<Found>> {
    available(name, access.mechanism(), scope)?;
    let takes_number =
        matches!(access, Access::Offset | Access::Step | Access::Read | Access::Write);
    let (place, tail) = match rest.rsplit_once(':') {
        Some((place, tail)) if takes_number => (place, Some(tail)),
        _ => (rest, None),
    };
    let tail = match tail {
        None => None,
        Some(tail) => Some(number(tail).ok_or_else(|| {
            malformed(name, format!("{tail} is no number; write for example 0x12"))
        })?),
    };
    let symbols = resolve(name, access, place, scope)?;
    let found = |symbol: Symbol| {
        let (start, length) = extent(name, access, tail, &symbol, scope)?;
        if start.checked_add(length).is_none() {
            return Err(malformed(name, "it goes beyond the last address".into()));
        }
        if matches!(access, Access::Read | Access::Write) {
            find_in_memory(name, start, length, scope)?;
        }
        let is_own = symbol.name.is_empty() || symbol.name == place;
        let own = if is_own { name.to_owned() } else { name.replacen(place, &symbol.name, 1) };
        Ok(Found { point: Point::Address(Address { access, start, length }), name: own.into() })
    };
    symbols.into_iter().map(found).collect()
}

/// The point's first address, and how many bytes it covers.
fn extent(
    name: &str,
    access: Access,
    tail: Option<u64>,
    symbol: &Symbol,
    scope: &Scope,
) -> Result<(u64, u64)> {
    let start = symbol.start;
    let length = match (access, tail) {
        (Access::Offset, None) => {
            return Err(malformed(name, "it lacks the offset, such as :0x12".into()));
        }
        (Access::Offset, Some(offset)) => return Ok((start.wrapping_add(offset), 1)),
        (Access::Enter | Access::Exit, _) => return Ok((start, 1)),
        (Access::Step, None) => {
            let end = scope.symbols.and_then(|symbols| symbols.end_of_function(start));
            let end = end.ok_or_else(|| {
                let problem = format!(
                    "no symbol says where the function at {start:#x} ends; give its bytes, such as :0x40"
                );
                malformed(name, problem)
            })?;
            end - start
        }
        (Access::Read | Access::Write, None) if symbol.name.is_empty() => 1,
        (Access::Read | Access::Write, None) => symbol.size.ok_or_else(|| {
            let problem =
                format!("the size of {} isn't known; give its bytes, such as :8", symbol.name);
            malformed(name, problem)
        })?,
        (_, Some(length)) => length,
    };
    if !(1..=MAX_RANGE).contains(&length) {
        let of = if tail.is_some() || symbol.name.is_empty() {
            String::new()
        } else {
            format!(", and {} has {length}; give another number of bytes, such as :8", symbol.name)
        };
        return Err(malformed(name, format!("a range has 1 to {MAX_RANGE} bytes{of}")));
    }
    Ok((start, length))
}

/// Checks that data is in the guest's image: it is watched by guest-physical address, which must be
/// known before the guest runs.
fn find_in_memory(name: &str, start: u64, length: u64, scope: &Scope) -> Result<()> {
    let found = scope.segments.and_then(|segments| segments.physical(start, length));
    if found.is_some() {
        return Ok(());
    }
    let problem = format!(
        "no segment of the guest's image has {start:#x} to {:#x}, so where that is in memory isn't \
         known before the guest runs",
        start + length - 1
    );
    Err(malformed(name, problem))
}

/// What a place stands for: one address, or the symbols that it names.
fn resolve(name: &str, access: Access, place: &str, scope: &Scope) -> Result<Vec<Symbol>> {
    if let Some(start) = number(place) {
        return Ok(vec![Symbol { name: String::new(), start, size: None }]);
    }
    let Some(symbols) = scope.symbols else {
        return Err(malformed(
            name,
            format!("there are no symbols to look {place} up in; write the address"),
        ));
    };
    if is_pattern(place) {
        return matching(name, access, place, symbols);
    }
    let (kind, is_function) = match access {
        Access::Read | Access::Write => (Kind::Data, false),
        _ => (Kind::Function, true),
    };
    // Several file-local symbols may have the same name. Each is a place of its own.
    let named = symbols.matching(kind, |symbol| symbol == place);
    match named.len() {
        0 | 1 => {}
        2..=MAX_MATCHES if is_function => return Ok(named),
        count => {
            let address = |symbol: &Symbol| format!("{:#x}", symbol.start);
            let places: Vec<_> = named.iter().take(4).map(address).collect();
            let places = places.join(", ");
            let problem = format!(
                "{count} symbols have the name {place}; write the address of the one that is meant: \
                 {places}"
            );
            return Err(malformed(name, problem));
        }
    }
    let symbol = symbols.symbol(place);
    let copies = || symbols.matching(kind, |symbol| is_copy(symbol, place));
    if symbol.is_none() && is_function {
        let copies = copies();
        if (1..=MAX_MATCHES).contains(&copies.len()) {
            return Ok(copies);
        }
    }
    let symbol = symbol.ok_or_else(|| {
        let near = symbols.nearest(place);
        let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        malformed(name, format!("{} has no symbol {place}{hint}", symbols.name()))
    })?;
    Ok(vec![symbol])
}

fn matching(name: &str, access: Access, place: &str, symbols: &Symbols) -> Result<Vec<Symbol>> {
    let (kind, what) = match access {
        Access::Read | Access::Write => (Kind::Data, "variable"),
        _ => (Kind::Function, "function"),
    };
    let pattern = WildMatch::new(place);
    let found = symbols.matching(kind, |symbol| pattern.matches(symbol));
    let refuse = |problem: String| Err::<_, NoPoint>(malformed(name, problem));
    match found.len() {
        0 => refuse(format!("{} has no {what} that {place} stands for", symbols.name())),
        1..=MAX_MATCHES => Ok(found),
        count => refuse(format!(
            "{place} stands for {count} {what}s, and at most {MAX_MATCHES} can be had; narrow it"
        )),
    }
}

/// Whether a symbol is a copy of this function that the compiler made for some of its callers, or
/// the part of the function that remains after inlining: `f.constprop.0`, `f.isra.0`, `f.part.0`.
fn is_copy(symbol: &str, function: &str) -> bool {
    const SUFFIXES: &[&str] = &["constprop", "isra", "part", "lto_priv", "llvm"];
    let suffix = symbol.strip_prefix(function).and_then(|rest| rest.strip_prefix('.'));
    suffix.is_some_and(|suffix| {
        let words = || suffix.split('.');
        // A `.cold` part holds code that rarely runs. It is jumped to, and not called.
        words().next().is_some_and(|word| SUFFIXES.contains(&word))
            && words().all(|word| word != "cold")
    })
}

fn is_pattern(place: &str) -> bool {
    place.contains(['*', '?'])
}
