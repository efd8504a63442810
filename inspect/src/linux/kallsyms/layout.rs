//! Where the tables are.
//!
//! The order of the tables has changed (`scripts/kallsyms.c`, `write_src`):
//!
//! * up to 6.4: addresses, number, names, marks, tokens, index of the tokens;
//! * 6.2 to 6.4, and stable releases of 6.1: the same, with the order of the names (3 bytes a
//!   symbol) between the marks and the tokens;
//! * from 6.5 on: number, names, marks, tokens, index of the tokens, addresses, order of the names.
//!
//! Each table begins at a multiple of 8. The *marks* are the offsets of every 256th name.

use crate::linux::view::Region;

use super::MAX_SYMBOLS;

/// How many names there are between two marks.
const STRIDE: usize = 256;
/// The most bytes of a name in the table: two bytes of length, and as many tokens as the longest
/// name has characters (`KSYM_NAME_LEN`, 512 since 6.1).
const MAX_NAME: u32 = 514;
/// The most places that are taken for the start of the names.
const MAX_STARTS: usize = 64;

/// The tokens from which names are composed.
#[derive(Debug)]
pub(super) struct Tokens {
    /// The offset of the first token in the region.
    start: usize,
    /// The offset behind the index.
    end: usize,
    /// The tokens, one for each byte.
    pub(super) texts: Vec<Box<[u8]>>,
}

/// The places of the names and of what goes with them, as offsets in the region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The number of symbols.
    pub(super) count: usize,
    pub(super) names: usize,
    pub(super) marks: usize,
    /// The offset behind the index of the tokens.
    end: usize,
}

/// The next multiple of 8.
fn aligned(offset: usize) -> usize {
    offset.next_multiple_of(8)
}

/// Finds the tokens and their index around the tokens of the digits, which are at an address.
pub(super) fn tokens(region: &Region, digits: u64) -> Option<Tokens> {
    const TOKENS: usize = 256;
    /// The most bytes of all tokens; the index has 16-bit numbers, but real tables have 1,000.
    const MAX_BYTES: usize = 8192;
    let digits = usize::try_from(digits.checked_sub(region.base)?).ok()?;
    // The index follows the tokens at a multiple of 8. Its entry of the digit 0 leads back to the
    // start of the tokens.
    let index = (aligned(digits)..digits + MAX_BYTES).step_by(8).find_map(|at| {
        let entry = |number: usize| region.u16(at + 2 * number).map(usize::from);
        let start = digits.checked_sub(entry(usize::from(b'0'))?)?;
        let is_index = entry(0) == Some(0)
            && (1..TOKENS).all(|number| entry(number - 1) < entry(number))
            && start.is_multiple_of(8);
        is_index.then_some((at, start))
    });
    let (index, start) = index?;
    let mut texts: Vec<Box<[u8]>> = Vec::with_capacity(TOKENS);
    for number in 0..TOKENS {
        let from = start + usize::from(region.u16(index + 2 * number)?);
        let text = region.bytes.get(from..index)?;
        let text = text.get(..text.iter().position(|&byte| byte == 0)?)?;
        // The next token, or the index, follows without a gap.
        let end = from + text.len() + 1;
        let follows = match number + 1 {
            TOKENS => aligned(end) == index,
            next => start + usize::from(region.u16(index + 2 * next)?) == end,
        };
        if !follows || !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        texts.push(text.into());
    }
    Some(Tokens { start, end: index + 2 * TOKENS, texts })
}

impl Layout {
    /// The possible places of the names before the tokens.
    pub(super) fn all(region: &Region, tokens: &Tokens) -> impl Iterator<Item = Self> {
        let end = tokens.end;
        marks(region, tokens.start).flat_map(move |(marks, number)| {
            starts(region, marks, number)
                .map(move |(names, count)| Self { count, names, marks, end })
                .take(MAX_STARTS)
        })
    }

