//! Records which pages the host has written.
//!
//! KVM's dirty log covers the stores of the guest through its memory slots. Writes by the host (the
//! loader, stores to trapped pages, devices) are recorded here. A summary bit for every 64 pages
//! makes queries cheap: 128 MiB have 8 summary words.

use std::sync::atomic::{AtomicU64, Ordering};

use vm_memory::bitmap::{Bitmap, NewBitmap, RefSlice, WithBitmapSlice};

use super::PAGE_SIZE;

/// One bit for each page of a region, set when the page is written.
#[derive(Debug, Default)]
pub(crate) struct WrittenPages {
    pages: Vec<AtomicU64>,
    /// One bit for each word of `pages`, set if the word is not 0.
    summary: Vec<AtomicU64>,
}

impl WrittenPages {
    /// Calls `page` with the number of each written page, in ascending order, and clears the
    /// record.
    pub(super) fn take(&self, mut page: impl FnMut(u64)) {
        for (group, summary) in (0..).zip(&self.summary) {
            if summary.load(Ordering::Relaxed) == 0 {
                continue;
            }
            for word in bits(group, summary.swap(0, Ordering::AcqRel)) {
                let pages = self.pages[word as usize].swap(0, Ordering::AcqRel);
                bits(word, pages).for_each(&mut page);
            }
        }
    }

    /// Removes the page that contains this offset from the record.
    pub(super) fn forget(&self, offset: usize) {
        let page = offset / PAGE_SIZE as usize;
        if let Some(word) = self.pages.get(page / 64) {
            word.fetch_and(!(1 << (page % 64)), Ordering::AcqRel);
        }
    }

    fn mark(&self, page: usize) {
        let Some(word) = self.pages.get(page / 64) else { return };
        let bit = 1 << (page % 64);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::AcqRel);
            self.summary[page / 64 / 64].fetch_or(1 << (page / 64 % 64), Ordering::AcqRel);
        }
    }
}

/// The numbers of the pages whose bits are set in word `number` of a bitmap.
fn bits(number: u64, mut word: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| u64::from(word.trailing_zeros()))?;
        word &= word - 1;
        Some(number * 64 + bit)
    })
}

impl<'a> WithBitmapSlice<'a> for WrittenPages {
    type S = RefSlice<'a, Self>;
}

impl Bitmap for WrittenPages {
    fn mark_dirty(&self, offset: usize, len: usize) {
        if len == 0 {
            return;
        }
        let page = PAGE_SIZE as usize;
        for number in offset / page..=offset.saturating_add(len - 1) / page {
            self.mark(number);
        }
    }

    fn dirty_at(&self, offset: usize) -> bool {
        let page = offset / PAGE_SIZE as usize;
        self.pages
            .get(page / 64)
            .is_some_and(|word| word.load(Ordering::Acquire) >> (page % 64) & 1 != 0)
    }

    fn slice_at(&self, offset: usize) -> RefSlice<'_, Self> {
        RefSlice::new(self, offset)
    }
}

impl NewBitmap for WrittenPages {
    fn with_len(len: usize) -> Self {
        let words = |bits: usize| (0..bits.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let pages: Vec<_> = words(len.div_ceil(PAGE_SIZE as usize));
        Self { summary: words(pages.len()), pages }
    }
}

#[cfg(test)]
#[path = "written_tests.rs"]
mod tests;