    /// The symbols' addresses, in each form in which they can be read.
    pub(super) fn addresses(&self, region: &Region) -> impl Iterator<Item = Vec<u64>> {
        let Self { count, names, end, .. } = *self;
        let size = aligned(4 * count);
        let number = names.checked_sub(8);
        let before = move || Some((number?.checked_sub(8 + size)?, number?.checked_sub(8)?));
        let behind = move || Some((aligned(end), aligned(end) + size));
        let offsets = [before(), behind()].into_iter().flatten().flat_map(move |(at, base)| {
            let read = move |address: fn(u64, u32) -> u64| {
                let base = region.u64(base)?;
                let value = |n| Some(address(base, region.u32(at + 4 * n)?));
                (0..count).map(value).collect::<Option<Vec<_>>>()
            };
            // CONFIG_KALLSYMS_ABSOLUTE_PERCPU, which was dropped in 6.15.
            let with_absolute = |base: u64, offset: u32| match offset as i32 {
                0.. => u64::from(offset),
                below => base.wrapping_sub(1).wrapping_sub(i64::from(below) as u64),
            };
            let plain = |base: u64, offset: u32| base.wrapping_add(u64::from(offset));
            [read(with_absolute), read(plain)].into_iter().flatten()
        });
        // Without CONFIG_KALLSYMS_BASE_RELATIVE.
        let whole = move || {
            let at = number?.checked_sub(8 * count)?;
            (0..count).map(|n| region.u64(at + 8 * n)).collect::<Option<Vec<_>>>()
        };
        offsets.chain(std::iter::once_with(whole).flatten())
    }
}

/// The possible places of the marks before the tokens, with the number of marks.
fn marks(region: &Region, tokens: usize) -> impl Iterator<Item = (usize, usize)> {
    let most = MAX_SYMBOLS as usize / STRIDE;
    let furthest = aligned(4 * most) + aligned(3 * most * STRIDE);
    let places = (1..=furthest / 8).map_while(move |n| tokens.checked_sub(8 * n));
    let places = places.filter(move |&at| region.u32(at) == Some(0));
    places.flat_map(move |at| {
        let space = tokens - at;
        // Alone, or with the order of the names behind them.
        let (alone, with_order) = (space / 4, space / (4 + 3 * STRIDE));
        let numbers = [alone, alone.saturating_sub(1), with_order, with_order + 1];
        let fits = move |&number: &usize| {
            (2..=most).contains(&number)
                && has_space(space, number)
                && are_marks(region, at, number)
        };
        numbers.into_iter().filter(fits).map(move |number| (at, number))
    })
}

/// Whether `space` bytes are those of `number` marks, alone or with the order of the names.
fn has_space(space: usize, number: usize) -> bool {
    let Some(order) = space.checked_sub(aligned(4 * number)) else { return false };
    let (least, most) = ((number - 1) * STRIDE + 1, number * STRIDE);
    // Up to 7 bytes of the order are padding.
    order == 0 || order / 3 >= least && order.saturating_sub(7).div_ceil(3) <= most
}

/// Whether there are `number` marks at `at`.
fn are_marks(region: &Region, at: usize, number: usize) -> bool {
    let stride = STRIDE as u32;
    let steps = 2 * stride..=MAX_NAME * stride;
    let follows = |n: usize| {
        let (last, next) = (region.u32(at + 4 * n - 4)?, region.u32(at + 4 * n)?);
        Some(steps.contains(&next.checked_sub(last)?))
    };
    region.u32(at) == Some(0) && (1..number).all(|n| follows(n) == Some(true))
}

/// The possible starts of the names before their marks, with the number of symbols, which is 8
/// bytes before the names.
fn starts(region: &Region, marks: usize, number: usize) -> impl Iterator<Item = (usize, usize)> {
    let last = region.u32(marks + 4 * (number - 1)).unwrap_or(u32::MAX) as usize;
    let least = aligned(last);
    let most = least + (MAX_NAME as usize) * STRIDE;
    let counts = (number - 1) * STRIDE + 1..=number * STRIDE;
    (least..=most).step_by(8).filter_map(move |distance| {
        let names = marks.checked_sub(distance)?;
        let count = region.u64(names.checked_sub(8)?)?;
        let count = usize::try_from(count).ok()?;
        counts.contains(&count).then_some((names, count))
    })
}
